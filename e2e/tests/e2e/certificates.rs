//! Certificates come due and are renewed while payloads flow: nobody restarts anything and no send fails.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tessera_e2e::cluster::Kind;
use tessera_e2e::fleet::Fleet;

/// The shortest lifetime that the API allows; it is renewed half-way.
const LIFETIME: &str = "10m";
const RENEW_BEFORE: &str = "5m";

/// Five minutes until a certificate is due, the kubelet's period to bring it, and a slow machine.
const DEADLINE: Duration = Duration::from_mins(15);

#[tokio::test]
async fn a_certificate_that_comes_due_is_renewed_while_payloads_flow() -> Result<()> {
    let nodes = ["a", "b"];
    let fleet = Fleet::prepare("e2e-due").await?;
    let mut network = fleet.network_manifest();
    network["spec"]["pki"] = json!({"leaf": {"lifetime": LIFETIME, "renewBefore": RENEW_BEFORE}});
    fleet.cluster.apply(Kind::TesseraNetwork, &fleet.namespace, &network).await?;
    fleet.set_up_store().await?;
    for node in nodes {
        fleet.create_node(node).await?;
    }
    for node in nodes {
        fleet.node_ready(node).await?;
    }
    let (ledger, key) = (fleet.ledger("a").await?, fleet.public_key("b").await?);
    let first = [served(&fleet, "a").await?, served(&fleet, "b").await?];
    let pods = [pod(&fleet, "a").await?, pod(&fleet, "b").await?];

    // Each turn of the wait is one send, and one that fails ends the test, whatever is awaited.
    let (mut hash, mut payload) = (String::new(), String::new());
    let started = Instant::now();
    for turn in 1.. {
        payload = format!("payload {turn}");
        hash = ledger.send(payload.as_bytes(), std::slice::from_ref(&key)).await?;
        let now = [served(&fleet, "a").await?, served(&fleet, "b").await?];
        if now[0] != first[0] && now[1] != first[1] {
            break;
        }
        ensure!(started.elapsed() < DEADLINE, "after {turn} sends the nodes still serve {now:?}");
    }
    for node in nodes {
        fleet.node_condition(node, "CertificatesServed", "True", "Served").await?;
    }

    ensure!(fleet.ledger("b").await?.payload(&hash).await? == payload.as_bytes());
    ensure!([pod(&fleet, "a").await?, pod(&fleet, "b").await?] == pods, "no pod or container was restarted");
    fleet.done().await
}

/// The fingerprint that a node's pod says it serves.
async fn served(fleet: &Fleet, node: &str) -> Result<Value> {
    let served = fleet.node(node).await?["status"]["pods"][0]["servedFingerprint"].clone();
    ensure!(served.is_string(), "{node} says what it serves");
    Ok(served)
}

/// What changes when a pod or its container is started again.
async fn pod(fleet: &Fleet, node: &str) -> Result<(Value, Value)> {
    let pod = fleet.cluster.get(Kind::Pod, &fleet.namespace, &format!("tessera-{node}-0")).await?;
    Ok((pod["metadata"]["uid"].clone(), pod["status"]["containerStatuses"][0]["restartCount"].clone()))
}
