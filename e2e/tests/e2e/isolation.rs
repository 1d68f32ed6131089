//! A pod that no policy names reaches no port of a node; a pod that one names reaches exactly its own.

use anyhow::{Result, ensure};
use tessera_e2e::client_pod::ClientPod;
use tessera_e2e::fleet::Fleet;

#[tokio::test]
async fn strangers_reach_nothing() -> Result<()> {
    let fleet = Fleet::start("e2e-isolation", &["a"]).await?;
    let ns = &fleet.namespace;
    let ledger = fleet.ledger("a").await?;
    // In a namespace of its own, where nothing keeps it from connecting out: a refusal is then the node's side's.
    let outsider =
        ClientPod::start(&fleet.cluster, "e2e-outsiders", "outsider", &fleet.settings.client_image, None)
            .await?;

    ensure!(
        outsider.connects("vault.vault.svc:8200").await?,
        "control: the outsider is free to connect elsewhere"
    );
    for port in [8080, 9000, 9443, 9464] {
        let target = if port == 8080 || port == 9464 {
            format!("a.{ns}.svc:{port}")
        } else {
            format!("a-p2p.{ns}.svc:{port}")
        };
        ensure!(!outsider.connects(&target).await?, "the outsider reached {target}");
    }
    ensure!(ledger.pod.connects(&format!("a.{ns}.svc:8080")).await?, "the ledger node reaches Q2T");
    for port in [9000, 9443] {
        let target = format!("a-p2p.{ns}.svc:{port}");
        ensure!(!ledger.pod.connects(&target).await?, "the ledger node reached {target}");
    }
    fleet.cluster.delete(tessera_e2e::cluster::Kind::Pod, "e2e-outsiders", "outsider").await?;
    fleet.done().await
}

#[tokio::test]
async fn a_node_knows_its_egress_closed() -> Result<()> {
    let fleet = Fleet::start("e2e-egress", &["a"]).await?;
    let node = fleet.node("a").await?;
    ensure!(node["status"]["pods"][0]["egressClosedSince"].is_string(), "{}", node["status"]["pods"]);
    fleet.done().await
}
