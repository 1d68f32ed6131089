//! The shipping of logs, as the nodes report it.

use proptest::prelude::*;
use tessera_node_api::admin::LoggingStatus;

use super::*;

const LINE: Line = Line::CentralLogging;

fn logging(facts: &mut NodeFacts) -> &mut LoggingStatus {
    report(facts).logging.as_mut().unwrap()
}

#[test]
fn a_node_s_logs_are_verified_while_the_collector_accepts_its_canary() {
    let holds = of_node(&facts(), LINE);
    assert_eq!(said(&holds), "Verified Observed");
    assert!(holds.observed.contains("no proof that it is stored"), "{}", holds.observed);
    assert_eq!(after(LINE, |facts| facts.collector = None), "Violated NoCollector");
    assert_eq!(after(LINE, |facts| logging(facts).error = Some("gone".into())), "Violated NotAccepted");
    let accepted = |at: Option<&str>| after(LINE, |facts| logging(facts).accepted_at = at.map(str::to_owned));
    assert_eq!(accepted(Some("2026-12-31T23:57:00Z")), "Verified Observed");
    assert_eq!(accepted(Some("2026-12-31T23:56:59Z")), "Violated NotAccepted", "too old");
    assert_eq!(accepted(Some("2027-01-01T00:02:00Z")), "Violated NotAccepted", "from a wrong clock");
    assert_eq!(accepted(Some("soon")), "Violated NotAccepted");
    assert_eq!(accepted(None), "Violated NotAccepted");
    let just_started = |facts: &mut NodeFacts| {
        logging(facts).accepted_at = None;
        logging(facts).since = "2026-12-31T23:59:00Z".into();
    };
    assert_eq!(after(LINE, just_started), "Unknown NotShippedYet");
    assert_eq!(after(LINE, |facts| report(facts).logging = None), "Unknown CollectorNotInUse");
    assert_eq!(
        after(LINE, |facts| logging(facts).endpoint = "https://other:4318".into()),
        "Unknown CollectorNotInUse"
    );
    assert_eq!(after(LINE, |facts| facts.pods[0].report = None), "Unknown NodeSilent");
}

#[test]
fn records_that_were_lost_count_for_an_hour() {
    let lost = |at: &str| after(LINE, |facts| logging(facts).lost_at = Some(at.into()));
    assert_eq!(lost("2026-12-31T23:00:01Z"), "Violated RecordsLost");
    assert_eq!(lost("2026-12-31T23:00:00Z"), "Verified Observed");
    assert_eq!(lost("once"), "Violated RecordsLost");
}

#[test]
fn the_text_stays_while_nothing_but_times_and_counts_changes() {
    let text = |change: fn(&mut LoggingStatus)| {
        let mut facts = facts();
        change(logging(&mut facts));
        of_node(&facts, LINE)
    };
    assert_eq!(text(|_| ()), text(|logging| logging.accepted_at = Some("2026-12-31T23:59:59Z".into())));
    assert_eq!(text(|_| ()), text(|logging| (logging.rejected, logging.dropped) = (7, 7)));
}

/// What the operator says of its own log while all of it is accepted.
pub(super) fn accepted_log() -> LoggingStatus {
    LoggingStatus {
        endpoint: "https://ops.logs.svc:4318".into(),
        since: "2026-12-31T00:00:00Z".into(),
        accepted_at: Some("2026-12-31T23:59:30Z".into()),
        ..LoggingStatus::default()
    }
}

fn of_network(collector: CollectorFact<'_>, nodes: &[Arc<TesseraNode>]) -> Finding {
    with_operator_log(collector, nodes, None)
}

fn with_operator_log(
    collector: CollectorFact<'_>,
    nodes: &[Arc<TesseraNode>],
    operator_log: Option<&LoggingStatus>,
) -> Finding {
    let line = NETWORK_LINES.iter().find(|line| line.id == LINE).unwrap();
    let facts = NetworkFacts { collector, operator_log, nodes, ..network_facts() };
    (line.judge)(&facts, now())
}

#[test]
fn a_network_is_enforced_at_most_since_nobody_sees_its_dependencies() {
    let of = |collector, nodes: &[_]| said(&of_network(collector, nodes));
    let verified = [node_with(LINE, LineResult::Verified, "Observed")];
    let finding = of_network(CollectorFact::Named, &verified);
    assert_eq!(said(&finding), "Enforced DependenciesNotSeen");
    assert_eq!(
        finding.observed,
        "1 of 1 nodes; a: seen; nobody observed where these go: the secret store's audit log, the operator's own log, the ledger nodes' logs"
    );
    assert_eq!(of(CollectorFact::None, &verified), "Violated NoCollector");
    assert_eq!(of(CollectorFact::WithoutCa("gone"), &verified), "Violated InvalidReference");
    let violated = [node_with(LINE, LineResult::Violated, "NotAccepted")];
    assert_eq!(of(CollectorFact::Named, &violated), "Violated NotAccepted");
    assert_eq!(of(CollectorFact::Named, &[]), "Unknown NoNode");
}

#[test]
fn the_operator_s_own_log_is_seen_once_it_is_shipped_and_violates_while_it_is_not_accepted() {
    let verified = [node_with(LINE, LineResult::Verified, "Observed")];
    let of = |nodes: &[_], change: fn(&mut LoggingStatus)| {
        let mut log = accepted_log();
        change(&mut log);
        with_operator_log(CollectorFact::Named, nodes, Some(&log))
    };
    let seen = of(&verified, |_| ());
    assert_eq!(said(&seen), "Enforced DependenciesNotSeen");
    assert!(
        seen.observed.contains("the operator's own log: each minute a canary record is accepted"),
        "{seen:?}"
    );
    assert!(seen.observed.contains("https://ops.logs.svc:4318 (no proof that it is stored)"), "{seen:?}");
    assert!(!seen.remedy.as_ref().unwrap().contains("chart"), "{seen:?}");
    let gone: fn(&mut LoggingStatus) = |log| log.error = Some("gone".into());
    let not_accepted = of(&verified, gone);
    assert_eq!(said(&not_accepted), "Violated OperatorLogNotAccepted");
    assert!(not_accepted.observed.contains("https://ops.logs.svc:4318"), "{not_accepted:?}");
    assert_eq!(
        said(&of(&verified, |log| log.lost_at = Some("2026-12-31T23:30:00Z".into()))),
        "Violated OperatorRecordsLost"
    );
    let began = of(&verified, |log| (log.accepted_at, log.since) = (None, "2026-12-31T23:59:59Z".into()));
    assert!(began.keeps_known, "{began:?}");
    assert_eq!(said(&of(&[], gone)), "Violated OperatorLogNotAccepted", "whatever the nodes are");
    assert_eq!(said(&of(&[], |_| ())), "Unknown NoNode");
    let violated = [node_with(LINE, LineResult::Violated, "NotAccepted")];
    assert_eq!(said(&of(&violated, gone)), "Violated NotAccepted");
    // Nothing is written because a canary was accepted once more.
    assert_eq!(seen, of(&verified, |log| log.accepted_at = Some("2026-12-31T23:59:59Z".into())));
}

proptest! {
    /// Nothing that the operator says of its own log makes a network better than Enforced, and what is not a fresh canary without a
    /// loss is never passed over.
    #[test]
    fn a_log_of_the_operator_that_is_not_whole_is_never_passed_over(
        accepted in prop::option::of(-400_i64..400),
        lost in prop::option::of(-8000_i64..100),
        began in -400_i64..100,
        error in any::<bool>(),
        verified in any::<bool>(),
    ) {
        let at = |seconds: i64| (now() + SignedDuration::from_secs(seconds)).to_string();
        let log = LoggingStatus {
            endpoint: COLLECTOR.to_owned(),
            since: at(began),
            accepted_at: accepted.map(at),
            lost_at: lost.map(at),
            error: error.then(|| "gone".to_owned()),
            ..LoggingStatus::default()
        };
        let result = if verified { LineResult::Verified } else { LineResult::Unknown };
        let nodes = [node_with(LINE, result, "Observed")];
        let finding = with_operator_log(CollectorFact::Named, &nodes, Some(&log));
        let fresh = accepted.is_some_and(|seconds| (-180..=60).contains(&seconds));
        let whole = fresh && !error && lost.is_none_or(|seconds| seconds <= -3600);
        let begins = !error && accepted.is_none() && (-180..).contains(&began);
        prop_assert_eq!(finding.result == LineResult::Enforced, verified && whole, "{:?}", finding);
        prop_assert_eq!(finding.result == LineResult::Violated, !whole && !begins, "{:?}", finding);
        prop_assert_eq!(finding.keeps_known, begins, "{:?}", finding);
        prop_assert!(finding.remedy.is_some() || !verified, "{:?}", finding);
    }

    /// Only a fresh canary at the named collector, no error and no recent loss is Verified, and what else is there changes nothing.
    #[test]
    fn nothing_but_a_fresh_canary_is_verified(
        named in any::<bool>(),
        endpoint in prop::sample::select(vec![COLLECTOR, "https://other:4318", ""]),
        accepted in prop::option::of(-400_i64..400),
        lost in prop::option::of(-8000_i64..100),
        began in -400_i64..100,
        error in any::<bool>(),
        counts in any::<(u64, u64)>(),
    ) {
        let at = |seconds: i64| (now() + SignedDuration::from_secs(seconds)).to_string();
        let mut facts = facts();
        facts.collector = named.then(|| COLLECTOR.to_owned());
        *logging(&mut facts) = LoggingStatus {
            endpoint: endpoint.to_owned(),
            since: at(began),
            accepted_at: accepted.map(at),
            rejected: counts.0,
            dropped: counts.1,
            lost_at: lost.map(at),
            error: error.then(|| "gone".to_owned()),
        };
        let finding = of_node(&facts, LINE);
        let fresh = accepted.is_some_and(|seconds| (-180..=60).contains(&seconds));
        let whole = lost.is_none_or(|seconds| seconds <= -3600);
        let holds = named && endpoint == COLLECTOR && fresh && whole && !error;
        prop_assert_eq!(finding.result == LineResult::Verified, holds, "{:?}", finding);
        prop_assert_eq!(finding.remedy.is_none(), holds);
    }
}
