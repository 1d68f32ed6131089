//! A node's connects to what it must not reach.

use proptest::prelude::*;
use tessera_node_api::admin::{EgressTrial, EgressTrials, Reach};

use super::*;

const LINE: Line = Line::HostFirewall;
const METADATA: &str = "169.254.169.254:80";

fn trial(target: &str, reach: Reach) -> EgressTrial {
    EgressTrial { target: target.into(), reach }
}

/// A round that proves the egress closed.
pub(super) fn closed() -> EgressTrials {
    EgressTrials {
        tried_at: "2026-12-31T23:50:00Z".into(),
        forbidden: vec![trial("kubernetes.default.svc:443", Reach::Failed), trial(METADATA, Reach::Failed)],
        allowed: trial("vault.vault.svc:8200", Reach::Reached),
    }
}

fn trials(facts: &mut NodeFacts) -> &mut EgressTrials {
    report(facts).egress_trials.as_mut().unwrap()
}

/// Result and text of the part that speaks of the pod, after `change`; the other parts are people's.
fn pod_after(change: impl FnOnce(&mut NodeFacts)) -> (LineResult, String) {
    let mut facts = facts();
    change(&mut facts);
    let finding = of_node(&facts, LINE);
    let part = finding.parts.into_iter().find(|part| part.name.to_string() == "Pod").unwrap();
    (part.result, part.observed)
}

/// The same, which must say `text`.
fn says(result: LineResult, text: &str, change: impl FnOnce(&mut NodeFacts)) {
    let (found, observed) = pod_after(change);
    assert_eq!(found, result, "{observed}");
    assert!(observed.contains(text), "{observed}");
}

#[test]
fn the_pod_s_part_is_verified_while_forbidden_connects_fail_and_the_store_answers() {
    let (result, observed) = pod_after(|_| ());
    assert_eq!(result, LineResult::Verified);
    assert_eq!(
        observed,
        "connects to kubernetes.default.svc:443, 169.254.169.254:80 failed and one to vault.vault.svc:8200 was made (TCP from its pod); its clock agrees with the operator's within 5 s"
    );
    assert_eq!(after(LINE, |_| ()), "Unknown NotAttested", "nobody speaks for the hosts");
}

#[test]
fn a_target_that_is_reached_is_named_however_old_the_round_is() {
    let reach = |facts: &mut NodeFacts| trials(facts).forbidden[1].reach = Reach::Reached;
    assert_eq!(after(LINE, reach), "Violated EgressOpen");
    says(LineResult::Violated, METADATA, reach);
    says(LineResult::Violated, METADATA, |facts| {
        reach(facts);
        trials(facts).tried_at = "2026-01-01T00:00:00Z".into();
        trials(facts).allowed.reach = Reach::Failed;
        report(facts).egress_closed_since = None;
    });
}

#[test]
fn a_failed_connect_counts_only_beside_the_store_s_and_for_a_time() {
    let unknown = LineResult::Unknown;
    says(unknown, "did not reach vault.vault.svc:8200", |facts| trials(facts).allowed.reach = Reach::Failed);
    says(unknown, "did not reach vault.vault.svc:8200", |facts| trials(facts).allowed.reach = Reach::Unclear);
    says(unknown, "whether the node reaches 169", |facts| trials(facts).forbidden[1].reach = Reach::Unclear);
    says(unknown, "recently", |facts| trials(facts).tried_at = "2026-12-31T23:27:59Z".into());
    says(unknown, "recently", |facts| trials(facts).tried_at = "soon".into());
    says(unknown, "anything", |facts| {
        trials(facts).forbidden.clear();
        facts.must_not_reach.clear();
    });
    says(unknown, "192.0.2.7:443", |facts| facts.must_not_reach.push("192.0.2.7:443".into()));
}

#[test]
fn clocks_that_differ_leave_it_open_whose_is_wrong() {
    let skewed = |milliseconds| {
        move |facts: &mut NodeFacts| {
            facts.pods[0].clock_skew = Some(SignedDuration::from_millis(milliseconds));
        }
    };
    assert_eq!(pod_after(skewed(5000)).0, LineResult::Verified);
    says(LineResult::Unknown, "differ by more than 5 s", skewed(5001));
    says(LineResult::Unknown, "differ by more than 5 s", skewed(-5001));
    says(LineResult::Unknown, "does not say its time", |facts| facts.pods[0].clock_skew = None);
}

#[test]
fn without_trials_the_start_speaks() {
    says(LineResult::Enforced, "when the node started", |facts| report(facts).egress_trials = None);
    let not_seen = |facts: &mut NodeFacts| report(facts).egress_closed_since = None;
    says(LineResult::Violated, "when it started", not_seen);
    assert_eq!(after(LINE, not_seen), "Violated EgressOpen");
    let starting = |facts: &mut NodeFacts| {
        not_seen(facts);
        report(facts).ready = false;
    };
    assert_eq!(after(LINE, starting), "Unknown NodeStarting");
    says(LineResult::Unknown, "does not answer", |facts| facts.pods[0].report = None);
}

proptest! {
    /// Each missing, stale or contradicting fact keeps the pod's part from Verified.
    #[test]
    fn no_round_that_proves_less_is_verified(removed in 0_usize..12, other in 0_usize..12, replicas in 1_usize..3) {
        let (result, observed) = pod_after(|facts| {
            facts.replicas = replicas;
            for remove in [removed, other] {
                let Some(pod) = facts.pods.first_mut() else { continue };
                let trials = pod.report.as_mut().and_then(|report| report.egress_trials.as_mut());
                match (remove, trials) {
                    (0, _) => pod.report = None,
                    (1, _) => pod.report.iter_mut().for_each(|report| report.egress_trials = None),
                    (2, _) => pod.report.iter_mut().for_each(|report| report.egress_closed_since = None),
                    (3, _) => pod.clock_skew = None,
                    (4, _) => pod.clock_skew = Some(SignedDuration::from_secs(60)),
                    (5, Some(trials)) => trials.tried_at = "2026-12-30T00:00:00Z".into(),
                    (6, Some(trials)) => trials.allowed.reach = Reach::Failed,
                    (7, Some(trials)) => trials.forbidden.clear(),
                    (8, Some(trials)) => trials.forbidden.iter_mut().for_each(|trial| trial.reach = Reach::Reached),
                    (9, Some(trials)) => trials.forbidden.iter_mut().for_each(|trial| trial.reach = Reach::Unclear),
                    (10, _) => facts.pods.clear(),
                    _ => {}
                }
            }
        });
        let proves_all = removed == 11 && other == 11 && replicas == 1;
        prop_assert_eq!(result == LineResult::Verified, proves_all, "{}", observed);
    }
}
