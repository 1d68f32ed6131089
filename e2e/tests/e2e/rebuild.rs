//! What etcd knew is gone, and Vault and volumes remain: the same manifests get the same keys and payloads. Another cluster's
//! keys are another matter.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use tessera_e2e::cluster::{Kind, condition};
use tessera_e2e::fleet::{Fleet, READY_DEADLINE};
use tessera_e2e::wait;

use super::lifecycle::pods_gone;

#[tokio::test]
async fn the_same_manifests_deleted_and_applied_again() -> Result<()> {
    let fleet = Fleet::start("e2e-rebuild", &["a", "b"]).await?;
    let (a, b) = (fleet.ledger("a").await?, fleet.ledger("b").await?);
    let (key_a, key_b) = (fleet.public_key("a").await?, fleet.public_key("b").await?);
    let hash = a.send(b"older than the network", std::slice::from_ref(&key_b)).await?;

    fleet.cluster.clear(Kind::TesseraNode, &fleet.namespace, "").await?;
    pods_gone(&fleet).await?;
    fleet.delete_network().await?;
    let ca_state = format!("tessera-ca-{}.net", fleet.namespace);
    wait::until("no CA state of a deleted network", Duration::from_mins(3), || async {
        let secrets = fleet.cluster.list(Kind::Secret, "tessera-system", "").await?;
        ensure!(secrets.iter().all(|secret| secret["metadata"]["name"] != ca_state), "{ca_state} is there");
        Ok(())
    })
    .await?;

    fleet.create_network().await?;
    for node in ["a", "b"] {
        fleet.create_node(node).await?;
    }
    for node in ["a", "b"] {
        fleet.node_ready(node).await?;
    }
    ensure!(fleet.public_key("a").await? == key_a, "the same key of a");
    ensure!(fleet.public_key("b").await? == key_b, "the same key of b");
    fleet.has_one_version_of_its_key("a").await?;
    // The stand-ins mount Secrets that were made anew: the kubelet brings the new certificate within its period.
    wait::until("old payloads readable at both", Duration::from_mins(3), || async {
        ensure!(a.payload(&hash).await? == b"older than the network");
        ensure!(b.payload(&hash).await? == b"older than the network");
        Ok(())
    })
    .await?;
    let after = a.send(b"younger than the network", &[key_b]).await?;
    ensure!(b.payload(&after).await? == b"younger than the network");
    fleet.done().await
}

#[tokio::test]
async fn keys_of_a_cluster_that_is_gone_are_used_once_a_person_adopts_them() -> Result<()> {
    let fleet = Fleet::start("e2e-adopted", &["a"]).await?;
    let key = fleet.public_key("a").await?;
    let stamp = format!("{}/{}/tessera-node-a/stamp", fleet.path_prefix, fleet.namespace);
    let network = format!("{}/net", fleet.namespace);
    let (ours, _) = fleet.vault.secret("secret", &stamp).await?;
    ensure!(ours == json!({"cluster": "e2e", "network": network}), "{ours}");
    fleet.vault.put("secret", &stamp, &json!({"cluster": "gone", "network": network})).await?;

    fleet.cluster.delete(Kind::Pod, &fleet.namespace, "tessera-a-0").await?;
    let adopt = format!("--adopt gone/{network}");
    wait::until("the node refused another cluster's keys", READY_DEADLINE, || async {
        let node = fleet.node("a").await?;
        let (status, reason, message) = condition(&node, "Ready").unwrap_or_default();
        ensure!(status == "False" && message.contains(&adopt), "Ready={status} {reason}: {message}");
        Ok(())
    })
    .await?;

    ensure!(fleet.adopt("other/org/net").await.is_err(), "no keys have that stamp");
    ensure!(fleet.vault.secret("secret", &stamp).await?.0["cluster"] == "gone", "and none moved");
    fleet.adopt(&format!("gone/{network}")).await?;
    fleet.node_ready("a").await?;
    ensure!(fleet.public_key("a").await? == key, "the same key");
    let (moved, version) = fleet.vault.secret("secret", &stamp).await?;
    ensure!((moved, version) == (ours, 3), "the stamp is ours again");
    fleet.done().await
}
