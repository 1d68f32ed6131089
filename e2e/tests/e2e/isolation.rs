//! A pod that no policy names reaches no port of a node; a pod that one names reaches exactly its own.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tessera_e2e::client_pod::ClientPod;
use tessera_e2e::cluster::Kind;
use tessera_e2e::fleet::Fleet;
use tessera_e2e::wait;

#[tokio::test]
async fn strangers_reach_nothing() -> Result<()> {
    let fleet = Fleet::start("e2e-isolation", &["a", "b"]).await?;
    let ns = &fleet.namespace;
    let ledger = fleet.ledger("a").await?;
    let image = &fleet.settings.client_image;
    let scraper = ClientPod::start(&fleet.cluster, ns, "scraper", image, None).await?;
    let neighbour = fleet.stranger().await?;
    for name in ["outsider", "ledger-a"] {
        fleet.cluster.clear(Kind::Pod, "e2e-outsiders", &format!("app={name}")).await?;
    }
    // In a namespace of its own, where nothing keeps it from connecting out: a refusal is then the node's side's.
    let outsider = ClientPod::start(&fleet.cluster, "e2e-outsiders", "outsider", image, None).await?;
    // The label that the policy names, in a namespace that it does not.
    let namesake = ClientPod::start(&fleet.cluster, "e2e-outsiders", "ledger-a", image, None).await?;

    for free in [&outsider, &namesake] {
        ensure!(free.connects("vault.vault.svc:8200").await?, "control: it is free to connect elsewhere");
    }
    let (q2t, metrics) = (format!("a.{ns}.svc:8080"), format!("a.{ns}.svc:9464"));
    let (p2p, admin) = (format!("a-p2p.{ns}.svc:9000"), format!("a-p2p.{ns}.svc:9443"));
    // Control of 9443: only the node itself knows what it serves, and the operator asks it there.
    let node = fleet.node("a").await?;
    ensure!(
        node["status"]["pods"][0]["servedFingerprint"].is_string(),
        "control: the operator reaches the admin port: {}",
        node["status"]["pods"]
    );
    // Control of 9000: a payload for node a is pushed there by node b.
    let hash = fleet.ledger("b").await?.send(b"from b to a", &[fleet.public_key("a").await?]).await?;
    ensure!(ledger.payload(&hash).await? == b"from b to a", "control: node b reaches the P2P port of node a");
    wait::until("control: the scraper reaches the metrics", Duration::from_mins(1), || async {
        ensure!(scraper.connects(&metrics).await?, "not yet");
        Ok(())
    })
    .await?;
    let callers: [(&str, &ClientPod, &[&String]); 4] = [
        ("an outsider", &outsider, &[]),
        ("a namesake of the ledger node", &namesake, &[]),
        ("the ledger node", &ledger.pod, &[&q2t]),
        ("the scraper", &scraper, &[&metrics]),
    ];
    for (caller, pod, allowed) in callers {
        for target in [&q2t, &metrics, &p2p, &admin] {
            let reached = pod.connects(target).await?;
            ensure!(reached == allowed.contains(&target), "{caller} and {target}: reached is {reached}");
        }
    }
    // It is kept from DNS, too, so it tries the pod's address.
    let pod = fleet.cluster.get(Kind::Pod, ns, "tessera-a-0").await?;
    let address = pod["status"]["podIP"].as_str().context("the node's pod has an address")?;
    for port in [8080, 9464, 9000, 9443] {
        let target = format!("{address}:{port}");
        ensure!(!neighbour.connects(&target).await?, "a neighbour reached {target}");
    }
    for name in ["outsider", "ledger-a"] {
        fleet.cluster.delete(Kind::Pod, "e2e-outsiders", name).await?;
    }
    fleet.done().await
}

#[tokio::test]
async fn a_node_knows_its_egress_closed() -> Result<()> {
    let fleet = Fleet::start("e2e-egress", &["a"]).await?;
    let node = fleet.node("a").await?;
    ensure!(node["status"]["pods"][0]["egressClosedSince"].is_string(), "{}", node["status"]["pods"]);
    fleet.done().await
}
