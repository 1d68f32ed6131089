//! `NoClearTextCredentials`.

use tessera_crds::checklist::HardwareLevel;

use super::*;
use crate::checklist::clear_text::{ClearTextFacts, FoundCredential};
use crate::checklist::cluster::ClusterFacts;
use crate::checklist::facts::{CollectorFact, StoreAnswer};
use crate::fixtures::clear_text_facts;

fn judge(clear_text: &ClearTextFacts) -> Finding {
    let line = NETWORK_LINES.iter().find(|line| line.id == Line::NoClearTextCredentials).unwrap();
    let facts = NetworkFacts {
        vault: None,
        store: StoreAnswer::Silent,
        collector: CollectorFact::None,
        operator_log: None,
        statements: Statements::default(),
        nodes: &[],
        clear_text,
        cluster: &ClusterFacts::default(),
        hardware_minimum: HardwareLevel::default(),
    };
    (line.judge)(&facts, now())
}

fn credential(object: &str) -> FoundCredential {
    FoundCredential {
        in_pod_of_another: false,
        object: object.into(),
        path: "data.DB_PASSWORD".into(),
        rule: "named-value",
    }
}

#[test]
fn a_namespace_that_was_searched_whole_and_holds_nothing_is_verified() {
    let clean = judge(&clear_text_facts());
    assert_eq!(said(&clean), "Verified Observed");
    assert!(
        clean.observed.starts_with("47 rules found nothing in at least 10 objects"),
        "{}",
        clean.observed
    );
    assert!(clean.observed.contains("log streams"), "{}", clean.observed);
}

#[test]
fn a_credential_is_named_by_object_path_and_rule() {
    let mut facts = clear_text_facts();
    facts.found.insert(credential("ConfigMap app"));
    let found = judge(&facts);
    assert_eq!(said(&found), "Violated ClearText");
    assert_eq!(found.observed, "ConfigMap app, data.DB_PASSWORD (rule named-value)");
    // Also of a search that is not complete.
    facts.not_searched.push("Pod: no right to list it".into());
    assert_eq!(said(&judge(&facts)), "Violated ClearText");
    for name in ["b", "c", "d"] {
        facts.found.insert(credential(name));
    }
    assert!(judge(&facts).observed.ends_with("; and 1 more"), "{}", judge(&facts).observed);
}

#[test]
fn what_was_not_searched_is_said() {
    let mut facts = clear_text_facts();
    facts.not_searched.push("Pod: no right to list it".into());
    let partly = judge(&facts);
    assert_eq!(said(&partly), "Enforced PartlyScanned");
    assert!(partly.observed.contains("Pod: no right"), "{}", partly.observed);
}

#[test]
fn a_new_process_keeps_what_was_known_until_it_has_listed() {
    let mut facts = clear_text_facts();
    facts.pending.push("Pod".into());
    assert!(judge(&facts).keeps_known);
    assert_eq!(said(&judge(&facts)), "Unknown NotScannedYet");
}

proptest! {
    /// No combination with a missing fact is Verified.
    #[test]
    fn a_part_that_was_not_searched_is_never_verified(
        missing in proptest::collection::vec(proptest::bool::ANY, 5),
    ) {
        let mut facts = clear_text_facts();
        if missing[0] { facts.rules = None; }
        if missing[1] { facts.searched.clear(); }
        if missing[2] { facts.not_searched.push("Job: silent".into()); }
        if missing[3] { facts.pending.push("Job".into()); }
        if missing[4] { facts.found.insert(credential("ConfigMap app")); }
        let finding = judge(&facts);
        let is_whole = missing.iter().all(|missing| !missing);
        prop_assert_eq!(finding.result == LineResult::Verified, is_whole, "{:?}", finding);
        prop_assert_eq!(finding.remedy.is_none(), is_whole);
    }
}
