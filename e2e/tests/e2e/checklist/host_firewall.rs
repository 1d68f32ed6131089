//! A node finds out what its pod reaches and must not: a policy of others lets it out, or the network forbids what it allows.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tessera_e2e::cluster::Kind;
use tessera_e2e::fleet::Fleet;
use tessera_e2e::wait;

use super::line;

const LINE: &str = "HostFirewall";
const POLICY: &str = "let-out";
const API_SERVER: &str = "kubernetes.default.svc:443";
/// The node's round, the operator's question, and the kubelet's time to bring a changed ConfigMap.
const SEEN: Duration = Duration::from_mins(3);

#[tokio::test]
async fn what_a_node_reaches_and_must_not_is_named() -> Result<()> {
    let fleet = Fleet::start("e2e-firewall", &["a"]).await?;
    must_not_reach(&fleet, &json!([])).await?;
    closed(&fleet).await?;

    // The observation that changes: the node's connect to the API server.
    let open = json!({
        "metadata": {"name": POLICY},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]},
    });
    fleet.break_glass.apply(Kind::NetworkPolicy, &fleet.namespace, &open).await?;
    reached(&fleet, API_SERVER).await?;
    fleet.break_glass.delete(Kind::NetworkPolicy, &fleet.namespace, POLICY).await?;
    closed(&fleet).await?;

    // The same of an address that only this network forbids: its store's, which its policy lets the node reach.
    let store = format!("{}:8200", store_address(&fleet).await?);
    must_not_reach(&fleet, &json!([store])).await?;
    reached(&fleet, &store).await?;
    must_not_reach(&fleet, &json!([])).await?;
    closed(&fleet).await?;
    fleet.done().await
}

async fn must_not_reach(fleet: &Fleet, targets: &Value) -> Result<()> {
    let mut network = fleet.network_manifest();
    network["spec"]["checklist"] = json!({"probeEvery": "20s", "mustNotReach": targets});
    fleet.cluster.apply(Kind::TesseraNetwork, &fleet.namespace, &network).await.map(drop)
}

async fn reached(fleet: &Fleet, target: &str) -> Result<()> {
    wait::until(&format!("{LINE} names {target}"), SEEN, || async {
        let found = line(fleet, Kind::TesseraNode, "a", LINE, "Violated", "EgressOpen").await?;
        ensure!(found["observer"] == "Node", "{found}");
        ensure!(found["observed"].as_str().is_some_and(|text| text.contains(target)), "{found}");
        Ok(())
    })
    .await
}

/// Nobody attests the hosts, so the line is open; the pod's part is what the node observes.
async fn closed(fleet: &Fleet) -> Result<()> {
    wait::until(&format!("{LINE} of the pod holds"), SEEN, || async {
        let found = line(fleet, Kind::TesseraNode, "a", LINE, "Unknown", "NotAttested").await?;
        let parts = found["parts"].as_array().context("no parts")?;
        let pod = parts.iter().find(|part| part["name"] == "Pod").context("no part of the pod")?;
        ensure!(pod["result"] == "Verified", "{pod}");
        ensure!(pod["observed"].as_str().is_some_and(|text| text.contains(API_SERVER)), "{pod}");
        Ok(())
    })
    .await
}

async fn store_address(fleet: &Fleet) -> Result<String> {
    let pods = fleet.cluster.list(Kind::Pod, "vault", "app.kubernetes.io/name=vault").await?;
    let address = pods.first().and_then(|pod| pod["status"]["podIP"].as_str());
    Ok(address.context("the store's pod has no address")?.to_owned())
}
