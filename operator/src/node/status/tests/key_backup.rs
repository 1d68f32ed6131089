//! Backups of keys, and keys that come back, in the status of a node.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use tessera_crds::api::key_backup::CoveredKey;
use tessera_node_api::admin::{RestoreState, RestoreStatus};
use tessera_node_api::key_backup::{SealedKey, SealedKeys};

use super::*;
use crate::backup::challenge::AcceptedProof;
use crate::backup::fixtures::{ALICE, BOB, custodians, key_backup};
use crate::backup::stored::{KeptBackup, Subject};
use crate::fixtures::{network, network_json};
use crate::node::inputs::NetworkInput;

/// What is read for a node whose network has these custodians.
fn inputs_with(all: &[(&str, &str)]) -> Inputs {
    let mut object = network_json();
    if !all.is_empty() {
        object["spec"]["keyBackup"] = key_backup(all, 1);
    }
    Inputs { network: NetworkInput::Found(Arc::new(network(object))), ..inputs() }
}

/// A ready node, and its first versions in the ConfigMap, sealed to these custodians.
fn stored(all: &[(&str, &str)], versions: usize) -> World {
    let mut world = ready();
    let mut recipients: Vec<_> = all.iter().map(|(_, age)| (*age).to_owned()).collect();
    recipients.sort();
    let sealed = |key: &admin::KeyStatus| SealedKey {
        name: key.name.clone(),
        version: key.version,
        public_key: key.public_key.clone(),
        recipients: recipients.clone(),
        ciphertext: "ciphertext".into(),
    };
    let keys = world.report().keys.iter().take(versions).map(sealed).collect();
    let subject = Subject {
        operator_namespace: "tessera-system",
        cluster: "c",
        namespace: "org-a",
        network: "org-a",
        node: "node-a",
    };
    let planned = subject.merged(None, &SealedKeys { keys }, &custodians(all)).unwrap().unwrap();
    let map: ConfigMap = serde_json::from_value(planned.body).unwrap();
    world.observed.backup.is_listed = true;
    world.observed.backup.stored = Some(Arc::new(KeptBackup::keep(map)));
    world.observed.backup.fresh = "fresh".into();
    world
}

fn accepted(world: &mut World, custodian: &str, challenge: &str, version: i32) {
    let covers = vec![CoveredKey { key: "main".into(), version }];
    world.observed.backup.accepted =
        vec![AcceptedProof { custodian: custodian.into(), challenge: challenge.into(), covers }];
}

fn current(status: &TesseraNodeStatus) -> (String, String) {
    let found = find(&status.conditions, ConditionType::BackupCurrent).unwrap();
    (format!("{} {}", found.status, found.reason), found.message.clone())
}

#[test]
fn a_network_without_custodians_says_nothing_of_backups() {
    let status = ready().status();
    assert_eq!(status.key_backup, None);
    assert!(find(&status.conditions, ConditionType::BackupCurrent).is_none());
}

#[test]
fn custody_is_proven_for_versions_that_are_stored() {
    let inputs = inputs_with(&[ALICE, BOB]);
    let mut none = ready();
    none.observed.backup.is_listed = true;
    let (state, message) = current(&none.status_upon(&inputs));
    assert_eq!(state, "False NotSealed", "{message}");
    let (state, message) = current(&stored(&[ALICE], 2).status_upon(&inputs));
    assert_eq!(state, "False NotSealed");
    assert!(message.contains("version 1 of key main that is sealed to alice and bob"), "{message}");
    assert_eq!(current(&stored(&[ALICE, BOB], 1).status_upon(&inputs)).0, "False NotSealed");

    let made = stored(&[ALICE, BOB], 2).status_upon(&inputs);
    let (state, message) = current(&made);
    assert_eq!(state, "False ChallengeDue");
    assert!(message.contains("node node-a open") && message.contains("alice and bob did not"), "{message}");
    assert_eq!(made.keys[0].backup.as_ref().unwrap().recipients, ["alice", "bob"]);
    let backup = made.key_backup.clone().unwrap();
    assert_eq!(backup.config_map.as_deref(), Some("tessera-backup-org-a.node-a"));

    let mut world = stored(&[ALICE, BOB], 2);
    world.object["status"] = serde_json::to_value(&made).unwrap();
    world.observed.backup.fresh = "next".into();
    accepted(&mut world, "bob", "fresh", 2);
    let answered = world.status_upon(&inputs);
    assert_eq!(current(&answered).0, "True Current");
    assert_eq!(answered.key_backup.as_ref().unwrap().challenge.as_deref(), Some("next"));
    let events = of_transition(&made, &answered);
    assert!(!events.iter().any(|event| event.reason == "CustodiansChanged"));
    let events = of_transition(&TesseraNodeStatus::default(), &made);
    assert!(
        events
            .iter()
            .any(|event| event.reason == "CustodiansChanged" && event.note.contains("alice and bob"))
    );
}

#[test]
fn before_the_backups_are_listed_what_was_known_stays_and_nothing_more_is_said() {
    let inputs = inputs_with(&[ALICE]);
    let made = stored(&[ALICE], 2).status_upon(&inputs);
    let mut world = ready();
    world.object["status"] = serde_json::to_value(&made).unwrap();
    let status = world.status_upon(&inputs);
    assert_eq!(status.keys[0].backup, made.keys[0].backup);
    assert_eq!(current(&status).0, "Unknown Waiting");
    let silent = stored(&[ALICE], 2);
    let mut silent = silent.silent();
    silent.object["status"] = serde_json::to_value(&made).unwrap();
    assert_eq!(current(&silent.status_upon(&inputs)).0, "Unknown Waiting");
}

#[test]
fn a_malformed_recipient_and_a_failure_are_named() {
    let mut typo = BOB.1.to_owned();
    typo.replace_range(20..21, if &typo[20..21] == "q" { "p" } else { "q" });
    let inputs = inputs_with(&[ALICE, ("bob", &typo)]);
    let status = stored(&[ALICE], 2).status_upon(&inputs);
    let (state, message) = current(&status);
    assert!(state == "False NotSealed" && message.contains("recipients[bob]"), "{state}: {message}");
    assert_eq!(status.key_backup.unwrap().custodians.len(), 1);
    let mut world = ready();
    world.observed.backup.is_listed = true;
    world.observed.backup.failure = Some("ConfigMap x cannot be written".into());
    let (_, message) = current(&world.status_upon(&inputs_with(&[ALICE])));
    assert!(message.ends_with("ConfigMap x cannot be written"), "{message}");
}

#[test]
fn custodians_that_are_taken_away_leave_what_was_sealed() {
    let made = stored(&[ALICE], 2).status_upon(&inputs_with(&[ALICE]));
    let mut world = stored(&[ALICE], 2);
    world.object["status"] = serde_json::to_value(&made).unwrap();
    let status = world.status_upon(&inputs_with(&[]));
    let (state, message) = current(&status);
    assert!(state == "False NoRecipients" && message.contains("tessera-backup-org-a.node-a"), "{message}");
    let backup = status.key_backup.unwrap();
    assert_eq!((backup.challenge, backup.custodians.len()), (None, 0));
}

#[test]
fn what_custodians_must_bring_back_is_said_with_where_to_seal_it() {
    let restored = |state, message: &str, has_keys: bool| {
        let mut world = ready();
        world.object["spec"]["keys"][0]["restore"] = json!({"publicKeys": ["k1", "k2"]});
        let report = world.report();
        if !has_keys {
            report.keys.clear();
        }
        report.restores = [1, 2]
            .map(|version| RestoreStatus {
                key: "main".into(),
                version,
                public_key: format!("k{version}"),
                state,
                recipient: (state == RestoreState::Awaited).then(|| ALICE.1.to_owned()),
                message: message.into(),
            })
            .into();
        let status = world.status();
        let found = find(&status.conditions, ConditionType::KeysReady).unwrap().clone();
        (format!("{} {}", found.status, found.reason), found.message, status)
    };
    let (state, message, status) = restored(RestoreState::Awaited, "", false);
    assert_eq!(state, "False RestoreAwaited");
    assert_eq!(
        message,
        "the node awaits from a custodian: version 1, 2 of key main (kubectl tessera backup restore)"
    );
    let recipients = status.key_backup.unwrap().restore_recipients;
    assert_eq!(recipients.iter().map(|one| one.version).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((recipients[0].public_key.as_str(), recipients[0].recipient.as_str()), ("k1", ALICE.1));
    let (state, message, status) = restored(RestoreState::Failed, "the secret store has another key", false);
    assert_eq!(state, "False RestoreFailed");
    assert_eq!(message, "version 1 of key main: the secret store has another key");
    assert_eq!(status.key_backup, None);
    let (state, ..) = restored(RestoreState::Failed, "the node has another key in memory", true);
    assert_eq!(state, "False RestoreFailed", "although it serves");
    let (state, ..) = restored(RestoreState::Restored, "", true);
    assert_eq!(state, "True Ready");
}
