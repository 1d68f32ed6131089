//! The cluster, its etcd and Vault are lost; volumes, manifests and the files of one custodian remain. What follows are the steps of
//! the README's "Bringing keys back". Run it with `hack/drill restore`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tessera_e2e::cluster::Cluster;
use tessera_e2e::custodians::Custodians;
use tessera_e2e::fleet::Fleet;
use tessera_e2e::vault::Vault;

use crate::before::{self, Before};
use crate::{NAMESPACE, NODES, apply_manifests, readable, rebuild_cluster, send, serving};

const CUSTODIAN: &str = "alice";

#[tokio::test]
async fn restore_keys_from_a_custodians_files() -> Result<()> {
    let custodians = Custodians::new(&[CUSTODIAN])?;
    let key_backup = custodians.key_backup(&[CUSTODIAN])?;
    let mut fleet = Fleet::prepare(NAMESPACE).await?;
    apply_manifests(&fleet, &key_backup, |_, _| {}).await?;
    fleet.set_up_store().await?;
    let ledgers = serving(&fleet).await?;
    let old = send(&fleet, &ledgers, "before the loss").await?;
    let before = Before::take(&fleet, &NODES).await?;
    keep_copies(&fleet, &custodians).await?;

    let begun = Instant::now();
    rebuild_cluster().await?;
    fleet.cluster = Cluster::connect().await?;
    ensure!(before::cluster_uid(&fleet.cluster).await? != before.cluster_uid, "another cluster");
    take_other_vault(&mut fleet)?;
    let stands = begun.elapsed();

    before.bring_volumes_back(&fleet.cluster).await?;
    let awaited = |node: &str, manifest: &mut Value| {
        manifest["spec"]["keys"][0]["restore"] = json!({"publicKeys": [before.public_key(node)]});
    };
    apply_manifests(&fleet, &key_backup, awaited).await?;
    fleet.set_up_store().await?;
    for node in NODES {
        fleet.node_condition(node, "KeysReady", "False", "RestoreAwaited").await?;
        let said = custodians.restore(&fleet, CUSTODIAN, node).await?;
        ensure!(said.contains("accepted"), "{said}");
    }
    let ledgers = serving(&fleet).await?;
    before.public_keys_and_volumes_are_the_same(&fleet).await?;
    let keys = begun.elapsed();

    readable(&ledgers, &old).await?;
    let payloads = begun.elapsed();
    let new = send(&fleet, &ledgers, "after the loss").await?;
    readable(&ledgers, &new).await?;
    keep_copies(&fleet, &custodians).await?;
    println!(
        "drill restore: {} keys and {} payloads back; since the loss: cluster, store and operator stand after {} s, keys after {} s, payloads after {} s",
        NODES.len(),
        old.len(),
        stands.as_secs(),
        keys.as_secs(),
        payloads.as_secs(),
    );
    fleet.done().await
}

/// The custodian exports each node's backup and proves that it opens.
async fn keep_copies(fleet: &Fleet, custodians: &Custodians) -> Result<()> {
    for node in NODES {
        fleet.node_condition(node, "BackupCurrent", "False", "ChallengeDue").await?;
        let file = custodians.export(fleet, CUSTODIAN, node).await?;
        let said = custodians.confirm(fleet, CUSTODIAN, &file).await?;
        ensure!(said.contains("accepted"), "{said}");
        fleet.node_condition(node, "BackupCurrent", "True", "Current").await?;
    }
    Ok(())
}

/// The Vault that stands in the place of the lost one: another address, CA and administrator, and nothing in it.
fn take_other_vault(fleet: &mut Fleet) -> Result<()> {
    let directory: PathBuf = std::env::var("TESSERA_OTHER_VAULT")
        .context("no other Vault: run this with hack/drill restore")?
        .into();
    let path = |name: &str| {
        Ok::<_, anyhow::Error>(directory.join(name).to_str().context("a path is text")?.to_owned())
    };
    let address = std::fs::read_to_string(directory.join("address"))?;
    ensure!(address != fleet.settings.vault_address, "another Vault");
    fleet.settings.vault_address = address;
    fleet.settings.vault_ca_file = path("vault-ca.pem")?;
    fleet.settings.vault_token_file = path("vault-token")?;
    fleet.vault = Vault::connect(&fleet.settings)?;
    Ok(())
}
