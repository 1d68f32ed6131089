//! Something listens on port 22 of a machine: the operator finds it, and knows nothing while it cannot reach the machine's kubelet.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tessera_e2e::checklist_record;
use tessera_e2e::cluster::Kind;
use tessera_e2e::fleet::{Fleet, NETWORK};
use tessera_e2e::wait;

use super::part;

const LINE: &str = "NoRemoteRoot";
/// The namespace in which an administrator of machines may run pods on the host network.
const HOSTS: &str = "kube-system";
const SERVER: &str = "e2e-ssh-server";
const OPERATORS: &str = "tessera-system";
const POLICY: &str = "tessera-operator";
/// What only a connect shows: the network's probeEvery, and time for the round, the reading and the watch.
const BY_PROBE: Duration = Duration::from_secs(10 + 20);
/// The first time the node and the machine must come up and be read.
const FIRST: Duration = Duration::from_mins(3);

/// Alone: the machine runs other tests' nodes, and the operator's own policy is changed.
#[tokio::test]
async fn serial_an_open_ssh_port_of_a_machine_is_named() -> Result<()> {
    let fleet = Fleet::prepare("e2e-ssh").await?;
    // What an earlier run left.
    stop_server(&fleet).await?;
    fleet.cluster.clear(Kind::TesseraAttestation, &fleet.namespace, "").await?;
    let mut network = fleet.network_manifest();
    network["spec"]["checklist"] = json!({"probeEvery": "10s"});
    fleet.cluster.apply(Kind::TesseraNetwork, &fleet.namespace, &network).await?;
    fleet.set_up_store().await?;
    let machine = a_node_on_another_machine_than_the_operator(&fleet).await?;
    closed(&fleet, &machine, FIRST).await?;

    let open = with_a_server(&fleet, &machine).await;
    // First of all, whatever was seen: all other tests need it.
    stop_server(&fleet).await?;
    open?;
    closed(&fleet, &machine, BY_PROBE).await?;

    // The control: the operator's own egress policy lets it out to no machine.
    let egress = operators_egress(&fleet).await?;
    let elsewhere: Vec<_> = egress.iter().filter(|rule| !names_ssh(rule)).cloned().collect();
    ensure!(elsewhere.len() + 1 == egress.len(), "one rule names port 22: {egress:?}");
    set_egress(&fleet, &elsewhere).await?;
    let unknown = not_free(&fleet, &machine).await;
    set_egress(&fleet, &egress).await?;
    unknown?;
    // After a trial that proves nothing the next one comes in the network's period, too.
    closed(&fleet, &machine, BY_PROBE).await?;
    checklist_record::healed(LINE)?;
    fleet.done().await
}

/// Traffic to the own machine may pass a policy that holds for all others.
async fn a_node_on_another_machine_than_the_operator(fleet: &Fleet) -> Result<String> {
    let operators =
        fleet.cluster.list(Kind::Pod, OPERATORS, "app.kubernetes.io/name=tessera-operator").await?;
    let theirs: Vec<_> = operators.iter().map(|pod| &pod["spec"]["nodeName"]).collect();
    let machines = fleet.cluster.list(Kind::Node, "", "").await?;
    let other = machines.iter().find(|machine| {
        machine["spec"]["taints"].is_null() && !theirs.contains(&&machine["metadata"]["name"])
    });
    let other = other.with_context(|| format!("no machine but the operator's: {theirs:?}"))?;
    let hostname = &other["metadata"]["labels"]["kubernetes.io/hostname"];
    let mut node = fleet.node_manifest("a");
    node["spec"]["pod"] = json!({"nodeSelector": {"kubernetes.io/hostname": hostname}});
    fleet.cluster.apply(Kind::TesseraNode, &fleet.namespace, &node).await?;
    fleet.node_ready("a").await?;
    Ok(other["metadata"]["name"].as_str().context("a machine without a name")?.to_owned())
}

/// Waits until the line is such that `holds` of it.
async fn until(
    fleet: &Fleet,
    what: &str,
    deadline: Duration,
    holds: impl Fn(&Value) -> bool,
) -> Result<Value> {
    wait::until(&format!("{LINE}: {what}"), deadline, || async {
        let network = fleet.cluster.get(Kind::TesseraNetwork, &fleet.namespace, NETWORK).await?;
        let lines = network["status"]["checklist"]["lines"].as_array().context("no lines yet")?;
        let line = lines.iter().find(|line| line["id"] == LINE).context("no line yet")?;
        ensure!(holds(line), "{line}");
        Ok(line.clone())
    })
    .await
}

fn text<'l>(line: &'l Value, name: &str) -> &'l str {
    let parts = line["parts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let part = parts.iter().find(|part| part["name"] == name);
    part.and_then(|part| part["observed"].as_str()).unwrap_or_default()
}

/// Nobody attests the machines, so the line is open; the text says what the operator tried, the control among it.
async fn closed(fleet: &Fleet, machine: &str, deadline: Duration) -> Result<()> {
    let tried = "reaches the kubelet and not TCP port 22";
    until(fleet, "port 22 is closed", deadline, |line| {
        let said = |name: &str| part(line, name) == "Unknown" && text(line, name).contains(tried);
        line["reason"] == "NotAttested"
            && said("Host")
            && said("StoreHost")
            && text(line, "Host").contains(machine)
    })
    .await
    .map(drop)
}

/// The observation that changes: the operator's connect to port 22 of the machine.
async fn with_a_server(fleet: &Fleet, machine: &str) -> Result<()> {
    let stores = fleet.cluster.list(Kind::Pod, "vault", "app.kubernetes.io/name=vault").await?;
    let is_stores = stores.iter().any(|pod| pod["spec"]["nodeName"] == machine);
    start_server(fleet, machine).await?;
    let open = until(fleet, "port 22 is open", BY_PROBE, |line| {
        line["result"] == "Violated" && line["reason"] == "SshOpen"
    })
    .await?;
    ensure!(open["observer"] == "Operator" && open["remedy"].is_string(), "{open}");
    let named = text(&open, "Host");
    ensure!(named.contains(machine) && named.contains("an SSH greeting"), "{open}");
    ensure!(part(&open, "Pod") == "Verified" && part(&open, "Host") == "Violated", "{open}");
    ensure!((part(&open, "StoreHost") == "Violated") == is_stores, "{open}");
    Ok(())
}

/// On the machine's own network, as its SSH server would be.
async fn start_server(fleet: &Fleet, machine: &str) -> Result<()> {
    let server = json!({"metadata": {"name": SERVER, "labels": {"app": SERVER}}, "spec": {
        "nodeName": machine, "hostNetwork": true, "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": false,
        "containers": [{
            "name": "server", "image": fleet.settings.client_image,
            "args": ["listen", "--listen", "0.0.0.0:22", "--greeting", "SSH-2.0-e2e"],
            "securityContext": {"runAsUser": 0},
        }],
    }});
    fleet.cluster.create(Kind::Pod, HOSTS, &server).await?;
    wait::until("something listens on port 22", Duration::from_mins(1), || async {
        let pod = fleet.cluster.get(Kind::Pod, HOSTS, SERVER).await?;
        ensure!(pod["status"]["phase"] == "Running", "{}", pod["status"]);
        Ok(())
    })
    .await
}

async fn stop_server(fleet: &Fleet) -> Result<()> {
    fleet.cluster.clear(Kind::Pod, HOSTS, &format!("app={SERVER}")).await
}

async fn operators_egress(fleet: &Fleet) -> Result<Vec<Value>> {
    let policy = fleet.cluster.get(Kind::NetworkPolicy, OPERATORS, POLICY).await?;
    policy["spec"]["egress"].as_array().cloned().context("the operator's policy has no egress rules")
}

fn names_ssh(rule: &Value) -> bool {
    rule["ports"].as_array().is_some_and(|ports| ports.iter().any(|port| port["port"] == 22))
}

async fn set_egress(fleet: &Fleet, rules: &[Value]) -> Result<()> {
    let patch = json!({"spec": {"egress": rules}});
    fleet.cluster.edit(Kind::NetworkPolicy, OPERATORS, POLICY, &patch).await
}

/// A control that fails makes the line unknown, never better.
async fn not_free(fleet: &Fleet, machine: &str) -> Result<()> {
    let unknown = until(fleet, "the operator is not free", BY_PROBE, |line| {
        line["result"] == "Unknown" && line["reason"] == "ProberNotFree"
    })
    .await?;
    let said = text(&unknown, "Host");
    ensure!(said.contains(machine) && said.contains("proves nothing"), "{unknown}");
    ensure!(unknown["remedy"].as_str().is_some_and(|text| text.contains("machineCIDRs")), "{unknown}");
    Ok(())
}
