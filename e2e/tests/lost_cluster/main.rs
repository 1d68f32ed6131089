//! The cluster and its etcd are lost; Vault, volumes and manifests remain. What follows are the steps of the README's "When a
//! cluster is lost", and no other. Run it with `hack/e2e lost-cluster`. In `restore` Vault is lost, too.

mod before;
mod restore;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tessera_e2e::cluster::{Cluster, Kind, condition};
use tessera_e2e::fleet::{Fleet, Ledger, NETWORK};

use before::{Before, Payload, names};

const NAMESPACE: &str = "e2e-lost-cluster";
const NODES: [&str; 3] = ["a", "b", "c"];
/// What is sent in each of the two lives.
const SENDS: usize = 18;

#[tokio::test]
async fn a_lost_cluster_is_rebuilt_from_manifests_vault_and_volumes() -> Result<()> {
    let mut fleet = Fleet::prepare(NAMESPACE).await?;
    apply_manifests(&fleet, &Value::Null, |_, _| {}).await?;
    fleet.set_up_store().await?;
    let ledgers = serving(&fleet).await?;
    let old = send(&fleet, &ledgers, "before the loss").await?;
    let before = Before::take(&fleet, &NODES).await?;

    rebuild_cluster().await?;
    before.keys_are_older_than_the_clocks_tolerance().await?;
    fleet.cluster = Cluster::connect().await?;
    ensure!(before::cluster_uid(&fleet.cluster).await? != before.cluster_uid, "another cluster");
    before.bring_volumes_back(&fleet.cluster).await?;
    apply_manifests(&fleet, &Value::Null, |_, _| {}).await?;
    let ledgers = serving(&fleet).await?;

    before.keys_and_volumes_are_the_same(&fleet).await?;
    ensure!(
        names(&fleet).await? == before.names,
        "before: {:?}\nnow: {:?}",
        before.names,
        names(&fleet).await?
    );
    the_new_ca_is_reported(&fleet, &before).await?;
    readable(&ledgers, &old).await?;
    let new = send(&fleet, &ledgers, "after the loss").await?;
    readable(&ledgers, &new).await?;
    fleet.done().await
}

/// What lies in Git: the ConfigMap with Vault's CA, the network, its nodes.
async fn apply_manifests(fleet: &Fleet, key_backup: &Value, change: impl Fn(&str, &mut Value)) -> Result<()> {
    let ca = std::fs::read_to_string(&fleet.settings.vault_ca_file)?;
    let bundle = json!({"metadata": {"name": "vault-ca"}, "data": {"ca.crt": ca}});
    fleet.cluster.apply(Kind::ConfigMap, NAMESPACE, &bundle).await?;
    let mut network = network_manifest(fleet)?;
    if !key_backup.is_null() {
        network["spec"]["keyBackup"] = key_backup.clone();
    }
    fleet.cluster.apply(Kind::TesseraNetwork, NAMESPACE, &network).await?;
    for node in NODES {
        let mut manifest = fleet.node_manifest(node);
        manifest["spec"]["storage"]["embedded"]["storageClassName"] = json!("standard-retain");
        change(node, &mut manifest);
        fleet.cluster.apply(Kind::TesseraNode, NAMESPACE, &manifest).await?;
    }
    Ok(())
}

/// The nodes reach this Vault at the address at which the tests do.
fn network_manifest(fleet: &Fleet) -> Result<Value> {
    let address = &fleet.settings.vault_address;
    let (host, port) = address
        .strip_prefix("https://")
        .and_then(|host_port| host_port.rsplit_once(':'))
        .with_context(|| format!("{address} is not https://host:port"))?;
    let mut manifest = fleet.network_manifest();
    let store = &mut manifest["spec"]["secretStore"];
    store["vault"]["address"] = json!(address);
    store["egress"] = json!([{"cidr": format!("{host}/32"), "port": port.parse::<u16>()?}]);
    Ok(manifest)
}

/// The ledger stand-ins, once all nodes are ready.
async fn serving(fleet: &Fleet) -> Result<Vec<Ledger>> {
    let mut ledgers = Vec::new();
    for node in NODES {
        fleet.node_ready(node).await?;
    }
    for node in NODES {
        ledgers.push(fleet.ledger(node).await?);
    }
    Ok(ledgers)
}

/// Payloads of different sizes, from each node to each single other one and to both.
async fn send(fleet: &Fleet, ledgers: &[Ledger], life: &str) -> Result<Vec<Payload>> {
    let mut keys = Vec::new();
    for node in NODES {
        keys.push(fleet.public_key(node).await?);
    }
    let mut sent = Vec::new();
    for number in 0..SENDS {
        let sender = number % NODES.len();
        let others: Vec<_> = (0..NODES.len()).filter(|node| *node != sender).collect();
        let to = match number / NODES.len() % 3 {
            2 => others,
            one => vec![others[one]],
        };
        let recipients: Vec<_> = to.iter().map(|node| keys[*node].clone()).collect();
        let content = format!("{number} {life} ").repeat(1 + 20 * number).into_bytes();
        let hash = ledgers[sender].send(&content, &recipients).await?;
        let holders = [&[sender][..], &to].concat();
        sent.push(Payload { hash, content, holders });
    }
    Ok(sent)
}

/// Each holder gives the payload, and each other node says that it has none: not that it lost what it had.
async fn readable(ledgers: &[Ledger], payloads: &[Payload]) -> Result<()> {
    for payload in payloads {
        for (node, ledger) in ledgers.iter().enumerate() {
            if payload.holders.contains(&node) {
                let found = ledger.payload(&payload.hash).await?;
                ensure!(found == payload.content, "{} at {}: another payload", payload.hash, NODES[node]);
            } else {
                let answer = ledger.receive(&payload.hash).await?;
                ensure!(answer.status == 404, "{} at {}: {answer:?}", payload.hash, NODES[node]);
            }
        }
    }
    Ok(())
}

/// The loss of everything that etcd knew, and the README's steps up to the installed chart.
async fn rebuild_cluster() -> Result<()> {
    let script =
        std::env::var("TESSERA_REBUILD_CLUSTER").context("no script: run this with hack/e2e lost-cluster")?;
    let rebuilding = tokio::process::Command::new(script).status();
    let status = tokio::time::timeout(Duration::from_mins(10), rebuilding).await??;
    ensure!(status.success(), "the cluster could not be made again: {status}");
    Ok(())
}

async fn the_new_ca_is_reported(fleet: &Fleet, before: &Before) -> Result<()> {
    let network = fleet.network_condition("AuthorityReplaced", "True", "KeysPredateAuthority").await?;
    let (_, _, message) = condition(&network, "AuthorityReplaced").context("no condition")?;
    let bundle = format!("{NETWORK}-ca");
    ensure!(message.contains(&bundle), "the message names the ConfigMap: {message}");
    ensure!(before::ca_bundle(fleet).await? != before.ca_bundle, "{bundle} holds the old CA");
    let events = fleet.cluster.list(Kind::Event, NAMESPACE, "").await?;
    let about_it = events.iter().filter(|event| event["reason"] == "AuthorityReplaced").count();
    ensure!(about_it == 1, "{about_it} events");
    Ok(())
}
