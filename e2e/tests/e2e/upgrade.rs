//! An image that runs alone and not as a node: one node gets it, and goes back by itself.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tessera_e2e::cluster::{Kind, condition};
use tessera_e2e::fleet::{Fleet, NETWORK};
use tessera_e2e::wait;

const NODES: [&str; 2] = ["a", "b"];

#[tokio::test]
async fn a_bad_image_is_taken_back_and_a_good_one_goes_out_by_a_canary() -> Result<()> {
    let fleet = Fleet::start("e2e-upgrade", &NODES).await?;
    let (b, key) = (fleet.ledger("b").await?, fleet.public_key("a").await?);
    let good = fleet.settings.node_image.clone();
    line(&fleet, "a", "Verified", "Observed").await?;

    // Broken: a pod can run `--version` of this image, and no node can.
    want(&fleet, &fleet.settings.bad_image, "1s").await?;
    until_image(&fleet, "a", &fleet.settings.bad_image).await?;
    waits(&fleet, "b", "node a got the new image first").await?;
    until_image(&fleet, "a", &good).await?;
    let node = fleet.node_condition("a", "Stalled", "True", "ImageRolledBack").await?;
    let (_, _, message) = condition(&node, "Stalled").context("no condition")?;
    ensure!(message.contains(&fleet.settings.bad_image) && message.contains("exit code"), "{message}");
    fleet.node_ready("a").await?;
    line(&fleet, "a", "Violated", "UpgradeFailed").await?;
    waits(&fleet, "b", "node a did not become ready with it").await?;
    line(&fleet, "b", "Violated", "UpgradeFailed").await?;
    wait::holds("nobody tries it again", Duration::from_secs(40), || async {
        for node in NODES {
            ensure!(image_of(&fleet, node).await? == good, "{node}");
        }
        Ok(())
    })
    .await?;
    let hash = b.send(b"after the rollback", std::slice::from_ref(&key)).await?;
    ensure!(b.payload(&hash).await? == b"after the rollback");

    // Healed: an image that runs.
    want(&fleet, &fleet.settings.next_image, "20s").await?;
    until_image(&fleet, "a", &fleet.settings.next_image).await?;
    fleet.node_ready("a").await?;
    waits(&fleet, "b", "node a runs the new image first, and is observed until").await?;
    until_image(&fleet, "b", &fleet.settings.next_image).await?;
    for node in NODES {
        fleet.node_ready(node).await?;
        line(&fleet, node, "Verified", "Observed").await?;
    }
    b.send(b"with the next image", &[key]).await?;
    fleet.done().await
}

async fn want(fleet: &Fleet, image: &str, observe: &str) -> Result<()> {
    let rollout = json!({"observe": observe, "progressDeadline": "30s"});
    let edit = json!({"spec": {"nodeDefaults": {"image": image}, "rollout": rollout}});
    fleet.cluster.edit(Kind::TesseraNetwork, &fleet.namespace, NETWORK, &edit).await
}

async fn image_of(fleet: &Fleet, node: &str) -> Result<Value> {
    let set = fleet.cluster.get(Kind::StatefulSet, &fleet.namespace, &format!("tessera-{node}")).await?;
    Ok(set["spec"]["template"]["spec"]["containers"][0]["image"].clone())
}

async fn until_image(fleet: &Fleet, node: &str, image: &str) -> Result<()> {
    wait::until("the node has the image", Duration::from_mins(4), || async {
        let found = image_of(fleet, node).await?;
        ensure!(found == image, "{node} has {found}, not {image}");
        Ok(())
    })
    .await
}

async fn waits(fleet: &Fleet, node: &str, cause: &str) -> Result<()> {
    wait::until("the change waits, and says why", Duration::from_mins(2), || async {
        let found = fleet.node(node).await?;
        let (status, reason, message) = condition(&found, "Reconciling").context("no condition")?;
        ensure!(
            (status, reason) == ("True", "RolloutWaiting") && message.contains(cause),
            "{reason}: {message}"
        );
        Ok(())
    })
    .await
}

async fn line(fleet: &Fleet, node: &str, result: &str, reason: &str) -> Result<()> {
    wait::until("the line ImmutableUpgrades", Duration::from_mins(2), || async {
        let found = fleet.node(node).await?;
        let lines = found["status"]["checklist"]["lines"].as_array().context("no lines")?;
        let line = lines.iter().find(|line| line["id"] == "ImmutableUpgrades").context("no line")?;
        ensure!(line["result"] == result && line["reason"] == reason, "{line}");
        Ok(())
    })
    .await
}
