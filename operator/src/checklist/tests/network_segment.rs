//! The operator's connects as a stranger, and policies of others.

use proptest::prelude::*;

use super::*;
use crate::checklist::stranger::{AdminAnswer, CLOSED_PORTS, Control, StrangerRound};

const LINE: Line = Line::NetworkSegment;

/// A round that proves the pod closed.
pub(super) fn refused() -> StrangerRound {
    StrangerRound {
        at: "2026-12-31T23:50:00Z".parse().unwrap(),
        reached: Vec::new(),
        not_sent: None,
        admin: AdminAnswer::Serves,
        control: Control::Reached,
    }
}

fn after_round(change: impl FnOnce(&mut StrangerRound)) -> String {
    after(LINE, |facts| change(facts.pods[0].stranger.as_mut().unwrap()))
}

fn observed(change: impl FnOnce(&mut NodeFacts)) -> String {
    let mut facts = facts();
    change(&mut facts);
    of_node(&facts, LINE).observed
}

#[test]
fn a_refused_stranger_proves_the_policies_and_dedicated_machines_the_line() {
    let holds = of_node(&facts(), LINE);
    assert_eq!(said(&holds), "Enforced PolicyOnly");
    assert!(holds.observer.is_some(), "what was observed grows old");
    assert_eq!(
        holds.observed,
        "connects of the operator to P2P and Q2T failed while admin answered and a control on the same ports was reached (TCP from a pod; no UDP, no host network); other pods may share its machine"
    );
    assert_eq!(after(LINE, |facts| facts.dedicated_machines = Some(true)), "Verified Observed");
    assert_eq!(after(LINE, |facts| facts.dedicated_machines = Some(false)), "Enforced PolicyOnly");
    assert!(
        observed(|facts| facts.dedicated_machines = Some(false)).ends_with("; other pods share its machine")
    );
}

#[test]
fn a_stranger_who_connects_is_a_violation_whatever_else_is_known() {
    let q2t = |round: &mut StrangerRound| round.reached = vec![CLOSED_PORTS[1]];
    assert_eq!(after_round(q2t), "Violated StrangerConnected");
    let what = observed(|facts| q2t(facts.pods[0].stranger.as_mut().unwrap()));
    assert!(what.contains("Q2T (port 8080) of pod tessera-node-a-0"), "{what}");
    let worst = |round: &mut StrangerRound| {
        q2t(round);
        round.control = Control::Failed("no way".into());
        round.admin = AdminAnswer::None;
        round.at = "2026-12-01T00:00:00Z".parse().unwrap();
    };
    assert_eq!(after_round(worst), "Violated StrangerConnected");
    let paused = |facts: &mut NodeFacts| {
        q2t(facts.pods[0].stranger.as_mut().unwrap());
        facts.policies_in_place = None;
        facts.pods[0].report = None;
    };
    assert_eq!(after(LINE, paused), "Violated StrangerConnected");
}

#[test]
fn a_failed_connect_counts_only_beside_admin_and_control_and_for_a_time() {
    let silent = |round: &mut StrangerRound| round.admin = AdminAnswer::None;
    assert_eq!(after_round(silent), "Unknown AdminSilent");
    let starting = |round: &mut StrangerRound| round.admin = AdminAnswer::Starting;
    assert_eq!(after_round(starting), "Unknown NodeStarting");
    let failed = |round: &mut StrangerRound| round.control = Control::Failed("port 9000".into());
    assert_eq!(after_round(failed), "Unknown ProberNotFree");
    let own_firewall = |round: &mut StrangerRound| round.not_sent = Some("not permitted".into());
    assert_eq!(after_round(own_firewall), "Unknown ProberNotFree");
    assert_eq!(after_round(|round| round.control = Control::Absent), "Enforced NoControl");
    let at = |time: &str| after_round(|round| round.at = time.parse().unwrap());
    assert_eq!(at("2026-12-31T23:28:00Z"), "Enforced PolicyOnly");
    assert_eq!(at("2026-12-31T23:27:59Z"), "Unknown ConnectsTooOld");
    assert_eq!(at("2027-01-01T00:32:01Z"), "Unknown ConnectsTooOld", "of a clock that was wrong");
}

#[test]
fn without_a_round_nothing_is_said_anew() {
    let mut facts = facts();
    facts.pods[0].stranger = None;
    let finding = of_node(&facts, LINE);
    assert_eq!(said(&finding), "Unknown NotTriedYet");
    assert!(finding.keeps_known, "an operator that starts says nothing of what it has not tried");
    report(&mut facts).ready = false;
    assert_eq!(said(&of_node(&facts, LINE)), "Unknown NodeStarting");
    assert_eq!(after(LINE, |facts| facts.pods[0].report = None), "Unknown NodeSilent");
    assert_eq!(after(LINE, |facts| facts.pods.clear()), "Unknown NoPod");
    assert_eq!(after(LINE, |facts| facts.policies_in_place = Some(false)), "Unknown PolicyNotWritten");
    assert_eq!(after(LINE, |facts| facts.policies_in_place = None), "Unknown Paused");
}

#[test]
fn a_policy_of_others_is_named() {
    let one = |facts: &mut NodeFacts| facts.foreign_policies = vec!["open-p2p".into()];
    assert_eq!(after(LINE, one), "Violated ForeignPolicy");
    assert!(observed(one).contains("NetworkPolicy open-p2p has allow rules"));
    let two = observed(|facts| facts.foreign_policies = vec!["a".into(), "b".into()]);
    assert!(two.contains("NetworkPolicy a (and 1 more)"), "{two}");
    let both = observed(|facts| {
        one(facts);
        facts.pods[0].stranger.as_mut().unwrap().reached = CLOSED_PORTS.to_vec();
    });
    assert!(both.contains("open-p2p") && both.contains("connected to P2P (port 9000) and Q2T"), "{both}");
    assert_eq!(
        after(LINE, |facts| {
            one(facts);
            facts.policies_in_place = None;
        }),
        "Violated ForeignPolicy"
    );
}

#[test]
fn whom_the_load_balancer_lets_in_is_in_the_evidence() {
    const SAYS: &str = "; its load balancer takes connections to P2P from 192.0.2.0/28, 203.0.113.0/28";
    let sources = |facts: &mut NodeFacts| {
        facts.exposed_to = Some(vec!["192.0.2.0/28".into(), "203.0.113.0/28".into()]);
    };
    let shared = observed(sources);
    assert!(shared.ends_with(SAYS), "{shared}");
    let silent = observed(|facts| {
        facts.pods[0].report = None;
        sources(facts);
    });
    assert!(silent.ends_with(SAYS), "{silent}");
    assert!(observed(|facts| facts.exposed_to = Some(Vec::new())).ends_with("from everywhere"));
    let dedicated = observed(|facts| {
        facts.dedicated_machines = Some(true);
        sources(facts);
    });
    assert!(dedicated.contains("no other pods") && dedicated.ends_with(SAYS), "{dedicated}");
}

proptest! {
    /// On dedicated machines, each missing, stale or contradicting fact keeps the line from Verified; and no result changes its
    /// text because time passes.
    #[test]
    fn no_round_that_proves_less_is_verified(removed in 0_usize..14, other in 0_usize..14, replicas in 1_usize..3) {
        let mut facts = facts();
        facts.dedicated_machines = Some(true);
        facts.replicas = replicas;
        for remove in [removed, other] {
            let Some(pod) = facts.pods.first_mut() else { continue };
            match (remove, &mut pod.stranger) {
                (0, round) => *round = None,
                (1, Some(round)) => round.admin = AdminAnswer::None,
                (2, Some(round)) => round.admin = AdminAnswer::Starting,
                (3, Some(round)) => round.control = Control::Absent,
                (4, Some(round)) => round.control = Control::Failed("refused".into()),
                (5, Some(round)) => round.reached = CLOSED_PORTS.to_vec(),
                (6, Some(round)) => round.not_sent = Some("not permitted".into()),
                (7, Some(round)) => round.at = "2026-12-31T00:00:00Z".parse().unwrap(),
                (8, _) => pod.report = None,
                (9, _) => facts.pods.clear(),
                (10, _) => facts.dedicated_machines = None,
                (11, _) => facts.foreign_policies = vec!["open".into()],
                (12, _) => facts.policies_in_place = None,
                _ => {}
            }
        }
        let finding = of_node(&facts, LINE);
        let proves_all = removed == 13 && other == 13 && replicas == 1;
        prop_assert_eq!(finding.result == LineResult::Verified, proves_all, "{:?}", finding);
        prop_assert_eq!(finding.remedy.is_none(), finding.result == LineResult::Verified);
    }
}
