use serde_json::json;
use tessera_crds::api::key_backup::CustodianStatus;

use super::*;
use crate::backup::fixtures::ALICE;

const CHALLENGE: &str = "0f";

fn proof_of(custodian: &str, challenge: &str, versions: &[i32]) -> TesseraBackupProofSpec {
    let answers: Vec<_> =
        versions.iter().map(|version| json!({"key": "main", "version": version, "mac": "00"})).collect();
    let spec =
        json!({"nodeRef": {"name": "a"}, "custodian": custodian, "challenge": challenge, "answers": answers});
    serde_json::from_value(spec).unwrap()
}

fn backup() -> KeyBackupStatus {
    KeyBackupStatus {
        challenge: Some(CHALLENGE.into()),
        custodians: vec![CustodianStatus {
            name: "alice".into(),
            age: ALICE.1.into(),
            confirmed_at: Some("2027-01-01T00:00:00Z".into()),
            answered: Some("before".into()),
            covers: Vec::new(),
        }],
        ..KeyBackupStatus::default()
    }
}

fn decided(custodian: &str, challenge: &str, versions: &[i32]) -> Decision {
    decide(&proof_of(custodian, challenge, versions), Some(&backup()))
}

#[test]
fn the_node_is_asked_about_the_challenge_that_it_asks_now_alone() {
    let covers = vec![CoveredKey { key: "main".into(), version: 3 }];
    assert_eq!(decided("alice", CHALLENGE, &[2, 1, 3]), Decision::AskNode(covers));
    assert!(
        matches!(decided("alice", "older", &[1]), Decision::Refuse(why) if why.contains("no longer asks"))
    );
    assert!(matches!(decided("eve", CHALLENGE, &[1]), Decision::Refuse(why) if why.contains("no custodian")));
    assert!(
        matches!(decided("alice", CHALLENGE, &[1, 3]), Decision::Refuse(why) if why.contains("version 2 of key main"))
    );
    assert!(matches!(decide(&proof_of("alice", CHALLENGE, &[1]), None), Decision::Refuse(_)));
}

#[test]
fn a_proof_that_the_node_s_status_notes_was_accepted() {
    assert!(
        matches!(decided("alice", "before", &[1]), Decision::Accept(text) if text.contains("2027-01-01"))
    );
}

#[test]
fn a_proof_of_too_many_keys_is_refused() {
    let mut spec = proof_of("alice", CHALLENGE, &[1]);
    let one = spec.answers[0].clone();
    spec.answers =
        (0..9).map(|key| BackupAnswer { key: format!("k{key}").as_str().into(), ..one.clone() }).collect();
    assert!(matches!(decide(&spec, Some(&backup())), Decision::Refuse(why) if why.contains("9 keys")));
}
