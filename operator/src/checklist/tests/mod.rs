//! What each line says of facts, and that no missing fact is made up for.

mod central_logging;
mod clear_text;
mod cluster;
mod enforce;
mod evidence;
mod host_firewall;
mod key_rotation;
mod mutual_tls;
mod network_segment;
mod of_network;
mod offline_key_backup;
mod ssh;
mod statements;
mod store;
mod store_paths;

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use tessera_crds::TesseraNode;
use tessera_crds::checklist::{ChecklistStatus, HardwareLevel, Line, LineResult, LineStatus};

use super::clear_text::ClearTextFacts;
use super::cluster::ClusterFacts;
use super::facts::{CollectorFact, DatabaseLogin, PodFacts, StoreAnswer};
use super::finding::Finding;
use super::statements::Statements;
use super::*;
use crate::fixtures::{clear_text_facts, node, node_json, now, report_of_a_ready_node};

const COLLECTOR: &str = "https://otel.logs.svc:4318";
const DIGEST: &str = "registry/tessera-node@sha256:00";

fn facts() -> NodeFacts {
    let pod = PodFacts {
        name: "tessera-node-a-0".into(),
        image_id: Some(DIGEST.into()),
        report: Some(admin_report()),
        clock_skew: Some(SignedDuration::from_millis(-40)),
        stranger: Some(network_segment::refused()),
    };
    NodeFacts {
        leak_is_known: false,
        replicas: 1,
        image: DIGEST.into(),
        failed_upgrade: None,
        upgrade_waits: false,
        max_image_age: SignedDuration::from_hours(2160),
        probe_every: SignedDuration::from_mins(15),
        is_rolled_out: Some(true),
        policies_in_place: Some(true),
        foreign_policies: Vec::new(),
        exposed_to: None,
        dedicated_machines: None,
        must_not_reach: vec!["169.254.169.254:80".into()],
        collector: Some(COLLECTOR.into()),
        store_with_certificate: None,
        database: DatabaseLogin::None,
        rotate_every: [("main".to_owned(), SignedDuration::from_hours(24 * 365))].into(),
        statements: Statements::default(),
        pods: vec![pod],
    }
}

/// Facts of a network of which nothing is known but that its objects were searched.
fn network_facts() -> NetworkFacts<'static> {
    static CLEAR_TEXT: LazyLock<ClearTextFacts> = LazyLock::new(clear_text_facts);
    static CLUSTER: LazyLock<ClusterFacts> = LazyLock::new(ClusterFacts::default);
    NetworkFacts {
        vault: None,
        store: StoreAnswer::Silent,
        collector: CollectorFact::None,
        operator_log: None,
        statements: Statements::default(),
        nodes: &[],
        clear_text: &CLEAR_TEXT,
        cluster: &CLUSTER,
        custodians: None,
        hardware_minimum: HardwareLevel::default(),
        leak_is_known: false,
    }
}

fn admin_report() -> tessera_node_api::admin::Status {
    let mut report = report_of_a_ready_node();
    report.started_at = "2026-12-31T00:00:00Z".into();
    report.egress_closed_since = Some("2026-12-31T00:00:01Z".into());
    report.listener_trials = Some(mutual_tls::good_trials());
    report.server_trials = vec![mutual_tls::good_server("collector", COLLECTOR)];
    report.egress_trials = Some(host_firewall::closed());
    report.logging = Some(tessera_node_api::admin::LoggingStatus {
        endpoint: COLLECTOR.into(),
        since: "2026-12-31T00:00:00Z".into(),
        accepted_at: Some("2026-12-31T23:59:30Z".into()),
        ..tessera_node_api::admin::LoggingStatus::default()
    });
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

/// A node whose status has the line with this result.
fn node_with(id: Line, result: LineResult, reason: &str) -> Arc<TesseraNode> {
    let mut node = node(node_json("a"));
    let line = LineStatus {
        id,
        result,
        reason: reason.into(),
        observer: None,
        observed: "seen".into(),
        remedy: (result != LineResult::Verified).then(|| "do".into()),
        parts: Vec::new(),
        exception: None,
        last_transition_time: now().to_string().into(),
        valid_until: Some("2027-01-01T01:00:00Z".into()),
    };
    node.status.get_or_insert_default().checklist =
        Some(ChecklistStatus { summary: String::new(), lines: vec![line] });
    Arc::new(node)
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
    // An upgrade that failed stands, whatever runs since.
    let failed = |facts: &mut NodeFacts| facts.failed_upgrade = Some("the node did not become ready".into());
    assert_eq!(after(line, failed), "Violated UpgradeFailed");
    assert_eq!(after(line, |facts| facts.upgrade_waits = true), "Unknown RolloutWaiting");
}

fn said(finding: &Finding) -> String {
    format!("{} {}", finding.result, finding.reason)
}

proptest! {
    /// No combination with a missing, contradicting or damaged fact is Verified.
    #[test]
    fn a_missing_fact_is_never_made_up_for(
        missing in 0_usize..13,
        other in 0_usize..13,
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
                (9, _) => facts.failed_upgrade = Some("it was taken back".into()),
                (10, _) => facts.upgrade_waits = true,
                (11, Some(report)) => report.log_search = None,
                (12, Some(report)) => report.log_search.iter_mut().for_each(|search| search.rules = None),
                _ => {}
            }
        }
        let upgrades = of_node(&facts, Line::ImmutableUpgrades);
        let needs = |removed: &[usize]| removed.contains(&missing) || removed.contains(&other) || replicas > 1;
        prop_assert!(!needs(&[0, 2, 3, 4, 5, 6, 8, 9, 10]) || upgrades.result != LineResult::Verified);
        let dumps = of_node(&facts, Line::NoCoreDumps);
        prop_assert!(!needs(&[0, 1, 7, 8]) || part(&dumps, "Pod") != LineResult::Verified);
        let log = of_node(&facts, Line::NoClearTextCredentials);
        prop_assert!(!needs(&[0, 8, 11, 12]) || log.result != LineResult::Verified);
        for line in NODE_LINES {
            let finding = (line.judge)(&facts, now());
            prop_assert_eq!(finding.remedy.is_none(), finding.result == LineResult::Verified, "{:?}", finding);
        }
    }
}
