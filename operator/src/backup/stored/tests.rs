use serde_json::json;
use tessera_node_api::key_backup::BackupStatus;

use super::*;
use crate::backup::fixtures::{ALICE, BOB, custodians};
use crate::fixtures::report_of_a_ready_node;

const KEY: &str = "BULeR8JyUWhiuuCMU/HLA0Q5pzkYT+cHII3ZKBey3Bo=";
const SUBJECT: Subject<'static> = Subject {
    operator_namespace: "tessera-system",
    cluster: "prod-eu1",
    namespace: "org-a",
    network: "org-a",
    node: "node-a",
};

fn sealed(version: u32, public_key: &str, recipients: &[&str], ciphertext: &str) -> SealedKey {
    SealedKey {
        name: "main".into(),
        version,
        public_key: public_key.into(),
        recipients: recipients.iter().map(ToString::to_string).collect(),
        ciphertext: ciphertext.into(),
    }
}

fn reported(key: &SealedKey) -> KeyStatus {
    KeyStatus {
        version: key.version,
        public_key: key.public_key.clone(),
        backup: Some(sealed::status(key)),
        ..report_of_a_ready_node().keys[0].clone()
    }
}

/// The ConfigMap after what the node sealed; `None`: nothing is written.
fn after(live: Option<&ConfigMap>, keys: &[SealedKey], custodians: &Custodians) -> Option<ConfigMap> {
    let merged = SUBJECT.merged(live, &SealedKeys { keys: keys.to_vec() }, custodians).unwrap();
    merged.map(|planned| serde_json::from_value(planned.body).unwrap())
}

#[test]
fn a_new_backup_holds_who_the_node_is_and_each_version() {
    let all = custodians(&[ALICE]);
    let key = sealed(1, KEY, &[ALICE.1], "ciphertext");
    let map = after(None, std::slice::from_ref(&key), &all).unwrap();
    assert_eq!(map.metadata.name.as_deref(), Some("tessera-backup-org-a.node-a"));
    assert_eq!(map.metadata.owner_references, None, "it outlives node and network");
    let data = map.data.clone().unwrap();
    let head: serde_json::Value = serde_json::from_str(&data["node.json"]).unwrap();
    assert_eq!((&head["cluster"], &head["node"]), (&json!("prod-eu1"), &json!("node-a")));
    let kept = KeptBackup::keep(map.clone());
    let entry = kept.entry("main", 1, KEY).unwrap();
    assert_eq!(entry.fingerprint, sealed::status(&key).ciphertext_sha256);
    assert!(!is_behind(&[reported(&key)], Some(&kept), &all.sha256().unwrap()));
    assert_eq!(after(Some(&map), &[key], &all), None, "nothing changes");
}

#[test]
fn a_ciphertext_is_replaced_for_other_recipients_alone() {
    let (alice, both) = (custodians(&[ALICE]), custodians(&[ALICE, BOB]));
    let first = sealed(1, KEY, &[ALICE.1], "first");
    let map = after(None, std::slice::from_ref(&first), &alice).unwrap();
    let kept = KeptBackup::keep(map.clone());
    // A process that started anew seals anew.
    let anew = sealed(1, KEY, &[ALICE.1], "anew");
    assert!(!is_behind(&[reported(&anew)], Some(&kept), &alice.sha256().unwrap()));
    assert_eq!(after(Some(&map), &[anew], &alice), None);
    // The node has not read of the new custodian yet.
    assert!(!is_behind(&[reported(&first)], Some(&kept), &both.sha256().unwrap()));
    assert_eq!(after(Some(&map), &[first], &both), None);
    let mut recipients = [ALICE.1, BOB.1];
    recipients.sort_unstable();
    let wider = sealed(1, KEY, &recipients, "wider");
    assert!(is_behind(&[reported(&wider)], Some(&kept), &both.sha256().unwrap()));
    let kept = KeptBackup::keep(after(Some(&map), &[wider], &both).unwrap());
    let names = both.names_of(&kept.entry("main", 1, KEY).unwrap().recipients);
    assert_eq!(names, ["alice", "bob"]);
}

#[test]
fn nothing_is_taken_out_not_even_for_another_key_of_the_same_version() {
    let all = custodians(&[ALICE]);
    let lost = sealed(1, KEY, &[ALICE.1], "lost");
    let map = after(None, std::slice::from_ref(&lost), &all).unwrap();
    let other = sealed(1, "QfeDAys9MPDs2XHExtc84jKGHxZg/aj52DTh0vtA3Xc=", &[ALICE.1], "other");
    let kept = KeptBackup::keep(map.clone());
    assert!(is_behind(&[reported(&other)], Some(&kept), &all.sha256().unwrap()));
    let map = after(Some(&map), std::slice::from_ref(&other), &all).unwrap();
    let kept = KeptBackup::keep(map);
    assert!(kept.entry("main", 1, KEY).is_some() && kept.entry("main", 1, &other.public_key).is_some());
}

#[test]
fn what_is_garbage_or_moved_counts_for_nothing_and_is_put_right() {
    let all = custodians(&[ALICE]);
    let key = sealed(1, KEY, &[ALICE.1], "ciphertext");
    let mut map = after(None, std::slice::from_ref(&key), &all).unwrap();
    let data = map.data.as_mut().unwrap();
    let text = data.insert(key_backup_entry("main", 1, KEY), "garbage".into()).unwrap();
    data.insert(key_backup_entry("main", 2, KEY), text);
    let kept = KeptBackup::keep(map.clone());
    assert!(kept.entry("main", 1, KEY).is_none() && kept.entry("main", 2, KEY).is_none());
    assert!(is_behind(&[reported(&key)], Some(&kept), &all.sha256().unwrap()));
    let map = after(Some(&map), &[key], &all).unwrap();
    assert!(KeptBackup::keep(map).entry("main", 1, KEY).is_some());
}

#[test]
fn another_s_object_and_one_that_would_be_too_large_are_refused() {
    let all = custodians(&[ALICE]);
    let merged = |live: Option<&ConfigMap>, keys| SUBJECT.merged(live, &SealedKeys { keys }, &all).map(drop);
    let foreign = ConfigMap::default();
    assert!(matches!(merged(Some(&foreign), Vec::new()), Err(StoredError::Foreign(_))));
    let large = |version| sealed(version, KEY, &[ALICE.1], &"x".repeat(5000));
    assert!(merged(None, (1..=150).map(large).collect()).is_ok());
    assert!(matches!(merged(None, (1..=256).map(large).collect()), Err(StoredError::TooLarge(_))));
}

#[test]
fn a_version_that_nobody_sealed_is_not_asked_for() {
    let mut key = reported(&sealed(1, KEY, &[ALICE.1], "c"));
    let sha256 = custodians(&[ALICE]).sha256().unwrap();
    assert!(is_behind(std::slice::from_ref(&key), None, &sha256));
    key.backup = Some(BackupStatus { recipients_sha256: "other".into(), ciphertext_sha256: String::new() });
    assert!(!is_behind(std::slice::from_ref(&key), None, &sha256));
    key.backup = None;
    assert!(!is_behind(&[key], None, &sha256));
}
