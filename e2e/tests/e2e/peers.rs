//! Peer lists follow the nodes that exist, without a restart.

use std::time::Duration;

use anyhow::{Result, ensure};
use tessera_e2e::cluster::Kind;
use tessera_e2e::fleet::{Fleet, NETWORK};
use tessera_e2e::wait;

#[tokio::test]
async fn peers_come_and_go_without_restarts() -> Result<()> {
    let fleet = Fleet::start("e2e-peers", &["a"]).await?;
    let a = fleet.ledger("a").await?;
    ensure!(peers(&fleet, "a").await?.is_empty());
    let uid = fleet.cluster.get(Kind::Pod, &fleet.namespace, "tessera-a-0").await?["metadata"]["uid"].clone();

    fleet.create_node("b").await?;
    fleet.node_ready("b").await?;
    let key_b = fleet.public_key("b").await?;
    a.send(b"to a node that came later", &[key_b]).await?;
    ensure!(peers(&fleet, "a").await? == [format!("https://b-p2p.{}.svc:9000/", fleet.namespace)]);

    fleet.cluster.delete(Kind::TesseraNode, &fleet.namespace, "b").await?;
    wait::until("A's peers without B", Duration::from_mins(1), || async {
        ensure!(peers(&fleet, "a").await?.is_empty());
        Ok(())
    })
    .await?;
    let pod = fleet.cluster.get(Kind::Pod, &fleet.namespace, "tessera-a-0").await?;
    ensure!(pod["metadata"]["uid"] == uid, "the pod was not replaced");
    ensure!(pod["status"]["containerStatuses"][0]["restartCount"] == 0, "the container was not restarted");
    fleet.done().await
}

/// The peers in `node`'s list: all nodes of the network but itself.
async fn peers(fleet: &Fleet, node: &str) -> Result<Vec<String>> {
    let name = format!("{NETWORK}-peers");
    let map = fleet.cluster.get(Kind::ConfigMap, &fleet.namespace, &name).await?;
    let document: serde_json::Value =
        serde_json::from_str(map["data"]["peers.json"].as_str().unwrap_or_default())?;
    let peers = document["peers"].as_array().cloned().unwrap_or_default();
    let own = format!("https://{node}-p2p.{}.svc:9000/", fleet.namespace);
    let urls = peers.iter().filter_map(|peer| peer["url"].as_str().map(str::to_owned));
    Ok(urls.filter(|url| *url != own).collect())
}
