//! Keys and payloads outlive the TesseraNode; deletion needs neither the operator nor the store.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;
use tessera_e2e::cluster::Kind;
use tessera_e2e::fleet::Fleet;
use tessera_e2e::wait;

#[tokio::test]
async fn deleted_and_created_again() -> Result<()> {
    let fleet = Fleet::start("e2e-lifecycle", &["a", "b"]).await?;
    let (a, b) = (fleet.ledger("a").await?, fleet.ledger("b").await?);
    let (key_a, key_b) = (fleet.public_key("a").await?, fleet.public_key("b").await?);
    let hash = a.send(b"older than the node", &[key_b]).await?;

    fleet.cluster.clear(Kind::TesseraNode, &fleet.namespace, "").await?;
    pods_gone(&fleet).await?;
    fleet
        .cluster
        .get(Kind::PersistentVolumeClaim, &fleet.namespace, "data-tessera-a-0")
        .await
        .context("the volume is kept")?;
    for node in ["a", "b"] {
        fleet.create_node(node).await?;
    }
    for node in ["a", "b"] {
        fleet.node_ready(node).await?;
    }

    ensure!(fleet.public_key("a").await? == key_a, "the same key after deletion and creation");
    // The stand-ins mount Secrets that were made anew: the kubelet brings the new certificate within its period.
    wait::until("old payloads readable at both", Duration::from_mins(3), || async {
        ensure!(a.payload(&hash).await? == b"older than the node");
        ensure!(b.payload(&hash).await? == b"older than the node");
        Ok(())
    })
    .await?;
    fleet.has_one_version_of_its_key("a").await?;
    fleet.done().await
}

#[tokio::test]
async fn rotation_adds_a_key_without_a_restart() -> Result<()> {
    let fleet = Fleet::start("e2e-rotation", &["a", "b"]).await?;
    let (a, b) = (fleet.ledger("a").await?, fleet.ledger("b").await?);
    let old = fleet.public_key("b").await?;
    let before = a.send(b"to the old key", std::slice::from_ref(&old)).await?;
    let pod = fleet.cluster.get(Kind::Pod, &fleet.namespace, "tessera-b-0").await?["metadata"]["uid"].clone();

    let keys = json!({"spec": {"keys": [{"name": "main", "default": true, "type": "Vault", "rotation": {"trigger": 1}}]}});
    fleet.cluster.edit(Kind::TesseraNode, &fleet.namespace, "b", &keys).await?;
    let new = wait::until("a new default key", Duration::from_mins(4), || async {
        let now = fleet.public_key("b").await?;
        ensure!(now != old, "still the old key");
        Ok(now)
    })
    .await?;

    let to_new = a.send(b"to the new key", &[new]).await?;
    let to_old = a.send(b"to the old key again", &[old]).await?;
    for (hash, payload) in
        [(&before, "to the old key"), (&to_new, "to the new key"), (&to_old, "to the old key again")]
    {
        ensure!(b.payload(hash).await? == payload.as_bytes(), "{payload}");
    }
    let same = fleet.cluster.get(Kind::Pod, &fleet.namespace, "tessera-b-0").await?;
    ensure!(same["metadata"]["uid"] == pod, "the pod was not replaced");
    ensure!(same["status"]["containerStatuses"][0]["restartCount"] == 0, "the container was not restarted");
    fleet.done().await
}

/// This pod is gone.
pub(crate) async fn pod_gone(fleet: &Fleet, pod: &str) -> Result<()> {
    wait::until("the pod gone", Duration::from_mins(2), || async {
        let pods = fleet.cluster.list(Kind::Pod, &fleet.namespace, "tessera.rs/node").await?;
        ensure!(pods.iter().all(|left| left["metadata"]["name"] != pod), "{pod} is left");
        Ok(())
    })
    .await
}

/// No pod of a node is left in the namespace.
pub(crate) async fn pods_gone(fleet: &Fleet) -> Result<()> {
    wait::until("the nodes' pods gone", Duration::from_mins(2), || async {
        let left = fleet.cluster.list(Kind::Pod, &fleet.namespace, "tessera.rs/node").await?;
        if left.is_empty() { Ok(()) } else { bail!("{} left", left.len()) }
    })
    .await
}
