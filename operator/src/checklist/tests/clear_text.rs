//! `NoClearTextCredentials`.

use std::sync::Arc;

use tessera_crds::TesseraNode;
use tessera_node_api::admin::{FoundInLog, LogSearchStatus};

use super::*;
use crate::checklist::clear_text::{ClearTextFacts, FoundCredential};
use crate::checklist::no_clear_text_credentials::{IN_NODE_LOG, IN_OPERATOR_LOG, leak_is_known};
use crate::fixtures::clear_text_facts;

const LINE: Line = Line::NoClearTextCredentials;

fn judge(clear_text: &ClearTextFacts) -> Finding {
    judge_with(clear_text, &[])
}

fn judge_with(clear_text: &ClearTextFacts, nodes: &[Arc<TesseraNode>]) -> Finding {
    let line = NETWORK_LINES.iter().find(|line| line.id == Line::NoClearTextCredentials).unwrap();
    let facts = NetworkFacts { nodes, clear_text, ..network_facts() };
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
    assert!(clean.observed.contains("the logs of others"), "{}", clean.observed);
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

fn found(last_at: &str) -> FoundInLog {
    FoundInLog { rule: "assignment".into(), target: "tessera_node::peers".into(), last_at: last_at.into() }
}

#[test]
fn a_credential_in_a_node_s_log_counts_for_an_hour() {
    let log = |change: fn(&mut LogSearchStatus)| {
        let mut facts = facts();
        report(&mut facts).log_search.iter_mut().for_each(change);
        of_node(&facts, LINE)
    };
    let clean = log(|_| ());
    assert_eq!(said(&clean), "Verified Observed");
    let leaked = log(|search| search.found.push(found("2026-12-31T23:00:01Z")));
    assert_eq!(said(&leaked), "Violated InNodeLog");
    assert_eq!(
        leaked.observed,
        "pod tessera-node-a-0: within the last hour the module tessera_node::peers wrote a credential to the log (rule assignment)"
    );
    assert_eq!(leaked.observed, log(|search| search.found.push(found("2026-12-31T23:59:01Z"))).observed);
    assert_eq!(said(&log(|search| search.found.push(found("2026-12-31T23:00:00Z")))), "Verified Observed");
    assert_eq!(said(&log(|search| search.found.push(found("once")))), "Violated InNodeLog");
    assert_eq!(said(&log(|search| search.rules = None)), "Unknown ControlFailed");
    assert_eq!(after(LINE, |facts| report(facts).log_search = None), "Unknown NodeTooOld");
    assert_eq!(after(LINE, |facts| facts.pods[0].report = None), "Unknown NodeSilent");
}

#[test]
fn a_restart_forgets_no_credential_in_a_log() {
    let known = node_with(LINE, LineResult::Violated, "InNodeLog");
    let before = &known.status.as_ref().unwrap().checklist.as_ref().unwrap().lines;
    assert!(leak_is_known(before, IN_NODE_LOG, now()));
    assert!(!leak_is_known(before, IN_OPERATOR_LOG, now()));
    assert!(!leak_is_known(before, IN_NODE_LOG, now() + SignedDuration::from_hours(2)), "it ends");
    let mut facts = facts();
    facts.leak_is_known = true;
    let kept = of_node(&facts, LINE);
    assert!(kept.keeps_known && kept.observer.is_none(), "{kept:?}");
    assert_eq!(said(&kept), "Violated InNodeLog");
    // The same process knows itself when that was.
    report(&mut facts).log_search.as_mut().unwrap().found.push(found("2026-12-31T22:00:00Z"));
    assert_eq!(said(&of_node(&facts, LINE)), "Verified Observed");
}

#[test]
fn a_clock_that_is_behind_hides_no_credential() {
    let mut facts = facts();
    report(&mut facts).now = Some("2026-12-31T20:00:00Z".into());
    report(&mut facts).log_search.as_mut().unwrap().found.push(found("2026-12-31T19:59:00Z"));
    assert_eq!(said(&of_node(&facts, LINE)), "Violated InNodeLog");
}

#[test]
fn the_operator_searches_its_own_log_too() {
    let mut facts = clear_text_facts();
    facts.operator_log.found.push(found("2026-12-31T23:30:00Z"));
    assert_eq!(said(&judge(&facts)), "Violated InOperatorLog");
    facts.operator_log.found[0].last_at = "2026-12-31T22:30:00Z".into();
    assert_eq!(said(&judge(&facts)), "Verified Observed");
    facts.operator_log.rules = None;
    assert_eq!(said(&judge(&facts)), "Unknown ControlFailed");
}

#[test]
fn the_worse_of_objects_and_logs_counts() {
    let (clean, mut dirty) = (clear_text_facts(), clear_text_facts());
    dirty.found.insert(credential("ConfigMap app"));
    let good = node_with(LINE, LineResult::Verified, "Observed");
    let leaking = node_with(LINE, LineResult::Violated, "InNodeLog");
    let silent = node_with(LINE, LineResult::Unknown, "NodeSilent");
    let said =
        |facts: &ClearTextFacts, node: &Arc<TesseraNode>| said(&judge_with(facts, &[Arc::clone(node)]));
    assert_eq!(said(&clean, &good), "Verified Observed");
    assert_eq!(said(&clean, &leaking), "Violated InNodeLog");
    assert_eq!(said(&clean, &silent), "Unknown NodeSilent");
    assert_eq!(said(&dirty, &leaking), "Violated ClearText");
    assert_eq!(said(&dirty, &silent), "Violated ClearText");
    let both = judge_with(&clean, &[good]).observed;
    assert!(
        both.contains("47 rules found nothing in at least 10") && both.contains("1 of 1 nodes"),
        "{both}"
    );
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
