//! Keys to import in the status of a node.

use tessera_node_api::admin::{ImportState, ImportStatus};

use super::*;

fn importing(state: ImportState, message: &str, files_present: bool) -> World {
    let mut world = ready();
    world.object["spec"]["keys"][0]["import"] = json!({
        "secretRef": {"name": "java-key", "key": "tm.key"},
        "passwordSecretRef": {"name": "java-password", "key": "password"},
    });
    world.report().imports =
        vec![ImportStatus { key: "main".into(), state, message: message.into(), files_present }];
    world
}

/// Of a node that has no key.
fn without_key(state: ImportState, message: &str) -> World {
    let mut world = importing(state, message, false);
    let report = world.report();
    report.keys.clear();
    report.ready = false;
    report.awaiting = vec![format!("key main version 1: {message} (since 2027-01-01T00:00:00Z)")];
    world.observed.pods[0].ready = false;
    world
}

fn keys_ready(status: &TesseraNodeStatus) -> (String, String) {
    let found = find(&status.conditions, ConditionType::KeysReady).unwrap();
    (format!("{} {}", found.status, found.reason), found.message.clone())
}

#[test]
fn what_a_node_awaits_of_an_import_is_said_with_the_secrets_to_look_at() {
    let is = |state, message| {
        let status = without_key(state, message).status();
        assert_eq!(reason(&status, ConditionType::Ready), "False NotReady");
        keys_ready(&status)
    };
    let (awaited, message) = is(ImportState::Awaited, "spec.keys[main].import.secretRef: it is not there");
    assert_eq!(awaited, "False ImportAwaited");
    assert_eq!(
        message,
        "spec.keys[main].import.secretRef: it is not there (import reads tm.key of Secret java-key and password of Secret java-password)"
    );
    let (failed, message) = is(ImportState::Failed, "spec.keys[main].import.passwordSecretRef: wrong");
    assert_eq!(failed, "False ImportFailed");
    assert!(message.starts_with("spec.keys[main].import.passwordSecretRef: wrong"), "{message}");
    // The secret store was not asked yet, or does not answer.
    let (waiting, message) = is(ImportState::Awaited, "");
    assert_eq!(waiting, "False Waiting");
    assert!(message.contains("version 1 of key main"), "{message}");
}

#[test]
fn secrets_of_a_key_that_is_adopted_are_to_be_deleted_and_nothing_is_said_once_they_are() {
    let (state, message) = keys_ready(&importing(ImportState::Adopted, "", true).status());
    assert_eq!(state, "True Ready");
    assert!(
        message.ends_with("key main is adopted: delete Secret java-key and Secret java-password, which the node needs no more"),
        "{message}"
    );
    let (_, message) = keys_ready(&importing(ImportState::Adopted, "", false).status());
    assert_eq!(message, "every key is in the secret store and in the node's memory");
}

#[test]
fn an_import_into_another_key_is_no_success_although_the_node_serves() {
    let status = importing(ImportState::Failed, "spec.keys[main].import: another key", true).status();
    assert_eq!(
        keys_ready(&status),
        ("False ImportFailed".into(), "spec.keys[main].import: another key".into())
    );
    assert_eq!(reason(&status, ConditionType::Ready), "True Ready");
}

#[test]
fn an_imported_version_is_marked_and_is_an_event() {
    let mut world = importing(ImportState::Adopted, "", false);
    world.report().keys[0].imported = true;
    let status = world.status();
    assert_eq!((status.keys[0].imported, status.keys[1].imported), (Some(true), None));
    let events = of_transition(&TesseraNodeStatus::default(), &status);
    assert_eq!(events.iter().filter(|event| event.reason == "KeyImported").count(), 1);
    assert_eq!(events.iter().filter(|event| event.reason == "KeyReady").count(), 1);
}
