//! A ledger in a namespace of its own: its certificate lies there, and nobody who reads Secrets beside the node has it.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use tessera_e2e::cluster::Kind;
use tessera_e2e::fleet::Fleet;
use tessera_e2e::wait;

/// `hack/e2e` gives it to the nodes of the test's namespace.
const LEDGER: &str = "e2e-elsewhere-ledger";
const SECRET: &str = "a-client-ledger";

#[tokio::test]
async fn ledger_in_a_namespace_of_its_own() -> Result<()> {
    let fleet = Fleet::prepare("e2e-elsewhere").await?;
    fleet.cluster.clear(Kind::Pod, LEDGER, "").await?;
    fleet.create_network().await?;
    fleet.set_up_store().await?;
    let mut node = fleet.node_manifest("a");
    node["spec"]["clients"][0]["certificate"] = json!({"secretNamespace": LEDGER});
    node["spec"]["clients"][0]["from"] = json!([{
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": LEDGER}},
        "podSelector": {"matchLabels": {"app": "ledger-a"}},
    }]);
    fleet.cluster.apply(Kind::TesseraNode, &fleet.namespace, &node).await?;
    fleet.create_node("b").await?;
    for node in ["a", "b"] {
        fleet.node_ready(node).await?;
    }
    let (a, b) = (fleet.ledger_in(LEDGER, "a").await?, fleet.ledger("b").await?);
    let hash = a.send(b"from another namespace", &[fleet.public_key("b").await?]).await?;
    ensure!(b.payload(&hash).await? == b"from another namespace");
    ensure!(!has_certificate(&fleet, &fleet.namespace).await?, "the certificate lies beside the node, too");
    ensure!(has_certificate(&fleet, LEDGER).await?);

    // Nothing that the garbage collector follows: the operator removes it.
    fleet.done().await?;
    fleet.cluster.clear(Kind::Pod, LEDGER, "").await?;
    wait::until("the certificate of a deleted node gone", Duration::from_mins(4), || async {
        ensure!(!has_certificate(&fleet, LEDGER).await?, "it is there");
        Ok(())
    })
    .await
}

async fn has_certificate(fleet: &Fleet, namespace: &str) -> Result<bool> {
    let secrets = fleet.cluster.list(Kind::Secret, namespace, "tessera.rs/node=a").await?;
    Ok(secrets.iter().any(|secret| secret["metadata"]["name"] == SECRET))
}
