//! `NetworkSegment`: nodes run in an independent network segment. Pure.
//!
//! - Enforced by: NetworkPolicies that deny everything both ways but an exact list; and, as a preference of the scheduler, no machine
//!   in common with pods of ledgers.
//! - Observed by: the operator. It is a stranger to P2P and Q2T: its connects must fail while the admin port of the same pod
//!   answers, and a control on the same port numbers in another operator's pod must succeed. The watch of NetworkPolicies:
//!   policies add up, so one of others that selects a node's pod and allows something widens what reaches the pod.
//! - What that does not prove: anything of UDP, of the host network, of pods that the policies' selectors treat unlike the
//!   operator; a rule that keeps this operator from exactly these ports of exactly these pods, and lets it to the other
//!   operator, looks the same. `AdminNetworkPolicy` and the policies of network plug-ins are not read: what they open to
//!   the operator, its connect finds.
//! - Verified only on machines that nobody shares: pods on one machine share its kernel.

use jiff::{SignedDuration, Timestamp};
use tessera_crds::checklist::{Line, Observer};

use super::facts::{NodeFacts, PodFacts};
use super::finding::Finding;
use super::stranger::{AdminAnswer, Control, StrangerRound};
use super::{EVIDENCE_LASTS, NetworkLine, NodeLine, nodes};

pub(super) const OF_NODE: NodeLine =
    NodeLine { id: Line::NetworkSegment, evidence_lasts: EVIDENCE_LASTS, judge: of_node };
pub(super) const OF_NETWORK: NetworkLine = NetworkLine {
    id: Line::NetworkSegment,
    evidence_lasts: EVIDENCE_LASTS,
    judge: |facts, now| nodes::worst(facts, Line::NetworkSegment, now),
};

fn of_node(facts: &NodeFacts, now: Timestamp) -> Finding {
    let mut finding = of_policies(facts, now);
    // With every result: the addresses that the spec itself lets in from outside belong to the evidence.
    if let Some(sources) = &facts.exposed_to {
        let from = if sources.is_empty() { "everywhere".to_owned() } else { sources.join(", ") };
        finding.observed += "; its load balancer takes connections to P2P from ";
        finding.observed += &from;
    }
    finding
}

fn of_policies(facts: &NodeFacts, now: Timestamp) -> Finding {
    // What is open is open, whoever wrote the policies and however old the connect is, until a newer one fails.
    match (foreign_policy(facts), facts.pods.iter().find_map(connected)) {
        (Some(policy), Some(connect)) => {
            return Finding { observed: format!("{}; {}", policy.observed, connect.observed), ..policy };
        }
        (Some(open), None) | (None, Some(open)) => return open,
        (None, None) => {}
    }
    match facts.policies_in_place {
        Some(true) => facts.worst_pod(|pod| of_pod(facts, pod, now)),
        Some(false) => Finding::unknown(
            "PolicyNotWritten",
            "a NetworkPolicy of the node could not be written",
            "kubectl describe the TesseraNode: its conditions say why",
        ),
        None => Finding::unknown(
            "Paused",
            "paused: its NetworkPolicies are not looked at",
            "set spec.paused to false",
        ),
    }
}

fn foreign_policy(facts: &NodeFacts) -> Option<Finding> {
    let (first, others) = facts.foreign_policies.split_first()?;
    let others = if others.is_empty() { String::new() } else { format!(" (and {} more)", others.len()) };
    Some(Finding::violated(
        "ForeignPolicy",
        Observer::ApiServer,
        format!(
            "NetworkPolicy {first}{others} has allow rules and selects pods of the node; the operator did not make it"
        ),
        "delete it, or let its podSelector leave out pods of nodes: {key: tessera.rs/node, operator: DoesNotExist}; who may connect to a node is set in spec.clients of the TesseraNode",
    ))
}

fn connected(pod: &PodFacts) -> Option<Finding> {
    let round = pod.stranger.as_ref().filter(|round| !round.reached.is_empty())?;
    let ports: Vec<_> =
        round.reached.iter().map(|port| format!("{} (port {})", port.name, port.number)).collect();
    Some(Finding::violated(
        "StrangerConnected",
        Observer::Operator,
        format!("the operator, a stranger there, connected to {} of pod {}", ports.join(" and "), pod.name),
        "use a network plug-in that enforces NetworkPolicy; look for a policy that opens the pod: kubectl get networkpolicies, AdminNetworkPolicies, and the plug-in's own",
    ))
}

fn of_pod(facts: &NodeFacts, pod: &PodFacts, now: Timestamp) -> Finding {
    let Some(report) = &pod.report else { return pod.silent() };
    match &pod.stranger {
        Some(round) if is_fresh(round, facts.probe_every, now) => refused(facts, pod, round),
        Some(_) => Finding::unknown(
            "ConnectsTooOld",
            format!("the operator has not tried to connect to pod {} recently", pod.name),
            "kubectl describe the TesseraNode: Ready says why; look at the operator's log",
        ),
        None if report.ready => Finding {
            keeps_known: true,
            ..Finding::unknown(
                "NotTriedYet",
                format!("the operator has not tried to connect to pod {} yet", pod.name),
                "wait: it tries within a minute",
            )
        },
        None => starting(pod),
    }
}

/// One round may be late, and takes its time.
fn is_fresh(round: &StrangerRound, every: SignedDuration, now: Timestamp) -> bool {
    now.duration_since(round.at).abs() <= every * 2 + SignedDuration::from_mins(2)
}

/// What it proves that no connect was made.
fn refused(facts: &NodeFacts, pod: &PodFacts, round: &StrangerRound) -> Finding {
    if let Some(why) = &round.not_sent {
        return not_free(&format!("a connect to pod {} was not sent: {why}", pod.name));
    }
    match (round.admin, &round.control) {
        (AdminAnswer::None, _) => Finding::unknown(
            "AdminSilent",
            format!(
                "pod {}: its admin port did not answer, so that connects failed proves nothing",
                pod.name
            ),
            "kubectl describe the TesseraNode: Ready says why",
        ),
        (AdminAnswer::Starting, _) => starting(pod),
        (AdminAnswer::Serves, Control::Failed(why)) => not_free(why),
        (AdminAnswer::Serves, Control::Absent) => observed(
            "NoControl",
            format!(
                "{FAILED}; no control: nothing else answers the operator on these ports, so its own egress may be why"
            ),
            "run two operators: the chart's value replicas; the one that stands by is the control",
        ),
        (AdminAnswer::Serves, Control::Reached) => policed(facts.dedicated_machines),
    }
}

const FAILED: &str = "connects of the operator to P2P and Q2T failed while admin answered";
const CONTROLLED: &str = "connects of the operator to P2P and Q2T failed while admin answered and a control on the same ports was reached (TCP from a pod; no UDP, no host network)";

fn policed(dedicated_machines: Option<bool>) -> Finding {
    let others = match dedicated_machines {
        Some(true) => {
            let what = format!("{CONTROLLED}; no other pods are on its machine");
            return Finding::verified(Observer::Operator, what);
        }
        Some(false) => "other pods share its machine",
        None => "other pods may share its machine",
    };
    observed("PolicyOnly", format!("{CONTROLLED}; {others}"), "give the network machines of its own")
}

/// Observed, and therefore of an age, though it does not prove the line.
fn observed(reason: &str, what: String, remedy: &str) -> Finding {
    Finding { observer: Some(Observer::Operator), ..Finding::enforced(reason, what, remedy) }
}

fn not_free(why: &str) -> Finding {
    Finding::unknown(
        "ProberNotFree",
        format!(
            "the operator itself cannot connect freely, so that its connects to the node failed proves nothing: {why}"
        ),
        "let the operator's pods connect to every TCP port of managed pods and of each other: the chart's networkPolicy does; look for other policies that select them",
    )
}

fn starting(pod: &PodFacts) -> Finding {
    Finding::unknown(
        "NodeStarting",
        format!("pod {}: the node is starting", pod.name),
        "kubectl describe the TesseraNode: Ready says why",
    )
}
