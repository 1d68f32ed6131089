//! `kubectl tessera accept-loss`: a node whose volume was replaced goes on without the payloads of the old one.
//!
//! ```text
//!   TesseraNode status ──► what is lost ──► annotation ──► operator ──► node ──► status
//!   [read: cluster]        [pure]           [patch]                             [wait: cluster]
//! ```

use std::time::Duration;

use tessera_crds::TesseraNode;
use tokio::time::Instant;

use crate::args::AcceptLoss;
use crate::cluster::Cluster;

/// The kubelet hands a changed configuration to a pod within a minute or two.
const TIMEOUT: Duration = Duration::from_mins(5);
const POLL: Duration = Duration::from_secs(2);

/// What the status says of the node's payload store.
#[derive(Debug, PartialEq, Eq)]
enum Loss<'a> {
    /// The node has not reported a store.
    Unknown,
    /// Every store that the keys name is here, or its loss was accepted.
    Nothing { store: &'a str },
    /// These stores are gone.
    Of { lost: &'a [String], store: &'a str },
}

fn loss(node: &TesseraNode) -> Loss<'_> {
    match node.status.as_ref().and_then(|status| status.payload_store.as_ref()) {
        None => Loss::Unknown,
        Some(store) if store.lost.is_empty() => Loss::Nothing { store: &store.id },
        Some(store) => Loss::Of { lost: &store.lost, store: &store.id },
    }
}

pub(crate) async fn run(args: &AcceptLoss) -> anyhow::Result<()> {
    let cluster = Cluster::connect(&args.target).await?;
    let node = cluster.node(&args.node).await?;
    let (lost, store) = match loss(&node) {
        Loss::Unknown => anyhow::bail!(
            "TesseraNode {:?} has not reported its payload store: wait until its pod runs, then look at its status",
            args.node
        ),
        Loss::Nothing { store } => {
            println!("payload store {store} of node {} has lost nothing: nothing to accept", args.node);
            return Ok(());
        }
        Loss::Of { lost, store } => (lost.join(" and "), store.to_owned()),
    };
    println!("lost:     payload store {lost}, with every payload that only node {} held", args.node);
    println!(
        "accepted: payload store {store} goes on; the ledger is told \"not found\" for what is lost, permanently"
    );
    if args.dry_run {
        println!("nothing was changed (--dry-run)");
        return Ok(());
    }
    cluster.accept_loss(&args.node, &store).await?;
    wait(&cluster, &args.node, &store).await?;
    println!("node {} has stored the acceptance", args.node);
    Ok(())
}

async fn wait(cluster: &Cluster, name: &str, accepted: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let node = cluster.node(name).await?;
        match loss(&node) {
            Loss::Nothing { store } if store == accepted => return Ok(()),
            Loss::Nothing { store } | Loss::Of { store, .. } if store != accepted => {
                anyhow::bail!(
                    "node {name} has payload store {store} by now: look at its status and accept again"
                )
            }
            _ if Instant::now() > deadline => anyhow::bail!(
                "node {name} has not stored the acceptance yet; it will when the operator and the node run: see kubectl describe tnode {name}"
            ),
            _ => tokio::time::sleep(POLL).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(payload_store: &serde_json::Value) -> TesseraNode {
        serde_json::from_value(json!({
            "apiVersion": "tessera.rs/v1alpha1",
            "kind": "TesseraNode",
            "metadata": {"name": "node-a", "namespace": "org-a"},
            "spec": {
                "networkRef": {"name": "org-a"},
                "storage": {"type": "Embedded", "embedded": {"size": "1Gi"}},
                "keys": [{"name": "main", "default": true, "type": "Vault"}],
            },
            "status": {"payloadStore": payload_store},
        }))
        .expect("a TesseraNode")
    }

    #[test]
    fn only_a_reported_loss_can_be_accepted() {
        assert_eq!(loss(&node(&json!(null))), Loss::Unknown);
        assert_eq!(loss(&node(&json!({"id": "b"}))), Loss::Nothing { store: "b" });
        let replaced = node(&json!({"id": "b", "lost": ["a"]}));
        assert_eq!(loss(&replaced), Loss::Of { lost: &["a".to_owned()], store: "b" });
    }
}
