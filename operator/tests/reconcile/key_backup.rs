//! Backups of keys: ciphertext, proofs and restores, with a node that answers as a test makes it.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use tessera_crds::names;

use crate::fake_node::{FakeNode, RIGHT, public_key};
use crate::operator::Operator;
use crate::pods;
use crate::world::{DEADLINE, World, condition, line, network, node, store_ca};

const ALICE: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
const BOB: &str = "age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg";

fn recipients(all: &[(&str, &str)]) -> Value {
    let all: Vec<_> = all.iter().map(|(name, age)| json!({"name": name, "age": age})).collect();
    json!({"recipients": all})
}

/// A network with these custodians and a node a, whose pod answers.
async fn brought_up(world: &World, all: &[(&str, &str)], number: u8) -> FakeNode {
    let (mut network, mut node) = (network(), node("a"));
    network["spec"]["keyBackup"] = recipients(all);
    network["spec"]["monitoring"] = json!([]);
    node["spec"]["clients"] = json!([]);
    world.create("ConfigMap", store_ca()).await;
    world.create("TesseraNetwork", network).await;
    world.create("TesseraNode", node).await;
    world.until("StatefulSet", "tessera-a", |object| !object.is_null()).await;
    let fake = FakeNode::start(world, "a", number).await;
    pods::make(world, "a").await;
    let ages: Vec<_> = all.iter().map(|(_, age)| *age).collect();
    fake.seal(1, &ages);
    pods::set_running(world, "a", fake.address, true).await;
    fake
}

fn stored(world: &World) -> Api<ConfigMap> {
    Api::namespaced(world.client.clone(), &world.operator_namespace)
}

fn map_name(world: &World) -> String {
    names::node::key_backup(&world.namespace, "a")
}

async fn map(world: &World) -> ConfigMap {
    stored(world).get(&map_name(world)).await.expect("the backup is there")
}

async fn ciphertext(world: &World, version: u32) -> String {
    let entry = names::node::key_backup_entry("main", version, &public_key(version));
    map(world).await.data.unwrap()[&entry].clone()
}

fn custodian<'v>(node: &'v Value, name: &str) -> &'v Value {
    let all = node["status"]["keyBackup"]["custodians"].as_array();
    all.into_iter().flatten().find(|one| one["name"] == name).unwrap_or(&Value::Null)
}

fn challenge(node: &Value) -> String {
    node["status"]["keyBackup"]["challenge"].as_str().unwrap_or_default().to_owned()
}

/// Sends a proof of version 1 for the challenge that the node asks now; returns the challenge.
async fn prove(world: &World, name: &str, custodian: &str, mac: &str) -> String {
    let asked = challenge(&world.until("TesseraNode", "a", |node| !challenge(node).is_empty()).await);
    send_proof(world, name, custodian, &asked, mac).await;
    asked
}

async fn send_proof(world: &World, name: &str, custodian: &str, asked: &str, mac: &str) {
    let proof = json!({
        "apiVersion": "tessera.rs/v1alpha1", "kind": "TesseraBackupProof", "metadata": {"name": name},
        "spec": {"nodeRef": {"name": "a"}, "custodian": custodian, "challenge": asked,
            "answers": [{"key": "main", "version": 1, "mac": mac.repeat(32)}]},
    });
    world.create("TesseraBackupProof", proof).await;
}

async fn until_judged(world: &World, kind: &str, name: &str) -> (String, String) {
    let judged = world.until(kind, name, |object| object["status"]["state"].is_string()).await;
    let text = |key: &str| judged["status"][key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("message"))
}

#[tokio::test]
async fn ciphertext_is_stored_once_and_outlives_node_and_network() {
    let world = World::new("backup").await;
    let operator = Operator::start(&world);
    let fake = brought_up(&world, &[("alice", ALICE)], 1).await;
    let message = world.until_reason("TesseraNode", "a", "BackupCurrent", "ChallengeDue").await;
    assert!(message.contains("alice did not") && message.contains("backup confirm"), "{message}");
    let object = world.get("TesseraNode", "a").await.unwrap();
    assert_eq!(object["status"]["keys"][0]["backup"]["recipients"], json!(["alice"]));
    assert_eq!(object["status"]["keyBackup"]["configMap"], map_name(&world));
    let first = ciphertext(&world, 1).await;
    assert_eq!(fake.with(|state| state.fetched), 1);

    // The node's process starts anew, and seals anew to the same custodians: nothing is fetched.
    fake.seal(1, &[ALICE]);
    let before = operator.reconciles_of_each_kind();
    world.edit("TesseraNode", "a", json!({"metadata": {"annotations": {"touched": "1"}}})).await;
    world.edit("TesseraNetwork", "net", json!({"metadata": {"annotations": {"touched": "1"}}})).await;
    operator.until_reconciled_since(before).await;
    assert_eq!((ciphertext(&world, 1).await, fake.with(|state| state.fetched)), (first.clone(), 1));

    // Another custodian, and another version.
    let both = json!({"spec": {"keyBackup": recipients(&[("alice", ALICE), ("bob", BOB)])}});
    world.edit("TesseraNetwork", "net", both).await;
    world.until_reason("TesseraNode", "a", "BackupCurrent", "NotSealed").await;
    fake.seal(2, &[ALICE, BOB]);
    world.until_reason("TesseraNode", "a", "BackupCurrent", "ChallengeDue").await;
    let object = world.until("TesseraNode", "a", |node| !node["status"]["keys"][1]["backup"].is_null()).await;
    assert_eq!(object["status"]["keys"][1]["backup"]["recipients"], json!(["alice", "bob"]));
    assert_ne!(ciphertext(&world, 1).await, first);

    // Another writer deletes the ConfigMap: the operator makes it again.
    stored(&world).delete(&map_name(&world), &DeleteParams::default()).await.unwrap();
    let end = Instant::now() + DEADLINE;
    while stored(&world).get_opt(&map_name(&world)).await.unwrap().is_none() {
        assert!(Instant::now() < end, "the backup does not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    // Node and network go, and the operator with its next one.
    for (kind, name) in [("TesseraNode", "a"), ("TesseraNetwork", "net")] {
        world.api(kind).delete(name, &DeleteParams::default()).await.unwrap();
        world.until(kind, name, Value::is_null).await;
    }
    assert!(operator.terminate().success());
    let next = Operator::start(&world);
    next.until_serves().await;
    assert_eq!(map(&world).await.data.unwrap().len(), 3, "two versions, and who the node is");
}

#[tokio::test]
async fn a_right_proof_is_accepted_and_a_wrong_or_late_one_is_refused() {
    let world = World::new("custody").await;
    let operator = Operator::start(&world);
    let fake = brought_up(&world, &[("alice", ALICE), ("bob", BOB)], 2).await;
    world.until_reason("TesseraNode", "a", "BackupCurrent", "ChallengeDue").await;
    world
        .until("TesseraNetwork", "net", |object| {
            line(object, "OfflineKeyBackup").is_some_and(|line| line["reason"] == "CustodyNotProven")
        })
        .await;

    let asked = prove(&world, "wrong", "alice", "bb").await;
    let (state, message) = until_judged(&world, "TesseraBackupProof", "wrong").await;
    assert_eq!((state.as_str(), message.as_str()), ("Refused", "the answer is wrong"));
    assert_eq!(prove(&world, "right", "alice", RIGHT).await, asked, "a wrong answer changes nothing");
    let (state, message) = until_judged(&world, "TesseraBackupProof", "right").await;
    assert_eq!(state, "Accepted", "{message}");
    let message = world.until_reason("TesseraNode", "a", "BackupCurrent", "Current").await;
    assert!(message.contains("alice opened") && message.contains("bob did not"), "{message}");
    let object = world.get("TesseraNode", "a").await.unwrap();
    assert!(custodian(&object, "alice")["confirmedAt"].is_string(), "{object:#}");
    assert!(custodian(&object, "bob")["confirmedAt"].is_null(), "{object:#}");
    assert_ne!(challenge(&object), asked, "it was answered");
    world
        .until("TesseraNetwork", "net", |object| {
            line(object, "OfflineKeyBackup").is_some_and(|line| line["reason"] == "CustodyProven")
        })
        .await;

    // The answer again, and one by nobody: the node is not asked.
    let proofs = fake.with(|state| state.proofs);
    send_proof(&world, "late", "bob", &asked, RIGHT).await;
    let (state, message) = until_judged(&world, "TesseraBackupProof", "late").await;
    assert!(state == "Refused" && message.contains("no longer asks"), "{state}: {message}");
    prove(&world, "nobody", "eve", RIGHT).await;
    let (state, message) = until_judged(&world, "TesseraBackupProof", "nobody").await;
    assert!(state == "Refused" && message.contains("no custodian"), "{state}: {message}");
    assert_eq!(fake.with(|state| state.proofs), proofs);

    // Nothing goes on by itself.
    let (contents, fetched) = (world.contents().await, fake.with(|state| state.fetched));
    let before = operator.reconciles_of_each_kind();
    for (kind, name) in [("TesseraNode", "a"), ("TesseraNetwork", "net")] {
        world.edit(kind, name, json!({"metadata": {"annotations": {"touched": "1"}}})).await;
    }
    operator.until_reconciled_since(before).await;
    assert_eq!(world.contents().await, contents);
    assert_eq!(fake.with(|state| state.fetched), fetched);
}

#[tokio::test]
async fn a_proof_for_a_node_that_does_not_answer_stays_until_it_does() {
    let world = World::new("custody-silent").await;
    let _operator = Operator::start(&world);
    let fake = brought_up(&world, &[("alice", ALICE)], 3).await;
    world.until_reason("TesseraNode", "a", "BackupCurrent", "ChallengeDue").await;
    pods::delete(&world, "a").await;
    world.until_reason("TesseraNode", "a", "BackupCurrent", "Waiting").await;
    prove(&world, "early", "alice", RIGHT).await;
    let says_why = |proof: &Value| {
        proof["status"]["message"].as_str().is_some_and(|text| text.contains("the node does not answer"))
    };
    let before = world.until("TesseraBackupProof", "early", says_why).await;
    assert!(before["status"]["state"].is_null(), "{before:#}");
    pods::make(&world, "a").await;
    pods::set_running(&world, "a", fake.address, true).await;
    assert_eq!(until_judged(&world, "TesseraBackupProof", "early").await.0, "Accepted");
}

#[tokio::test]
async fn keys_come_back_and_nothing_is_generated_meanwhile() {
    let world = World::new("restore").await;
    let _operator = Operator::start(&world);
    let mut spec = node("a");
    spec["spec"]["keys"][0]["restore"] = json!({"publicKeys": [public_key(1)]});
    spec["spec"]["clients"] = json!([]);
    let mut network = network();
    network["spec"]["monitoring"] = json!([]);
    world.create("ConfigMap", store_ca()).await;
    world.create("TesseraNetwork", network).await;
    world.create("TesseraNode", spec).await;
    let config = world.until("ConfigMap", "a-dynamic", |object| !object.is_null()).await;
    let config = config["data"]["dynamic.json"].as_str().unwrap_or_default().to_owned();
    assert!(config.contains(&public_key(1)) && config.contains("restore"), "{config}");
    world.until("StatefulSet", "tessera-a", |object| !object.is_null()).await;
    let fake = FakeNode::start(&world, "a", 4).await;
    fake.with(|state| {
        state.restores =
            vec![json!({"key": "main", "version": 1, "publicKey": public_key(1), "state": "Awaited",
            "recipient": BOB})];
    });
    pods::make(&world, "a").await;
    pods::set_running(&world, "a", fake.address, false).await;
    let message = world.until_reason("TesseraNode", "a", "KeysReady", "RestoreAwaited").await;
    assert!(message.contains("version 1 of key main"), "{message}");
    let object = world.get("TesseraNode", "a").await.unwrap();
    let wanted = json!([{"key": "main", "version": 1, "publicKey": public_key(1), "recipient": BOB}]);
    assert_eq!(object["status"]["keyBackup"]["restoreRecipients"], wanted);
    let restore = json!({
        "apiVersion": "tessera.rs/v1alpha1", "kind": "TesseraKeyRestore", "metadata": {"name": "back"},
        "spec": {"nodeRef": {"name": "a"}, "keys": [{"name": "main", "version": 1, "publicKey": public_key(1),
            "recipients": [BOB], "ciphertext": "sealed"}]},
    });
    world.create("TesseraKeyRestore", restore).await;
    let (state, message) = until_judged(&world, "TesseraKeyRestore", "back").await;
    assert!(state == "Accepted" && message.contains("version 1 of key main"), "{state}: {message}");
    let object = world.until("TesseraNode", "a", |node| !node["status"]["keys"][0].is_null()).await;
    assert_eq!(object["status"]["keys"][0]["publicKey"], public_key(1));
    assert!(condition(&object, "BackupCurrent").is_none(), "the network asks for no backup");
}

/// How many operators are killed at once; each has its own namespaces.
const AT_ONCE: u64 = 4;

#[tokio::test]
async fn backup_and_proof_come_about_wherever_the_operator_is_killed() {
    let (mut number, mut killed) = (1, true);
    while killed {
        let batch = (number..number + AT_ONCE)
            .flat_map(|number| [true, false].map(|widens| Box::pin(killed_at(number, widens))));
        killed = futures::future::join_all(batch).await.into_iter().any(|was_killed| was_killed);
        number += AT_ONCE;
    }
    assert!(number > AT_ONCE + 1, "a proof is more than four writes, and so is a wider backup");
}

/// The operator dies after a write, on the way to a wider backup or to a proof. Whether it died.
async fn killed_at(number: u64, widens: bool) -> bool {
    let world = World::new(&format!("custody-killed-{widens}-{number}")).await;
    let first = Operator::start(&world);
    let address = u8::try_from(number * 2 + u64::from(widens)).unwrap();
    let fake = brought_up(&world, &[("alice", ALICE)], 100 + address).await;
    world.until_reason("TesseraNode", "a", "BackupCurrent", "ChallengeDue").await;
    assert!(first.terminate().success());
    if widens {
        let both = json!({"spec": {"keyBackup": recipients(&[("alice", ALICE), ("bob", BOB)])}});
        world.edit("TesseraNetwork", "net", both).await;
        fake.seal(1, &[ALICE, BOB]);
    } else {
        prove(&world, "proof", "alice", RIGHT).await;
    }
    let mut operator = Operator::start_with(&world, &["--fault-point", &format!("after:{number}")]);
    let was_killed = until_killed_or_done(&mut operator, &world, widens).await;
    drop(operator);
    let _operator = Operator::start(&world);
    world.until("TesseraNode", "a", |node| is_done(node, widens)).await;
    if widens {
        // The challenge of before is no longer asked.
        prove(&world, "proof", "alice", RIGHT).await;
    }
    let (state, message) = until_judged(&world, "TesseraBackupProof", "proof").await;
    assert_eq!(state, "Accepted", "killed after {number}: {message}");
    world.until_reason("TesseraNode", "a", "BackupCurrent", "Current").await;
    assert_eq!(map(&world).await.data.unwrap().len(), 2);
    was_killed
}

async fn until_killed_or_done(operator: &mut Operator, world: &World, widens: bool) -> bool {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(by_signal) = operator.was_killed() {
            assert!(by_signal, "the operator ended by itself");
            return true;
        }
        if is_done(&world.get("TesseraNode", "a").await.unwrap(), widens) {
            return false;
        }
        assert!(Instant::now() < end, "neither killed nor done");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Whether the node's status shows both custodians, or alice's proof.
fn is_done(node: &Value, widens: bool) -> bool {
    if widens {
        node["status"]["keys"][0]["backup"]["recipients"] == json!(["alice", "bob"])
            && !custodian(node, "bob").is_null()
    } else {
        custodian(node, "alice")["confirmedAt"].is_string()
    }
}
