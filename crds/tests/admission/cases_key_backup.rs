//! Backups of keys: custodians, their proofs, and keys that come back.

use serde_json::{Value, json};

use crate::case::{
    ABSENT, Case, backup_proof, check_admitted, check_create, check_update, key_restore, network, node,
};
use crate::fixture::{self, ALICE, BOB, key};

const FIRST: &str = "BULeR8JyUWhiuuCMU/HLA0Q5pzkYT+cHII3ZKBey3Bo=";
const SECOND: &str = "QfeDAys9MPDs2XHExtc84jKGHxZg/aj52DTh0vtA3Xc=";

#[tokio::test]
async fn invalid_backups_are_refused_and_their_twins_admitted() {
    let cases = [custodians(), restores(), proofs(), returns()];
    check_create("backup-create", cases.into_iter().flatten().collect()).await;
}

fn custodians() -> Vec<Case> {
    vec![
        network("more than all must prove")
            .at("/spec/keyBackup/threshold")
            .refuses(json!(3))
            .saying(&["spec.keyBackup.threshold", "must not exceed the number of recipients"])
            .admits(json!(1)),
        network("nobody need prove")
            .at("/spec/keyBackup/threshold")
            .refuses(json!(0))
            .saying(&["spec.keyBackup.threshold", "greater than or equal to 1"])
            .admits(ABSENT),
        network("nobody")
            .at("/spec/keyBackup")
            .refuses(json!({ "recipients": [] }))
            .saying(&["spec.keyBackup.recipients", "at least 1 items"])
            .admits(json!({ "recipients": [{ "name": "alice", "age": ALICE }] })),
        network("more custodians than a list takes")
            .at("/spec/keyBackup/recipients")
            .refuses((0..17).map(custodian).collect::<Value>())
            .saying(&["spec.keyBackup.recipients", "at most 16 items"])
            .admits((0..16).map(custodian).collect::<Value>()),
        network("a name twice")
            .at("/spec/keyBackup/recipients")
            .refuses(json!([{ "name": "alice", "age": ALICE }, { "name": "alice", "age": BOB }]))
            .saying(&["spec.keyBackup.recipients[1]", "Duplicate value"])
            .admits(json!([{ "name": "alice", "age": ALICE }, { "name": "bob", "age": BOB }])),
        network("two custodians with one identity")
            .at("/spec/keyBackup/recipients/1/age")
            .refuses(json!(ALICE))
            .saying(&["spec.keyBackup.recipients", "an age recipient of their own"])
            .admits(json!(BOB)),
        network("a name that is no label")
            .at("/spec/keyBackup/recipients/0/name")
            .refuses(json!("Alice Smith"))
            .saying(&["spec.keyBackup.recipients[0].name", "DNS label"])
            .admits(json!("alice-smith")),
        network("an identity in place of a recipient")
            .at("/spec/keyBackup/recipients/0/age")
            .refuses(json!("AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPY"))
            .saying(&["spec.keyBackup.recipients[0].age", "age-keygen -y"])
            .admits(json!(ALICE)),
        network("a proof that counts for no time")
            .at("/spec/keyBackup/challengeEvery")
            .refuses(json!("59m"))
            .saying(&["spec.keyBackup.challengeEvery", "1h to 8760h"])
            .admits(json!("1h")),
    ]
}

/// A custodian by number; the digits of an age recipient are no letters of the number, so the last letters tell them apart.
fn custodian(number: usize) -> Value {
    let letters: Vec<_> = "qpzry9x8gf2tvdw0s3jn54khce6mua7l".chars().collect();
    let age = format!("{}{}", &ALICE[..ALICE.len() - 1], letters[number]);
    json!({ "name": format!("c{number}"), "age": age })
}

fn restore(keys: &[&str]) -> Value {
    json!({ "publicKeys": keys })
}

fn restores() -> Vec<Case> {
    vec![
        node("a restore of no version")
            .at("/spec/keys/0/restore")
            .refuses(restore(&[]))
            .saying(&["spec.keys[0].restore.publicKeys", "at least 1 items"])
            .admits(restore(&[FIRST])),
        node("a restore of what is no public key")
            .at("/spec/keys/0/restore")
            .refuses(restore(&[FIRST, "AAAA"]))
            .saying(&["spec.keys[0].restore.publicKeys[1]", "base64 of 32 bytes"])
            .admits(restore(&[FIRST, SECOND])),
        node("a restore of more versions than a list takes")
            .at("/spec/keys/0/restore")
            .refuses(restore(&[FIRST; 65]))
            .saying(&["spec.keys[0].restore.publicKeys", "at most 64 items"])
            .admits(restore(&[FIRST; 64])),
        node("an import and a restore")
            .given("/spec/keys/0/import", json!({ "secretRef": { "name": "java-key", "key": "tm.key" } }))
            .at("/spec/keys/0/restore")
            .refuses(restore(&[FIRST]))
            .saying(&["spec.keys[0].restore", "either imported or restored"])
            .admits(ABSENT),
        node("more restored versions than a node has")
            .at("/spec/keys")
            .refuses(restored_keys(5))
            .saying(&["spec.keys", "those that are restored included"])
            .admits(restored_keys(4)),
    ]
}

/// So many keys of 64 versions each.
fn restored_keys(count: usize) -> Value {
    let one = |number: usize| {
        let mut key = key(&format!("k{number}"));
        key["default"] = json!(number == 0);
        key["restore"] = restore(&[FIRST; 64]);
        key
    };
    (0..count).map(one).collect()
}

fn proofs() -> Vec<Case> {
    let answer = |version: usize| json!({ "key": "main", "version": version, "mac": "ab".repeat(32) });
    vec![
        backup_proof("a challenge that is none")
            .at("/spec/challenge")
            .refuses(json!("0F".repeat(32)))
            .saying(&["spec.challenge", "64 hexadecimal digits"])
            .admits(json!("1e".repeat(32))),
        backup_proof("an answer that is none")
            .at("/spec/answers/0/mac")
            .refuses(json!("yes"))
            .saying(&["spec.answers[0].mac", "64"])
            .admits(json!("00".repeat(32))),
        backup_proof("no answer")
            .at("/spec/answers")
            .refuses(json!([]))
            .saying(&["spec.answers", "at least 1 items"])
            .admits(json!([answer(1)])),
        backup_proof("two answers for one version")
            .at("/spec/answers")
            .refuses(json!([answer(1), answer(1)]))
            .saying(&["spec.answers[1]", "Duplicate value"])
            .admits(json!([answer(1), answer(2)])),
        backup_proof("nobody's proof")
            .at("/spec/custodian")
            .refuses(ABSENT)
            .saying(&["spec.custodian", "Required value"])
            .admits(json!("bob")),
    ]
}

fn returns() -> Vec<Case> {
    vec![
        key_restore("sealed to two")
            .at("/spec/keys/0/recipients")
            .refuses(json!([ALICE, BOB]))
            .saying(&["spec.keys[0].recipients", "at most 1 item"])
            .admits(json!([BOB])),
        key_restore("longer than a sealed key")
            .at("/spec/keys/0/ciphertext")
            .refuses(json!("x".repeat(4097)))
            .saying(&["spec.keys[0].ciphertext", "4096"])
            .admits(json!("x".repeat(4096))),
        key_restore("version zero")
            .at("/spec/keys/0/version")
            .refuses(json!(0))
            .saying(&["spec.keys[0].version", "greater than or equal to 1"])
            .admits(json!(256)),
    ]
}

/// The status of a node that has versions of its key, from 1.
fn with_versions(public_keys: &[&str]) -> Value {
    let version = |(number, public_key): (usize, &&str)| json!({ "name": "main", "version": number + 1, "publicKey": public_key, "state": "Receiving" });
    let condition = json!({ "type": "Ready", "status": "False", "reason": "Progressing", "message": "m",
        "lastTransitionTime": "2027-01-01T00:00:00Z" });
    json!({ "keys": public_keys.iter().enumerate().map(version).collect::<Vec<_>>(), "conditions": [condition] })
}

#[tokio::test]
async fn what_custodians_sent_stands_as_it_was_made() {
    let proof = [("/spec/custodian", json!("bob")), ("/spec/challenge", json!("1e".repeat(32)))];
    let proof = proof.map(|(field, value)| {
        let case = backup_proof("a proof that changes").at(field).refuses(value);
        let same = fixture::backup_proof().pointer(field).cloned();
        case.saying(&["spec is immutable", "another TesseraBackupProof"]).admits(same)
    });
    let restore = key_restore("keys that change")
        .at("/spec/keys/0/version")
        .refuses(json!(2))
        .saying(&["spec is immutable", "another TesseraKeyRestore"])
        .admits(json!(1));
    let cases = proof.into_iter().chain([restore]).chain(changed_restores());
    check_update("backup-update", cases.collect()).await;
}

fn changed_restores() -> Vec<Case> {
    let of = |name, keys: &[&str], status: Value| {
        node(name).given("/spec/keys/0/restore", restore(keys)).given("/status", status)
    };
    vec![
        of("another key for a version that is there", &[FIRST, SECOND], with_versions(&[FIRST]))
            .at("/spec/keys/0/restore")
            .refuses(restore(&[SECOND, SECOND]))
            .saying(&["spec.keys", "keeps its public key"])
            .admits(restore(&[FIRST, FIRST])),
        node("a restore into another key")
            .given("/spec/keys/0/rotation", json!({ "trigger": 0 }))
            .given("/status", with_versions(&[FIRST]))
            .at("/spec/keys/0/restore")
            .refuses(restore(&[SECOND]))
            .saying(&["spec.keys", "keeps its public key"])
            .admits(restore(&[FIRST, SECOND])),
        of("a restore that is removed before it is done", &[FIRST, SECOND], with_versions(&[FIRST]))
            .at("/spec/keys/0/restore")
            .refuses(ABSENT)
            .saying(&["spec.keys", "only once status.keys has the last of its versions"])
            .admits(restore(&[FIRST, SECOND, FIRST])),
        of("a restore that becomes shorter before it is done", &[FIRST, SECOND], with_versions(&[FIRST]))
            .at("/spec/keys/0/restore")
            .refuses(restore(&[FIRST]))
            .saying(&["spec.keys", "become shorter only once"])
            .admits(restore(&[FIRST, SECOND])),
        of("a restore that is removed before anything came back", &[FIRST, SECOND], with_versions(&[]))
            .at("/spec/keys/0/restore")
            .refuses(ABSENT)
            .saying(&["spec.keys", "the node would generate others in their place"])
            .admits(restore(&[SECOND])),
    ]
}

#[tokio::test]
async fn a_restore_that_is_done_can_be_removed() {
    let done = node("a restore that is done")
        .given("/spec/keys/0/restore", restore(&[FIRST, SECOND]))
        .given("/status", with_versions(&[FIRST, SECOND]))
        .at("/spec/keys/0/restore")
        .admits(ABSENT);
    check_admitted("backup-done", vec![done]).await;
}
