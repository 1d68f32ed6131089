//! What each line says of facts, and that no missing fact is made up for.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;
use tessera_crds::checklist::{ChecklistStatus, Line, LineResult, LineStatus};
use tessera_crds::{TesseraAttestation, TesseraNetwork, TesseraNode};

use super::evidence::{Judged, Renew, lines};
use super::facts::{PodFacts, StoreAnswer, StoreFacts};
use super::finding::Finding;
use super::statements::Statements;
use super::*;
use crate::fixtures::{network, network_json, node, node_json, now, report_of_a_ready_node};

const DIGEST: &str = "registry/tessera-node@sha256:00";

fn facts() -> NodeFacts {
    let pod = PodFacts {
        name: "tessera-node-a-0".into(),
        image_id: Some(DIGEST.into()),
        report: Some(admin_report()),
    };
    NodeFacts {
        replicas: 1,
        image: DIGEST.into(),
        max_image_age: SignedDuration::from_hours(2160),
        is_rolled_out: Some(true),
        policies_in_place: Some(true),
        statements: Statements::default(),
        pods: vec![pod],
    }
}

fn admin_report() -> tessera_node_api::admin::Status {
    let mut report = report_of_a_ready_node();
    report.started_at = "2026-12-31T00:00:00Z".into();
    report.egress_closed_since = Some("2026-12-31T00:00:01Z".into());
    report
}

fn of_node(facts: &NodeFacts, id: Line) -> Finding {
    let line = NODE_LINES.iter().find(|line| line.id == id).unwrap();
    (line.judge)(facts, now())
}

/// The result and reason for the line, after `change`.
fn after(id: Line, change: impl FnOnce(&mut NodeFacts)) -> String {
    let mut facts = facts();
    change(&mut facts);
    let finding = of_node(&facts, id);
    format!("{} {}", finding.result, finding.reason)
}

fn report(facts: &mut NodeFacts) -> &mut tessera_node_api::admin::Status {
    facts.pods[0].report.as_mut().unwrap()
}

fn part(finding: &Finding, name: &str) -> LineResult {
    finding.parts.iter().find(|part| part.name.to_string() == name).unwrap().result
}

#[test]
fn the_tables_hold_the_lines_in_the_checklist_s_order() {
    let ids: Vec<_> = NETWORK_LINES.iter().map(|line| line.id).collect();
    assert_eq!(ids, Line::ALL);
    assert!(NODE_LINES.is_sorted_by_key(|line| line.id));
}

#[test]
fn no_core_dumps_is_what_the_kernel_holds_now() {
    let line = Line::NoCoreDumps;
    let holds = of_node(&facts(), line);
    assert_eq!(part(&holds, "Pod"), LineResult::Verified);
    assert_eq!(
        (holds.result, holds.reason.as_str()),
        (LineResult::Unknown, "NotAttested"),
        "nobody speaks for the host"
    );
    let hardened = |change: fn(&mut tessera_node_api::admin::Hardening)| {
        after(line, |facts| change(report(facts).hardening.as_mut().unwrap()))
    };
    assert_eq!(hardened(|h| h.core_soft_limit = None), "Violated CoreLimitRaised");
    assert_eq!(hardened(|h| h.core_hard_limit = Some(1)), "Violated CoreLimitRaised");
    assert_eq!(hardened(|h| h.dumpable = true), "Violated Dumpable");
    assert_eq!(hardened(|h| h.locked_kib = 0), "Violated KeysNotLocked");
    assert_eq!(hardened(|h| h.swap_kib = 1), "Violated SwapOn");
    assert_eq!(after(line, |facts| report(facts).hardening = None), "Unknown NodeTooOld");
    assert_eq!(after(line, |facts| facts.pods[0].report = None), "Unknown NodeSilent");
    assert_eq!(after(line, |facts| facts.pods.clear()), "Unknown NoPod");
}

#[test]
fn upgrades_are_immutable_when_exactly_the_spec_s_digest_runs_and_is_not_old() {
    let line = Line::ImmutableUpgrades;
    assert_eq!(after(line, |_| ()), "Verified Observed");
    assert_eq!(
        after(line, |facts| facts.pods[0].image_id = Some("registry/tessera-node@sha256:11".into())),
        "Violated OtherImage"
    );
    assert_eq!(after(line, |facts| facts.image = "registry/tessera-node:latest".into()), "Unknown NoDigest");
    assert_eq!(
        after(line, |facts| report(facts).built_on = Some("2026-01-01".into())),
        "Violated ImageTooOld"
    );
    assert_eq!(after(line, |facts| report(facts).built_on = None), "Enforced AgeUnknown");
    assert_eq!(
        after(line, |facts| report(facts).built_on = Some("2027-01-01".into())),
        "Enforced AgeUnknown"
    );
    assert_eq!(after(line, |facts| facts.is_rolled_out = Some(false)), "Unknown RolloutInProgress");
    assert_eq!(after(line, |facts| facts.pods[0].image_id = None), "Unknown NodeSilent");
}

#[test]
fn a_firewall_that_was_not_seen_closed_is_violated_once_the_node_is_ready() {
    let line = Line::HostFirewall;
    assert_eq!(part(&of_node(&facts(), line), "Pod"), LineResult::Enforced);
    assert_eq!(after(line, |facts| report(facts).egress_closed_since = None), "Violated EgressOpen");
    let starting = |facts: &mut NodeFacts| {
        report(facts).egress_closed_since = None;
        report(facts).ready = false;
    };
    assert_eq!(after(line, starting), "Unknown NodeStarting");
}

#[test]
fn policies_and_keys_are_at_most_enforced() {
    assert_eq!(after(Line::NetworkSegment, |_| ()), "Enforced PolicyOnly");
    assert_eq!(
        after(Line::NetworkSegment, |facts| facts.policies_in_place = Some(false)),
        "Unknown PolicyNotWritten"
    );
    assert_eq!(after(Line::KeyRotation, |_| ()), "Enforced NoSchedule");
    assert_eq!(after(Line::KeyRotation, |facts| report(facts).keys.clear()), "Unknown NoKey");
    assert_eq!(after(Line::MutualTls, |_| ()), "Enforced ListenersNotTried");
}

fn of_network(
    network: &TesseraNetwork,
    store: Option<&str>,
    nodes: &[Arc<TesseraNode>],
    id: Line,
) -> Finding {
    let store =
        store.map_or(StoreAnswer::Silent, |seal| StoreAnswer::Shows(StoreFacts { seal_type: seal.into() }));
    let vault = network.spec.secret_store.vault.as_ref();
    let line = NETWORK_LINES.iter().find(|line| line.id == id).unwrap();
    (line.judge)(&NetworkFacts { vault, store, statements: Statements::default(), nodes }, now())
}

fn said(finding: &Finding) -> String {
    format!("{} {}", finding.result, finding.reason)
}

/// The types that real stores give in sys/seal-status: Vault 1.20 and OpenBao 2.3, by their own sources.
#[test]
fn keys_are_in_hardware_when_the_store_s_seal_is() {
    let network = network(network_json());
    let sealed = |seal| said(&of_network(&network, seal, &[], Line::HardwareKeys));
    assert_eq!(sealed(Some("shamir")), "Violated SoftwareSeal");
    assert_eq!(sealed(Some("static")), "Violated SoftwareSeal");
    assert_eq!(sealed(Some("transit")), "Unknown SealNotKnown");
    assert_eq!(sealed(Some("something-new")), "Unknown SealNotKnown");
    // SoftHSM speaks PKCS#11, too.
    assert_eq!(sealed(Some("pkcs11")), "Enforced ModuleNotSeen");
    for seal in ["awskms", "azurekeyvault", "gcpckms", "ocikms"] {
        assert_eq!(sealed(Some(seal)), "Verified Observed");
    }
    assert_eq!(sealed(None), "Unknown StoreSilent");
}

#[test]
fn a_store_that_serves_a_stranger_violates_mutual_tls_whatever_the_nodes_do() {
    let network = network(network_json());
    assert_eq!(
        said(&of_network(&network, Some("shamir"), &[], Line::MutualTls)),
        "Violated NoClientCertificate"
    );
    assert_eq!(said(&of_network(&network, None, &[], Line::MutualTls)), "Unknown StoreSilent");
}

#[test]
fn a_store_that_lets_in_any_address_is_violated() {
    let mut json = network_json();
    let of = |json| said(&of_network(&network(json), Some("shamir"), &[], Line::SecretStoreAccess));
    assert_eq!(of(json.clone()), "Violated NoSourceCIDRs");
    json["spec"]["secretStore"]["vault"]["sourceCIDRs"] = json!(["10.244.0.0/16"]);
    assert_eq!(of(json), "Unknown RoleNotRead");
}

fn node_with(name: &str, result: LineResult, valid_until: &str) -> Arc<TesseraNode> {
    let mut node = node(node_json(name));
    let line = LineStatus {
        id: Line::NoCoreDumps,
        result,
        reason: "r".into(),
        observer: None,
        observed: format!("seen on {name}"),
        remedy: None,
        parts: Vec::new(),
        exception: None,
        last_transition_time: now().to_string().into(),
        valid_until: Some(valid_until.into()),
    };
    let status = node.status.get_or_insert_default();
    status.checklist = Some(ChecklistStatus { summary: "1/1".into(), lines: vec![line] });
    Arc::new(node)
}

#[test]
fn a_network_is_as_good_as_its_worst_node_and_names_it() {
    let network = network(network_json());
    let fresh = "2027-01-01T01:00:00Z";
    let of = |nodes: &[_]| of_network(&network, None, nodes, Line::NoCoreDumps);
    let nodes = [
        node_with("a", LineResult::Verified, fresh),
        node_with("b", LineResult::Violated, fresh),
        node_with("c", LineResult::Verified, fresh),
    ];
    let worst = of(&nodes);
    assert_eq!(worst.result, LineResult::Violated);
    assert_eq!(worst.observed, "2 of 3 nodes; b: seen on b");
    let stale = [
        node_with("a", LineResult::Verified, fresh),
        node_with("b", LineResult::Verified, "2026-12-31T23:59:59Z"),
    ];
    assert_eq!(said(&of(&stale)), "Unknown EvidenceExpired");
    let verified = of(&nodes[..1]);
    assert_eq!(said(&verified), "Verified r");
    assert_eq!(verified.rests_on_evidence_until, Some(fresh.parse().unwrap()));
    assert_eq!(said(&of(&[])), "Unknown NoNode");
    assert_eq!(said(&of(&[Arc::new(node(node_json("new")))])), "Unknown NotObserved");
}

fn attestation(line: &str, kind: &str, created: &str, expires: &str) -> Arc<TesseraAttestation> {
    let json = json!({
        "apiVersion": "tessera.rs/v1alpha1", "kind": "TesseraAttestation",
        "metadata": {"name": "t", "namespace": "org-a", "creationTimestamp": created},
        "spec": {"networkRef": {"name": "org-a"}, "line": line, "type": kind,
            "statement": "no dumps are kept", "by": "alice@bank", "expires": expires},
    });
    Arc::new(serde_json::from_value(json).unwrap())
}

#[test]
fn a_statement_counts_until_it_expires_and_no_longer_than_a_year() {
    let result = |kind, created, expires| {
        let all = [attestation("NoCoreDumps", kind, created, expires)];
        after(Line::NoCoreDumps, |facts| facts.statements = Statements::that_count(&all, now()))
    };
    let created = "2026-12-01T00:00:00Z";
    assert_eq!(result("Attestation", created, "2027-06-01T00:00:00Z"), "Attested Stated");
    assert_eq!(result("Attestation", created, "2027-01-01T00:00:00Z"), "Unknown NotAttested", "it ends now");
    assert_eq!(result("Attestation", created, "2028-06-01T00:00:00Z"), "Unknown NotAttested", "over a year");
    assert_eq!(result("Attestation", created, "soon"), "Unknown NotAttested");
    assert_eq!(
        result("Exception", created, "2027-06-01T00:00:00Z"),
        "Unknown NotAttested",
        "it attests nothing"
    );
    let all = [attestation("NoCoreDumps", "Attestation", created, "2027-06-01T00:00:00Z")];
    let broken = |facts: &mut NodeFacts| {
        facts.statements = Statements::that_count(&all, now());
        report(facts).hardening.as_mut().unwrap().dumpable = true;
    };
    assert_eq!(after(Line::NoCoreDumps, broken), "Violated Dumpable", "what was observed counts more");
}

#[test]
fn an_exception_leaves_the_line_violated_and_settles_it() {
    let violated =
        || Finding::violated("NoCollector", tessera_crds::checklist::Observer::ApiServer, "o", "r");
    let at = |expires| {
        let all = [attestation("CentralLogging", "Exception", "2026-12-01T00:00:00Z", expires)];
        let statements = Statements::that_count(&all, now());
        let judged =
            Judged::new(Line::CentralLogging, violated(), SignedDuration::from_hours(1), &statements);
        summary::status(lines(&[], vec![judged], Renew::AtHalf, now()))
    };
    let accepted = at("2027-06-01T00:00:00Z");
    assert_eq!((accepted.summary.as_str(), accepted.lines[0].result), ("0/1", LineResult::Violated));
    assert_eq!(accepted.lines[0].exception.as_ref().unwrap().by, "alice@bank");
    assert_eq!(summary::condition(&accepted.lines).1, tessera_crds::condition::Reason::Satisfied);
    let expired = at("2026-12-31T00:00:00Z");
    assert_eq!(summary::condition(&expired.lines).1, tessera_crds::condition::Reason::Violated);
}

#[test]
fn no_statement_stands_for_what_a_cluster_sees() {
    let all = [attestation("HardwareKeys", "Attestation", "2026-12-01T00:00:00Z", "2027-06-01T00:00:00Z")];
    let statements = Statements::that_count(&all, now());
    assert_eq!(said(&statements.attested(Line::HardwareKeys, "it is so")), "Unknown NotAttested");
}

fn judged(finding: Finding) -> Vec<Judged> {
    vec![Judged::new(Line::HardwareKeys, finding, SignedDuration::from_hours(1), &Statements::default())]
}

fn sealed() -> Finding {
    Finding::verified(tessera_crds::checklist::Observer::Store, "sealed by awskms")
}

#[test]
fn the_same_evidence_is_written_again_only_when_half_of_its_time_is_gone() {
    let first = lines(&[], judged(sealed()), Renew::AtHalf, now());
    assert_eq!(first[0].valid_until.as_deref(), Some("2027-01-01T01:00:00Z"));
    let at = |minutes: i64| now() + SignedDuration::from_mins(minutes);
    assert_eq!(lines(&first, judged(sealed()), Renew::AtHalf, at(30)), first, "half of it is left");
    let renewed = lines(&first, judged(sealed()), Renew::AtHalf, at(31));
    assert_eq!(renewed[0].valid_until.as_deref(), Some("2027-01-01T01:31:00Z"));
    assert_eq!(renewed[0].last_transition_time, first[0].last_transition_time, "the result is the same");
    assert_eq!(lines(&first, judged(sealed()), Renew::AtThreeQuarters, at(31)), first);
}

#[test]
fn what_rests_on_older_evidence_ends_with_it() {
    let end: Timestamp = "2027-01-01T00:20:00Z".parse().unwrap();
    let finding = Finding { rests_on_evidence_until: Some(end), ..sealed() };
    let first = lines(&[], judged(finding.clone()), Renew::AtThreeQuarters, now());
    assert_eq!(first[0].valid_until.as_deref(), Some("2027-01-01T00:20:00Z"));
    let later = now() + SignedDuration::from_mins(10);
    assert_eq!(
        lines(&first, judged(finding), Renew::AtThreeQuarters, later),
        first,
        "writing it again would say the same"
    );
}

#[test]
fn a_new_result_is_written_at_once_with_its_time() {
    let first = lines(&[], judged(sealed()), Renew::AtHalf, now());
    let later = now() + SignedDuration::from_secs(7);
    let silent = Finding::unknown("StoreSilent", "it did not answer", "look");
    let second = lines(&first, judged(silent), Renew::AtHalf, later);
    assert_eq!((second[0].result, second[0].valid_until.as_ref()), (LineResult::Unknown, None));
    assert_eq!(second[0].last_transition_time.as_str(), "2027-01-01T00:00:07Z");
}

#[test]
fn what_was_not_asked_yet_stands_as_it_was_until_its_evidence_is_too_old() {
    let first = lines(&[], judged(sealed()), Renew::AtHalf, now());
    let pending = || judged(Finding::not_asked_yet("the secret store"));
    let at =
        |minutes: i64| lines(&first, pending(), Renew::AtHalf, now() + SignedDuration::from_mins(minutes));
    assert_eq!(at(59), first, "an operator that starts says nothing of what it has not asked");
    assert_eq!((at(61)[0].result, at(61)[0].reason.as_str()), (LineResult::Unknown, "NotAskedYet"));
    assert_eq!(lines(&[], pending(), Renew::AtHalf, now())[0].result, LineResult::Unknown);
}

#[test]
fn a_text_is_no_longer_than_the_api_takes() {
    let long = Finding::unknown("NotAttested", "é".repeat(2000), &"r".repeat(2000));
    let line = &lines(&[], judged(long), Renew::AtHalf, now())[0];
    assert_eq!(line.observed.chars().count(), 1024);
    assert_eq!(line.remedy.as_ref().unwrap().len(), 1024);
}

#[test]
fn the_summary_counts_what_is_satisfied_and_the_condition_names_the_rest() {
    use crate::report::conditions::ConditionStatus;
    let line = |id, finding| Judged::new(id, finding, SignedDuration::from_hours(1), &Statements::default());
    let violated = Finding::violated("NoCollector", tessera_crds::checklist::Observer::ApiServer, "o", "r");
    let all = vec![line(Line::HardwareKeys, sealed()), line(Line::CentralLogging, violated)];
    let checklist = summary::status(lines(&[], all, Renew::AtHalf, now()));
    assert_eq!(checklist.summary, "1/2");
    let (status, _, message) = summary::condition(&checklist.lines);
    assert_eq!(
        (status, message.as_str()),
        (ConditionStatus::False, "violated: CentralLogging (NoCollector)")
    );
    assert_eq!(summary::condition(&checklist.lines[..1]).0, ConditionStatus::True);
}

#[test]
fn an_event_tells_that_a_line_is_violated_and_that_it_holds_again() {
    let of = |finding| Some(summary::status(lines(&[], judged(finding), Renew::AtHalf, now())));
    let violated =
        || Finding::violated("SoftwareSeal", tessera_crds::checklist::Observer::Store, "software", "r");
    let reasons = |before: &Option<ChecklistStatus>, after: &Option<ChecklistStatus>| {
        summary::events(before.as_ref(), after.as_ref()).iter().map(|event| event.reason).collect::<Vec<_>>()
    };
    let (good, bad) = (of(sealed()), of(violated()));
    assert_eq!(reasons(&good, &bad), ["ChecklistViolated"]);
    assert_eq!(reasons(&bad, &good), ["ChecklistChanged"]);
    assert!(reasons(&good, &good).is_empty() && reasons(&None, &bad).is_empty());
}

proptest! {
    /// No combination with a missing, contradicting or damaged fact is Verified.
    #[test]
    fn a_missing_fact_is_never_made_up_for(
        missing in 0_usize..9,
        other in 0_usize..9,
        replicas in 1_usize..3,
    ) {
        let mut facts = facts();
        facts.replicas = replicas;
        for remove in [missing, other] {
            let Some(pod) = facts.pods.first_mut() else { continue };
            match (remove, &mut pod.report) {
                (0, report) => *report = None,
                (1, Some(report)) => report.hardening = None,
                (2, Some(report)) => report.built_on = None,
                (3, Some(report)) => report.started_at = "yesterday".into(),
                (4, _) => pod.image_id = None,
                (5, _) => facts.is_rolled_out = None,
                (6, _) => facts.image = "registry/tessera-node:latest".into(),
                (7, Some(report)) => report.hardening.iter_mut().for_each(|hardening| hardening.core_soft_limit = None),
                (8, _) => facts.pods.clear(),
                _ => {}
            }
        }
        let upgrades = of_node(&facts, Line::ImmutableUpgrades);
        let needs = |removed: &[usize]| removed.contains(&missing) || removed.contains(&other) || replicas > 1;
        prop_assert!(!needs(&[0, 2, 3, 4, 5, 6, 8]) || upgrades.result != LineResult::Verified);
        let dumps = of_node(&facts, Line::NoCoreDumps);
        prop_assert!(!needs(&[0, 1, 7, 8]) || part(&dumps, "Pod") != LineResult::Verified);
        for line in NODE_LINES {
            let finding = (line.judge)(&facts, now());
            prop_assert_eq!(finding.remedy.is_none(), finding.result == LineResult::Verified, "{:?}", finding);
        }
    }
}
