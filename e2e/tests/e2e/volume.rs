//! A volume that is lost and made anew: nothing is denied before a person accepts the loss.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tessera_e2e::cluster::{Kind, condition};
use tessera_e2e::fleet::{Fleet, Ledger};
use tessera_e2e::wait;

#[tokio::test]
async fn volume_replaced() -> Result<()> {
    let fleet = Fleet::start("e2e-replaced", &["a", "b"]).await?;
    let (a, b) = (fleet.ledger("a").await?, fleet.ledger("b").await?);
    let key_b = fleet.public_key("b").await?;
    let hash = a.send(b"on the old volume", &[key_b]).await?;
    let old = fleet.node("a").await?["status"]["payloadStore"]["id"].clone();

    // The claim goes with the last pod that uses it; the StatefulSet makes both anew.
    fleet.cluster.delete(Kind::PersistentVolumeClaim, &fleet.namespace, "data-tessera-a-0").await?;
    fleet.cluster.delete(Kind::Pod, &fleet.namespace, "tessera-a-0").await?;
    let node = fleet.node_condition("a", "Ready", "False", "VolumeReplaced").await?;
    let (_, _, message) = condition(&node, "Ready").context("no condition")?;
    ensure!(message.contains("accept-loss a"), "the message names the command: {message}");
    ensure!(node["status"]["payloadStore"]["lost"][0] == old, "{}", node["status"]["payloadStore"]);
    answers(&a, &hash, 503).await?;
    ensure!(b.payload(&hash).await? == b"on the old volume", "the other node has it");

    fleet.accept_loss("a").await?;
    fleet.node_ready("a").await?;
    answers(&a, &hash, 404).await?;

    // The acceptance is in the store: it outlives the pod.
    fleet.cluster.delete(Kind::Pod, &fleet.namespace, "tessera-a-0").await?;
    fleet.node_ready("a").await?;
    answers(&a, &hash, 404).await?;
    fleet.done().await
}

/// A class that does not exist gives no volume, and can be corrected.
#[tokio::test]
async fn class_taken_back() -> Result<()> {
    let fleet = Fleet::start("e2e-take-back", &["b"]).await?;
    let mut manifest = fleet.node_manifest("a");
    manifest["spec"]["storage"]["embedded"] = json!({"size": "256Ti", "storageClassName": "nowhere"});
    fleet.cluster.apply(Kind::TesseraNode, &fleet.namespace, &manifest).await?;
    wait::until("the node says which class there is none of", Duration::from_mins(2), || async {
        let node = fleet.node("a").await?;
        let (status, _, message) = condition(&node, "Ready").context("no condition")?;
        ensure!(status == "False" && message.contains("nowhere"), "{message}");
        Ok(())
    })
    .await?;
    fleet.cluster.apply(Kind::TesseraNode, &fleet.namespace, &fleet.node_manifest("a")).await?;
    let node = fleet.node_ready("a").await?;
    ensure!(node["status"]["volumes"][0]["storageClassName"] == "standard", "{}", node["status"]["volumes"]);
    let key = fleet.public_key("b").await?;
    fleet.ledger("a").await?.send(b"on the volume of the second try", &[key]).await?;
    fleet.done().await
}

async fn answers(ledger: &Ledger, hash: &str, status: u16) -> Result<()> {
    wait::until("an answer of the new pod", Duration::from_mins(2), || async {
        let answer = ledger.receive(hash).await?;
        ensure!(answer.status == status, "{answer:?}");
        Ok(())
    })
    .await
}
