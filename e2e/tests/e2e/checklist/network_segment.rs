//! The operator, a stranger to P2P and Q2T, finds out whether policies hold; a policy of others that opens a node is named.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tessera_e2e::checklist_record;
use tessera_e2e::cluster::Kind;
use tessera_e2e::fleet::{Fleet, NETWORK};
use tessera_e2e::wait;

use super::line;

const LINE: &str = "NetworkSegment";
const POLICY: &str = "open-p2p";
/// What an object shows.
const BY_WATCH: Duration = Duration::from_secs(10);
/// What only a connect shows: the network's probeEvery, and time for the round and the watch.
const BY_PROBE: Duration = Duration::from_secs(20 + 20);

/// Scales the operator: the one that stands by is the control of the other's connects.
#[tokio::test]
async fn serial_a_stranger_and_a_policy_of_others_are_seen() -> Result<()> {
    let fleet = Fleet::start("e2e-segment", &["a", "b"]).await?;
    // What an earlier run left.
    fleet.break_glass.delete(Kind::NetworkPolicy, &fleet.namespace, POLICY).await?;
    let mut network = fleet.network_manifest();
    network["spec"]["checklist"] = json!({"probeEvery": "20s"});
    fleet.cluster.apply(Kind::TesseraNetwork, &fleet.namespace, &network).await?;
    operators(&fleet, 1).await?;
    let alone = line(&fleet, Kind::TesseraNode, "a", LINE, "Enforced", "NoControl").await?;
    ensure!(alone["remedy"].as_str().is_some_and(|text| text.contains("replicas")), "{alone}");
    operators(&fleet, 2).await?;
    let seen = with_a_control(&fleet).await;
    operators(&fleet, 1).await?;
    seen?;
    checklist_record::healed("NetworkSegment")?;
    fleet.done().await
}

async fn with_a_control(fleet: &Fleet) -> Result<()> {
    holds(fleet).await?;
    a_policy_of_others_opens_a_node(fleet).await?;
    // What the platform's team denies everybody is no allowance.
    let deny = policy(&json!({}), &json!([]));
    fleet.break_glass.apply(Kind::NetworkPolicy, &fleet.namespace, &deny).await?;
    wait::holds("a policy without rules does no harm", BY_WATCH, || async {
        let found = found(fleet).await?;
        ensure!(is_closed(&found), "{found}");
        Ok(())
    })
    .await?;
    fleet.break_glass.delete(Kind::NetworkPolicy, &fleet.namespace, POLICY).await
}

/// The best that this cluster can show: policies were tried. Whether other pods share the machine depends on where they run now.
async fn holds(fleet: &Fleet) -> Result<()> {
    let held = closed(fleet, Kind::TesseraNode, "a").await?;
    let observed = held["observed"].as_str().unwrap_or_default();
    ensure!(observed.contains("a control on the same ports was reached"), "{held}");
    ensure!(held["observer"] == "Operator" && held["validUntil"].is_string(), "{held}");
    closed(fleet, Kind::TesseraNetwork, NETWORK).await.map(drop)
}

async fn closed(fleet: &Fleet, kind: Kind, name: &str) -> Result<Value> {
    wait::until(&format!("{name}: {LINE} holds"), Duration::from_mins(3), || async {
        let object = fleet.cluster.get(kind, &fleet.namespace, name).await?;
        let lines = object["status"]["checklist"]["lines"].as_array().cloned().unwrap_or_default();
        let found = lines.into_iter().find(|line| line["id"] == LINE).unwrap_or_default();
        ensure!(is_closed(&found), "{found}");
        Ok(found)
    })
    .await
}

fn is_closed(line: &Value) -> bool {
    (line["result"] == "Enforced" && line["reason"] == "PolicyOnly") || line["result"] == "Verified"
}

/// The chart's admission policy refuses such a policy to a person; one who passes it is the test of what the operator sees.
async fn a_policy_of_others_opens_a_node(fleet: &Fleet) -> Result<()> {
    let open = policy(
        &json!({"matchLabels": {"tessera.rs/node": "a"}}),
        &json!([{"ports": [{"protocol": "TCP", "port": 9000}]}]),
    );
    fleet.break_glass.apply(Kind::NetworkPolicy, &fleet.namespace, &open).await?;
    // The observation that changes first is the watch's.
    observed(fleet, BY_WATCH, &[POLICY]).await?;
    // Then the operator's connect, which the policy lets through.
    observed(fleet, BY_PROBE, &[POLICY, "connected to P2P (port 9000) of pod tessera-a-0"]).await?;
    line(fleet, Kind::TesseraNetwork, NETWORK, LINE, "Violated", "ForeignPolicy").await?;
    closed(fleet, Kind::TesseraNode, "b").await?;
    fleet.break_glass.delete(Kind::NetworkPolicy, &fleet.namespace, POLICY).await?;
    holds(fleet).await
}

async fn observed(fleet: &Fleet, deadline: Duration, texts: &[&str]) -> Result<()> {
    wait::until(&format!("{LINE} says {texts:?}"), deadline, || async {
        let found = found(fleet).await?;
        ensure!(found["result"] == "Violated" && found["reason"] == "ForeignPolicy", "{found}");
        let observed = found["observed"].as_str().unwrap_or_default();
        ensure!(texts.iter().all(|text| observed.contains(text)), "{found}");
        Ok(())
    })
    .await
}

async fn found(fleet: &Fleet) -> Result<Value> {
    let node = fleet.node("a").await?;
    let lines = node["status"]["checklist"]["lines"].as_array().cloned().unwrap_or_default();
    Ok(lines.into_iter().find(|line| line["id"] == LINE).unwrap_or_default())
}

fn policy(pods: &Value, ingress: &Value) -> Value {
    json!({
        "metadata": {"name": POLICY},
        "spec": {"podSelector": pods, "policyTypes": ["Ingress"], "ingress": ingress},
    })
}

async fn operators(fleet: &Fleet, count: usize) -> Result<()> {
    let replicas = json!({"spec": {"replicas": count}});
    fleet.cluster.edit(Kind::Deployment, "tessera-system", "tessera-operator", &replicas).await?;
    wait::until(&format!("{count} operators"), Duration::from_mins(2), || async {
        let selector = "app.kubernetes.io/name=tessera-operator";
        let pods = fleet.cluster.list(Kind::Pod, "tessera-system", selector).await?;
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        ensure!(pods.len() == count && ready == count, "{} pods, {ready} ready", pods.len());
        Ok(())
    })
    .await
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|it| it["type"] == "Ready" && it["status"] == "True"))
}
