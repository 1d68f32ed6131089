//! Backups of keys: what is missing, stale or for others is never made up for.

use tessera_crds::api::key_backup::{CoveredKey, CustodianStatus, KeyBackupStatus, VersionBackup};
use tessera_crds::condition::{ConditionType, Reason};

use super::*;
use crate::backup::custodians::Custodians;
use crate::backup::fixtures::{ALICE, BOB, custodians_of, key};
use crate::report::conditions::{ConditionStatus, Conditions};

const CONFIRMED: &str = "2026-12-01T00:00:00Z";

/// A node with two versions that both custodians have and have proven.
fn proven(name: &str) -> TesseraNode {
    let mut node = node(node_json(name));
    let status = node.status.get_or_insert_default();
    status.keys = [1, 2].map(key).into();
    for key in &mut status.keys {
        key.backup =
            Some(VersionBackup { fingerprint: "f".into(), recipients: vec!["alice".into(), "bob".into()] });
    }
    let custodian = |(name, age): (&str, &str)| CustodianStatus {
        name: name.into(),
        age: age.into(),
        confirmed_at: Some(CONFIRMED.into()),
        answered: Some("c".into()),
        covers: vec![CoveredKey { key: "main".into(), version: 2 }],
    };
    status.key_backup = Some(KeyBackupStatus {
        custodians: [ALICE, BOB].map(custodian).into(),
        ..KeyBackupStatus::default()
    });
    set_current(&mut node, ConditionStatus::True);
    node
}

fn set_current(node: &mut TesseraNode, value: ConditionStatus) {
    let mut conditions = Conditions::new(&[], None, now());
    conditions.set(ConditionType::BackupCurrent, value, Reason::Current, "m");
    node.status.get_or_insert_default().conditions = conditions.into_list();
}

fn backup(node: &mut TesseraNode) -> &mut KeyBackupStatus {
    node.status.as_mut().unwrap().key_backup.as_mut().unwrap()
}

fn judged(custodians: Option<Custodians>, nodes: Vec<TesseraNode>) -> Finding {
    let nodes: Vec<_> = nodes.into_iter().map(Arc::new).collect();
    let facts = NetworkFacts { nodes: &nodes, custodians, ..network_facts() };
    let line = NETWORK_LINES.iter().find(|line| line.id == Line::OfflineKeyBackup).unwrap();
    (line.judge)(&facts, now())
}

/// With a threshold of 2.
fn after(change: impl FnOnce(&mut TesseraNode)) -> Finding {
    let mut node = proven("b");
    change(&mut node);
    judged(Some(custodians_of(&[ALICE, BOB], 2)), vec![proven("a"), node, proven("c")])
}

#[test]
fn all_copies_that_were_opened_are_no_more_than_enforced() {
    let finding = after(|_| ());
    assert_eq!(said(&finding), "Enforced CustodyProven");
    assert_eq!(
        finding.observed,
        "proofs in the names of 2 custodians show that copies of all 6 versions of 3 nodes open; who opens one can answer for all, and where they keep the copies nobody observes"
    );
    let confirmed: Timestamp = CONFIRMED.parse().unwrap();
    assert_eq!(finding.rests_on_evidence_until, Some(confirmed + SignedDuration::from_hours(2160)));
    assert_eq!(said(&judged(None, vec![proven("a")])), "Violated NoRecipients");
    assert_eq!(said(&judged(Some(custodians_of(&[ALICE], 1)), Vec::new())), "Unknown NoNode");
}

#[test]
fn what_is_missing_is_named_with_the_node() {
    let finding = after(|node| node.status.as_mut().unwrap().keys[1].backup = None);
    assert_eq!(said(&finding), "Violated NotSealed");
    assert!(finding.observed.ends_with("version 2 of key main of node b"), "{}", finding.observed);
    let finding = after(|node| backup(node).custodians[1].confirmed_at = None);
    assert_eq!(said(&finding), "Violated CustodyNotProven");
    assert_eq!(
        finding.observed,
        "2 of 2 custodians must show that their copies open: for node b bob did not"
    );
    assert!(finding.remedy.unwrap().contains("kubectl tessera backup confirm"));
    let finding = after(|node| set_current(node, ConditionStatus::Unknown));
    assert_eq!(said(&finding), "Unknown NodeSilent");
    assert!(finding.observed.starts_with("node b:"), "{}", finding.observed);
}

#[test]
fn a_threshold_is_met_by_as_many_as_it_says() {
    let one_of_two = |change: fn(&mut TesseraNode)| {
        let mut node = proven("a");
        change(&mut node);
        said(&judged(Some(custodians_of(&[ALICE, BOB], 1)), vec![node]))
    };
    assert_eq!(one_of_two(|node| backup(node).custodians[0].confirmed_at = None), "Enforced CustodyProven");
    assert_eq!(
        one_of_two(|node| backup(node).custodians.iter_mut().for_each(|one| one.covers.clear())),
        "Violated CustodyNotProven"
    );
}

proptest! {
    /// No combination with a missing, stale or contradicting fact is satisfied.
    #[test]
    fn a_missing_or_stale_fact_of_a_backup_is_never_made_up_for(changes in proptest::collection::vec(0_usize..13, 1..4)) {
        let finding = after(|node| {
            for change in &changes {
                let Some(status) = node.status.as_mut() else { return };
                match change {
                    0 => node.status = None,
                    1 => status.key_backup = None,
                    2 => status.keys.clear(),
                    3 => status.keys.push(key(3)),
                    4 => status.keys.iter_mut().for_each(|key| key.backup = None),
                    5 => status.keys.iter_mut().flat_map(|key| &mut key.backup).for_each(|it| { it.recipients.pop(); }),
                    6 => status.conditions.clear(),
                    7 => set_current(node, ConditionStatus::Unknown),
                    _ => {
                        let Some(one) = status.key_backup.as_mut().and_then(|it| it.custodians.get_mut(0)) else { continue };
                        match change {
                            8 => one.confirmed_at = None,
                            9 => one.confirmed_at = Some("2026-09-01T00:00:00Z".into()),
                            10 => one.confirmed_at = Some("2027-06-01T00:00:00Z".into()),
                            11 => one.age = "age1other".into(),
                            _ => one.covers[0].version = 1,
                        }
                    }
                }
            }
        });
        prop_assert!(!finding.result.is_satisfied(), "{:?}", finding);
        prop_assert!(finding.remedy.is_some());
    }
}
