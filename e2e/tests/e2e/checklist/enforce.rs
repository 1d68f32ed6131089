//! `checklist.mode: Enforce` holds what widens a network until its violations are accepted, and stops nothing that runs.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tessera_e2e::cluster::Kind;
use tessera_e2e::fleet::{Fleet, NETWORK};
use tessera_e2e::wait;

/// The operator asks a node every 30 s.
const SEEN: Duration = Duration::from_mins(3);

#[tokio::test]
async fn what_widens_a_network_waits_for_its_violations_and_what_runs_goes_on() -> Result<()> {
    let fleet = Fleet::start("e2e-enforce", &["a"]).await?;
    fleet.cluster.clear(Kind::TesseraAttestation, &fleet.namespace, "").await?;
    let ledger = fleet.ledger("a").await?;
    let own_key = fleet.public_key("a").await?;
    let pod = uid(&fleet, "tessera-a-0").await?;
    enforce(&fleet).await?;

    // A new node and a new client wait, each visibly.
    fleet.create_node("b").await?;
    let held = fleet.node_condition("b", "Ready", "False", "ChecklistHeld").await?;
    ensure!(held["status"]["held"][0]["field"] == "spec", "{}", held["status"]["held"]);
    let mut wider = fleet.node_manifest("a");
    let second = json!({"name": "second", "from": [{"podSelector": {"matchLabels": {"app": "second"}}}]});
    wider["spec"]["clients"].as_array_mut().context("no clients")?.push(second);
    fleet.cluster.apply(Kind::TesseraNode, &fleet.namespace, &wider).await?;
    let held = fleet.node_condition("a", "Ready", "False", "ChecklistHeld").await?;
    ensure!(held["status"]["held"][0]["field"] == "spec.clients[second]", "{}", held["status"]["held"]);
    is_missing(&fleet, Kind::StatefulSet, "tessera-b").await?;
    is_missing(&fleet, Kind::Secret, "a-client-second").await?;

    // What runs goes on, and a restart that a person asks for is no widening.
    ledger.send(b"while a change is held", std::slice::from_ref(&own_key)).await?;
    ensure!(uid(&fleet, "tessera-a-0").await? == pod, "the pod was replaced");
    wider["spec"]["restartTrigger"] = json!(1);
    fleet.cluster.apply(Kind::TesseraNode, &fleet.namespace, &wider).await?;
    wait::until("a's pod restarted", SEEN, || async {
        ensure!(uid(&fleet, "tessera-a-0").await? != pod, "still the old pod");
        Ok(())
    })
    .await?;

    // A partner and a scraper of the network wait, too, and are given to nobody.
    let held = widen_network(&fleet).await?;
    ensure!(held == ["spec.partners[org-z]", "spec.monitoring[second]"], "{held:?}");
    is_missing(&fleet, Kind::Secret, &format!("{NETWORK}-monitoring-second")).await?;
    ensure!(!given_partners(&fleet).await?.contains("org-z"), "the nodes were given the partner");

    // People accept what is violated: all changes go through, and none of them rolls a pod.
    let pod = uid(&fleet, "tessera-a-0").await?;
    accept_all(&fleet).await?;
    fleet.node_ready("a").await?;
    fleet.node_ready("b").await?;
    wait::until("the nodes given the partner", SEEN, || async {
        ensure!(given_partners(&fleet).await?.contains("org-z"), "not yet");
        fleet.cluster.get(Kind::Secret, &fleet.namespace, &format!("{NETWORK}-monitoring-second")).await?;
        let network = fleet.cluster.get(Kind::TesseraNetwork, &fleet.namespace, NETWORK).await?;
        ensure!(network["status"]["held"].is_null(), "{}", network["status"]["held"]);
        Ok(())
    })
    .await?;
    fleet.cluster.get(Kind::Secret, &fleet.namespace, "a-client-second").await?;
    ensure!(uid(&fleet, "tessera-a-0").await? == pod, "a's pod was replaced for a client or a partner");
    fleet.cluster.clear(Kind::TesseraAttestation, &fleet.namespace, "").await?;
    fleet.done().await
}

async fn enforce(fleet: &Fleet) -> Result<()> {
    let mut network = fleet.network_manifest();
    network["spec"]["checklist"] = json!({"mode": "Enforce"});
    let applied = fleet.cluster.apply(Kind::TesseraNetwork, &fleet.namespace, &network).await?;
    let generation = applied["metadata"]["generation"].clone();
    wait::until("the network judged as it is now", SEEN, || async {
        let network = fleet.cluster.get(Kind::TesseraNetwork, &fleet.namespace, NETWORK).await?;
        ensure!(network["status"]["observedGeneration"] == generation, "not seen yet");
        // The store of this cluster unseals itself with a key in software.
        ensure!(violated(&network).contains(&"HardwareKeys".to_owned()), "{:?}", violated(&network));
        Ok(())
    })
    .await
}

/// Adds a partner and a scraper; returns what the network's status says is held.
async fn widen_network(fleet: &Fleet) -> Result<Vec<String>> {
    let network = fleet.cluster.get(Kind::TesseraNetwork, &fleet.namespace, NETWORK).await?;
    let own_ca = fleet.cluster.get(Kind::ConfigMap, &fleet.namespace, &format!("{NETWORK}-ca")).await?;
    // Any CA serves: nobody of the partner is there.
    let bundle = json!({"metadata": {"name": "org-z-ca"}, "data": own_ca["data"]});
    fleet.cluster.apply(Kind::ConfigMap, &fleet.namespace, &bundle).await?;
    let mut spec = network["spec"].clone();
    spec["partners"] = json!([{
        "name": "org-z", "trustDomain": "org-z.example", "dnsNames": ["tm.org-z.example"],
        "caBundleRef": {"name": "org-z-ca", "key": "ca.crt"},
        "egress": [{"cidr": "192.0.2.0/24", "port": 9000}],
    }]);
    let second = json!({"name": "second", "from": {"podSelector": {"matchLabels": {"app": "second"}}}});
    match spec["monitoring"].as_array_mut() {
        Some(scrapers) => scrapers.push(second),
        None => spec["monitoring"] = json!([second]),
    }
    let manifest = json!({"metadata": {"name": NETWORK}, "spec": spec});
    fleet.cluster.apply(Kind::TesseraNetwork, &fleet.namespace, &manifest).await?;
    wait::until("changes of the network held", SEEN, || async {
        let network = fleet.cluster.get(Kind::TesseraNetwork, &fleet.namespace, NETWORK).await?;
        let held = network["status"]["held"].as_array().context("nothing is held")?;
        ensure!(held.len() == 2, "{held:?}");
        Ok(held.iter().filter_map(|held| held["field"].as_str().map(str::to_owned)).collect())
    })
    .await
}

/// The file of partners that the nodes read; empty: there is none.
async fn given_partners(fleet: &Fleet) -> Result<String> {
    let map = fleet.cluster.get(Kind::ConfigMap, &fleet.namespace, &format!("{NETWORK}-peers")).await?;
    Ok(map["data"]["partners.json"].as_str().unwrap_or_default().to_owned())
}

/// Lines that turn out to be violated meanwhile are accepted, too.
async fn accept_all(fleet: &Fleet) -> Result<()> {
    let user = fleet.cluster.user().await?;
    wait::until("no change held", SEEN, || async {
        let network = fleet.cluster.get(Kind::TesseraNetwork, &fleet.namespace, NETWORK).await?;
        let mut lines = violated(&network);
        for node in ["a", "b"] {
            lines.extend(violated(&fleet.node(node).await?));
        }
        lines.sort();
        lines.dedup();
        let known = fleet.cluster.list(Kind::TesseraAttestation, &fleet.namespace, "").await?;
        lines.retain(|line| !known.iter().any(|statement| statement["spec"]["line"] == **line));
        for line in lines {
            let exception = json!({
                "metadata": {"name": format!("accept-{}", line.to_lowercase())},
                "spec": {
                    "networkRef": {"name": NETWORK}, "line": line, "type": "Exception", "by": user,
                    "statement": "Accepted by a test of this cluster.",
                    "expires": (Timestamp::now() + SignedDuration::from_hours(1)).to_string(),
                },
            });
            fleet.cluster.apply(Kind::TesseraAttestation, &fleet.namespace, &exception).await?;
        }
        for node in ["a", "b"] {
            let held = fleet.node(node).await?["status"]["held"].clone();
            ensure!(held.is_null(), "{node}: {held}");
        }
        Ok(())
    })
    .await
}

fn violated(object: &Value) -> Vec<String> {
    let lines = object["status"]["checklist"]["lines"].as_array().cloned().unwrap_or_default();
    let violated = lines.into_iter().filter(|line| line["result"] == "Violated");
    violated.filter_map(|line| line["id"].as_str().map(str::to_owned)).collect()
}

async fn uid(fleet: &Fleet, pod: &str) -> Result<Value> {
    Ok(fleet.cluster.get(Kind::Pod, &fleet.namespace, pod).await?["metadata"]["uid"].clone())
}

async fn is_missing(fleet: &Fleet, kind: Kind, name: &str) -> Result<()> {
    let objects = fleet.cluster.list(kind, &fleet.namespace, "").await?;
    ensure!(!objects.iter().any(|object| object["metadata"]["name"] == name), "{name} was made");
    Ok(())
}
