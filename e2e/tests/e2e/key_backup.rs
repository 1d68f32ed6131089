//! Custodians keep a node's keys offline: they prove that their copies open, and bring the keys back when the secret store is lost.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tessera_backup::BackupFile;
use tessera_backup::custody::{self, Challenge};
use tessera_e2e::checklist_record;
use tessera_e2e::cluster::{Kind, condition};
use tessera_e2e::custodians::{Custodians, DEADLINE, text};
use tessera_e2e::fleet::{Fleet, NETWORK};
use tessera_e2e::wait;
use tessera_enclave::KeyPair;

use super::checklist::line;
use super::lifecycle::pods_gone;

const LINE: &str = "OfflineKeyBackup";

#[tokio::test]
async fn key_backup_is_proven_and_brings_lost_keys_back() -> Result<()> {
    let custodians = Custodians::new(&["alice", "bob", "carol", "eve"])?;
    let fleet = Fleet::start("e2e-key-backup", &["a", "b"]).await?;
    line(&fleet, Kind::TesseraNetwork, NETWORK, LINE, "Violated", "NoRecipients").await?;

    name_custodians(&fleet, &custodians, &["alice", "bob"]).await?;
    not_proven(&fleet, &["alice", "bob"]).await?;
    let alices = the_file_has_the_key_and_opens_for_custodians_alone(&fleet, &custodians).await?;
    forged_and_old_proofs_are_refused(&fleet, &custodians, &alices).await?;
    both_prove_custody(&fleet, &custodians, &alices).await?;
    a_custodian_is_replaced(&fleet, &custodians).await?;
    checklist_record::healed(LINE)?;
    the_store_is_lost(&fleet, &custodians).await?;
    fleet.done().await
}

async fn name_custodians(fleet: &Fleet, custodians: &Custodians, names: &[&str]) -> Result<()> {
    let network = network(fleet, custodians, names)?;
    fleet.cluster.apply(Kind::TesseraNetwork, &fleet.namespace, &network).await.map(drop)
}

fn network(fleet: &Fleet, custodians: &Custodians, names: &[&str]) -> Result<Value> {
    let mut network = fleet.network_manifest();
    network["spec"]["keyBackup"] = custodians.key_backup(names)?;
    Ok(network)
}

/// The line names who has not proven custody, and the node says it, too.
async fn not_proven(fleet: &Fleet, names: &[&str]) -> Result<()> {
    wait::until(&format!("custody of {names:?} not proven"), DEADLINE, || async {
        let found = line(fleet, Kind::TesseraNetwork, NETWORK, LINE, "Violated", "CustodyNotProven").await?;
        let observed = found["observed"].to_string();
        ensure!(names.iter().all(|name| observed.contains(name)), "{observed}");
        ensure!(found["remedy"].to_string().contains("kubectl tessera backup"), "{found}");
        Ok(())
    })
    .await?;
    for node in ["a", "b"] {
        fleet.node_condition(node, "BackupCurrent", "False", "ChallengeDue").await?;
    }
    Ok(())
}

async fn the_file_has_the_key_and_opens_for_custodians_alone(
    fleet: &Fleet,
    custodians: &Custodians,
) -> Result<PathBuf> {
    let path = custodians.export(fleet, "alice", "a").await?;
    let file = BackupFile::from_json(&std::fs::read_to_string(&path)?)?;
    ensure!((file.node.as_str(), file.network.as_str()) == ("a", NETWORK), "{file:?}");
    ensure!(file.keys.len() == 1, "one version: {file:?}");
    let public = fleet.public_key("a").await?;
    for name in ["alice", "bob"] {
        let opened = tessera_backup::open(&file.keys[0], &custodians.identity(name)?)?;
        ensure!(opened.public().to_string() == public, "the node's key, for {name}");
    }
    for name in ["carol", "eve"] {
        let opened = tessera_backup::open(&file.keys[0], &custodians.identity(name)?);
        ensure!(opened.is_err(), "{name} is no custodian");
        let refused = custodians.confirm(fleet, name, &path).await;
        let refused = refused.err().context("who is no custodian proves nothing")?.to_string();
        ensure!(refused.contains("no custodian"), "{refused}");
    }
    Ok(path)
}

async fn challenge(fleet: &Fleet) -> Result<String> {
    let node = fleet.node("a").await?;
    let challenge = node["status"]["keyBackup"]["challenge"].as_str();
    challenge.map(str::to_owned).context("the node asks for no proof")
}

/// An attacker with the right to create proofs, and without a copy: signs with another key, and answers another challenge.
async fn forged_and_old_proofs_are_refused(
    fleet: &Fleet,
    custodians: &Custodians,
    file: &Path,
) -> Result<()> {
    let asked = challenge(fleet).await?;
    let other = KeyPair::generate()?;
    let forged = custody::answer(Challenge { challenge: &asked, custodian: "alice" }, "main", 1, &other);
    let proof = |name: &str, challenge: &str, mac: &str| {
        json!({
            "apiVersion": "tessera.rs/v1alpha1", "kind": "TesseraBackupProof", "metadata": {"name": name},
            "spec": {"nodeRef": {"name": "a"}, "custodian": "alice", "challenge": challenge,
                     "answers": [{"key": "main", "version": 1, "mac": mac}]},
        })
    };
    refused(fleet, &proof("forged", &asked, &forged.mac), "main").await?;

    let file = BackupFile::from_json(&std::fs::read_to_string(file)?)?;
    let pair = tessera_backup::open(&file.keys[0], &custodians.identity("alice")?)?;
    let unasked = "00".repeat(32);
    let right = custody::answer(Challenge { challenge: &unasked, custodian: "alice" }, "main", 1, &pair);
    refused(fleet, &proof("unasked", &unasked, &right.mac), "challenge").await?;
    ensure!(fleet.node("a").await?["status"]["keyBackup"]["custodians"][0]["confirmedAt"].is_null());
    Ok(())
}

async fn refused(fleet: &Fleet, proof: &Value, says: &str) -> Result<()> {
    let name = proof["metadata"]["name"].as_str().context("a name")?;
    fleet.cluster.delete(Kind::TesseraBackupProof, &fleet.namespace, name).await?;
    fleet.cluster.apply(Kind::TesseraBackupProof, &fleet.namespace, proof).await?;
    wait::until(&format!("proof {name} refused"), DEADLINE, || async {
        let judged = fleet.cluster.get(Kind::TesseraBackupProof, &fleet.namespace, name).await?;
        let status = &judged["status"];
        ensure!(status["state"] == "Refused" && status["message"].to_string().contains(says), "{status}");
        Ok(())
    })
    .await
}

async fn both_prove_custody(fleet: &Fleet, custodians: &Custodians, alices: &Path) -> Result<()> {
    let said = custodians.confirm(fleet, "alice", alices).await?;
    ensure!(said.contains("accepted"), "{said}");

    // Bob's identity lies on a machine without a network.
    let bobs = custodians.export(fleet, "bob", "a").await?;
    wait::until("another challenge", DEADLINE, || async {
        let node = fleet.node("a").await?;
        ensure!(node["status"]["keyBackup"]["custodians"][0]["confirmedAt"].is_string(), "{node}");
        Ok(())
    })
    .await?;
    let (asked, identity) = (challenge(fleet).await?, custodians.identity_file("bob"));
    let printed = fleet
        .plugin(
            &[
                "backup",
                "confirm",
                text(&bobs),
                "--custodian",
                "bob",
                "--identity",
                text(&identity),
                "--challenge",
                &asked,
            ],
            &[("KUBECONFIG", "/nonexistent")],
        )
        .await?;
    let proof: Value = serde_yaml::from_str(&printed)?;
    fleet.cluster.apply(Kind::TesseraBackupProof, &fleet.namespace, &proof).await?;

    // Node b's copies are proven by nobody yet.
    wait::until("only node b left", DEADLINE, || async {
        let found = line(fleet, Kind::TesseraNetwork, NETWORK, LINE, "Violated", "CustodyNotProven").await?;
        ensure!(found["observed"].to_string().contains('b'), "{found}");
        fleet.node_condition("a", "BackupCurrent", "True", "Current").await.map(drop)
    })
    .await?;
    for name in ["alice", "bob"] {
        prove(fleet, custodians, name, "b").await?;
    }
    let found = line(fleet, Kind::TesseraNetwork, NETWORK, LINE, "Enforced", "CustodyProven").await?;
    ensure!(found["observed"].is_string() && found["remedy"].is_string(), "{found}");
    Ok(())
}

/// Exports the backup of one node and proves that it opens.
async fn prove(fleet: &Fleet, custodians: &Custodians, name: &str, node: &str) -> Result<()> {
    let file = custodians.export(fleet, name, node).await?;
    custodians.confirm(fleet, name, &file).await.map(drop)
}

/// Bob leaves and Carol comes: the node seals again, and Bob's word counts no more.
async fn a_custodian_is_replaced(fleet: &Fleet, custodians: &Custodians) -> Result<()> {
    let before = fleet.node("a").await?["status"]["keys"][0]["backup"]["fingerprint"].clone();
    ensure!(before.is_string(), "the status has the fingerprint of what the operator keeps");
    name_custodians(fleet, custodians, &["alice", "carol"]).await?;
    not_proven(fleet, &["carol"]).await?;
    let after = fleet.node("a").await?["status"]["keys"][0]["backup"]["fingerprint"].clone();
    ensure!(after.is_string() && after != before, "sealed again: {after}");
    let path = custodians.export(fleet, "carol", "a").await?;
    let file = BackupFile::from_json(&std::fs::read_to_string(&path)?)?;
    ensure!(
        tessera_backup::open(&file.keys[0], &custodians.identity("bob")?).is_err(),
        "no copy for Bob any more"
    );
    for node in ["a", "b"] {
        for name in ["alice", "carol"] {
            prove(fleet, custodians, name, node).await?;
        }
    }
    line(fleet, Kind::TesseraNetwork, NETWORK, LINE, "Enforced", "CustodyProven").await.map(drop)
}

/// All that is left is the volume and Carol's copy.
async fn the_store_is_lost(fleet: &Fleet, custodians: &Custodians) -> Result<()> {
    let (a, b) = (fleet.ledger("a").await?, fleet.ledger("b").await?);
    let (key_a, key_b) = (fleet.public_key("a").await?, fleet.public_key("b").await?);
    let hash = b.send(b"older than the secret store", std::slice::from_ref(&key_a)).await?;

    fleet.cluster.clear(Kind::TesseraNode, &fleet.namespace, "").await?;
    pods_gone(fleet).await?;
    fleet.delete_network().await?;
    let keys = format!("{}/{}/tessera-node-a/keys/main", fleet.path_prefix, fleet.namespace);
    for version in fleet.vault.names("secret", &keys).await? {
        fleet.vault.delete(&format!("secret/metadata/{keys}/{version}")).await?;
    }

    let network = network(fleet, custodians, &["alice", "carol"])?;
    fleet.cluster.apply(Kind::TesseraNetwork, &fleet.namespace, &network).await?;
    let mut manifest = fleet.node_manifest("a");
    manifest["spec"]["keys"][0]["restore"] = json!({"publicKeys": [key_a]});
    fleet.cluster.apply(Kind::TesseraNode, &fleet.namespace, &manifest).await?;
    fleet.create_node("b").await?;

    // What the operator keeps outlives node and network.
    let again = custodians.export(fleet, "alice", "a").await?;
    ensure!(std::fs::read_to_string(again)?.contains(&key_a), "the ciphertext was kept");
    fleet.node_condition("a", "KeysReady", "False", "RestoreAwaited").await?;
    ensure!(fleet.vault.names("secret", &keys).await.is_err(), "the node generated a key in its place");
    let said = custodians.restore(fleet, "carol", "a").await?;
    ensure!(said.contains("accepted"), "{said}");
    let node = fleet.node_ready("a").await?;
    ensure!(node["status"]["keys"][0]["publicKey"] == *key_a, "{}", node["status"]["keys"]);
    let (_, _, message) = condition(&node, "KeysReady").context("no condition")?;
    fleet.node_ready("b").await?;
    fleet.has_one_version_of_its_key("a").await?;
    wait::until("the payload of before is read", DEADLINE, || async {
        ensure!(a.payload(&hash).await? == b"older than the secret store", "{message}");
        Ok(())
    })
    .await?;
    wait::until("the key is served", DEADLINE, || async {
        let sent = a.try_send(b"younger", std::slice::from_ref(&key_b)).await?;
        ensure!(sent.status == 201, "{sent:?}");
        Ok(())
    })
    .await
}
