//! `HostFirewall`: a node reaches its secret store, DNS and its peers, and nothing else; so do the machines. Pure.
//!
//! - Enforced by: the egress rules of the node's NetworkPolicy.
//! - Observed by: the node, over TCP and from its pod. It fetches no key before a forbidden connect has failed beside an allowed
//!   one; then, at each `checklist.probeEvery`, it tries the API server, the cloud's metadata service and
//!   `checklist.mustNotReach`, and after them the secret store, which must answer. A target where nothing listens fails with
//!   and without a policy; of the API server the operator knows that it listens.
//! - Time: a node's clock that agrees with the operator's. Where they differ, one machine's time is wrong, and nobody knows whose.
//! - A person attests: the firewalls of the machines and of the secret store's machines, their clocks included.

use jiff::{SignedDuration, Timestamp};
use tessera_crds::checklist::{Line, Observer, PartName};
use tessera_node_api::admin::{self, EgressTrials, Reach};

use super::facts::{NodeFacts, PodFacts};
use super::finding::Finding;
use super::fresh::is_fresh;
use super::{EVIDENCE_LASTS, NetworkLine, NodeLine, nodes};

pub(super) const OF_NODE: NodeLine =
    NodeLine { id: Line::HostFirewall, evidence_lasts: EVIDENCE_LASTS, judge: of_node };
pub(super) const OF_NETWORK: NetworkLine = NetworkLine {
    id: Line::HostFirewall,
    evidence_lasts: EVIDENCE_LASTS,
    judge: |facts, now| nodes::worst(facts, Line::HostFirewall, now),
};

/// The longest exchange with a node takes as long, so that a smaller difference shows nothing.
const MAX_SKEW: SignedDuration = SignedDuration::from_secs(5);

fn of_node(facts: &NodeFacts, now: Timestamp) -> Finding {
    let stated = |what| facts.statements.attested(Line::HostFirewall, what);
    let host = stated("a firewall limits what the machine reaches and who reaches it");
    let store = stated("a firewall limits what the secret store's machine reaches and who reaches it");
    Finding::of_parts(vec![
        (PartName::Pod, facts.worst_pod(|pod| of_pod(facts, pod, now))),
        (PartName::Host, host),
        (PartName::StoreHost, store),
    ])
}

fn of_pod(facts: &NodeFacts, pod: &PodFacts, now: Timestamp) -> Finding {
    let Some(report) = &pod.report else { return pod.silent() };
    if let Some(open) = report.egress_trials.as_ref().and_then(|trials| reached(pod, trials)) {
        return open;
    }
    match (&report.egress_closed_since, &report.egress_trials) {
        (None, _) => not_closed_at_start(pod, report),
        (Some(_), None) => Finding::enforced(
            "SeenAtStart",
            "when the node started, a connect to a forbidden address failed and one to the secret store was made (TCP, from its pod)",
            "wait for the node's next trials; a node image older than the operator looks once, before it fetches its keys",
        ),
        (Some(_), Some(trials)) => failed(facts, pod, trials, now),
    }
}

/// Reaching something is proof however old it is, until a newer connect fails.
fn reached(pod: &PodFacts, trials: &EgressTrials) -> Option<Finding> {
    let open = trials.forbidden.iter().find(|trial| trial.reach == Reach::Reached)?;
    Some(Finding::violated(
        "EgressOpen",
        Observer::Node,
        format!("pod {}: the node reached {} (TCP from its pod), which it must not", pod.name, open.target),
        "use a network plug-in that enforces NetworkPolicy; look for a policy that lets the pod out: kubectl get networkpolicies, secretStore.egress and logging.otlp.egress of the network and storage.postgres.egress of the node included",
    ))
}

fn not_closed_at_start(pod: &PodFacts, report: &admin::Status) -> Finding {
    if !report.ready {
        return Finding::unknown(
            "NodeStarting",
            format!("pod {}: the node is starting", pod.name),
            "kubectl describe the TesseraNode: Ready says why",
        );
    }
    Finding::violated(
        "EgressOpen",
        Observer::Node,
        format!("pod {}: the node did not find its egress closed when it started", pod.name),
        "use a network plug-in that enforces NetworkPolicy, then restart the pod: kubectl tessera restart",
    )
}

/// What it proves that no forbidden connect was made.
fn failed(facts: &NodeFacts, pod: &PodFacts, trials: &EgressTrials, now: Timestamp) -> Finding {
    if !is_fresh(&trials.tried_at, facts.probe_every, now) {
        return Finding::unknown(
            "TrialsTooOld",
            format!("the node in pod {} has not tried its egress recently", pod.name),
            "restart the pod: kubectl tessera restart; compare the clocks of the machines",
        );
    }
    if trials.allowed.reach != Reach::Reached {
        return Finding::unknown(
            "ControlFailed",
            format!(
                "pod {}: the node did not reach {} either, so that other connects failed proves nothing",
                pod.name, trials.allowed.target
            ),
            "see to it that the secret store runs, and that secretStore.egress of the network leads to it",
        );
    }
    if let Some(unclear) = trials.forbidden.iter().find(|trial| trial.reach != Reach::Failed) {
        return Finding::unknown(
            "TrialUnclear",
            format!(
                "pod {}: whether the node reaches {} is unclear: its name was not resolved, or the connect not sent",
                pod.name, unclear.target
            ),
            "see to it that the cluster's DNS answers the pod",
        );
    }
    let missing = facts
        .must_not_reach
        .iter()
        .find(|target| trials.forbidden.iter().all(|trial| trial.target != **target));
    if let Some(missing) = missing.map(String::as_str).or(trials.forbidden.is_empty().then_some("anything")) {
        return Finding::unknown(
            "TargetNotTried",
            format!("pod {}: the node has not tried to reach {missing} yet", pod.name),
            "wait a minute for its configuration to arrive; if that changes nothing, use a node image of the operator's version",
        );
    }
    in_time(pod, trials)
}

fn in_time(pod: &PodFacts, trials: &EgressTrials) -> Finding {
    match pod.clock_skew {
        None => Finding::unknown(
            "ClockUnknown",
            format!("the node in pod {} does not say its time", pod.name),
            "use a node image of the operator's version",
        ),
        Some(skew) if skew.abs() > MAX_SKEW => Finding::unknown(
            "ClockSkew",
            format!(
                "the clocks of pod {} and of the operator differ by more than {} s: one of their machines does not keep time",
                pod.name,
                MAX_SKEW.as_secs()
            ),
            "see to it that both machines reach their time servers: chronyc tracking, or timedatectl, on each",
        ),
        Some(_) => Finding::verified(Observer::Node, summary(trials)),
    }
}

fn summary(trials: &EgressTrials) -> String {
    let targets: Vec<_> = trials.forbidden.iter().map(|trial| trial.target.as_str()).collect();
    format!(
        "connects to {} failed and one to {} was made (TCP from its pod); its clock agrees with the operator's within {} s",
        targets.join(", "),
        trials.allowed.target,
        MAX_SKEW.as_secs()
    )
}
