//! `CentralLogging`: logs of nodes and their dependencies are kept remotely, in one place. Pure.
//!
//! - Enforced by: `logging.otlp`, the collector that each node ships its records to.
//! - Observed by: the node, whose canary record the collector accepts each minute. A collector that accepts a record does not
//!   prove that it stores it, and the text says so.
//! - Not observed yet: the audit log of the secret store, and the logs of the ledger nodes. So a network is at most Enforced.

use jiff::{SignedDuration, Timestamp};
use tessera_crds::checklist::{Line, LineResult, Observer};
use tessera_node_api::admin::{CANARY_SECONDS, LoggingStatus};

use super::facts::{CollectorFact, NetworkFacts, NodeFacts, PodFacts};
use super::finding::Finding;
use super::{EVIDENCE_LASTS, NetworkLine, NodeLine, nodes};

pub(super) const OF_NODE: NodeLine =
    NodeLine { id: Line::CentralLogging, evidence_lasts: EVIDENCE_LASTS, judge: of_node };
pub(super) const OF_NETWORK: NetworkLine =
    NetworkLine { id: Line::CentralLogging, evidence_lasts: EVIDENCE_LASTS, judge: of_network };

/// An accepted canary counts for three periods: one may be late, and the operator asks twice in each.
const ACCEPTED_COUNTS: SignedDuration = SignedDuration::from_secs(3 * CANARY_SECONDS as i64);
/// A node that has just begun to ship there may not have sent one yet.
const BEGINNING: SignedDuration = ACCEPTED_COUNTS;
/// A clock that is ahead of ours by more proves nothing about time.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(60);

fn of_node(facts: &NodeFacts, now: Timestamp) -> Finding {
    match &facts.collector {
        None => no_collector(),
        Some(endpoint) => facts.worst_pod(|pod| of_pod(pod, endpoint, now)),
    }
}

fn of_pod(pod: &PodFacts, endpoint: &str, now: Timestamp) -> Finding {
    let Some(report) = &pod.report else { return pod.silent() };
    let Some(logging) = report.logging.as_ref().filter(|logging| logging.endpoint == endpoint) else {
        return Finding::unknown(
            "CollectorNotInUse",
            format!("the node in pod {} does not ship its logs to {endpoint} yet", pod.name),
            "wait a minute for its configuration to arrive; if that changes nothing, use a node image of the operator's version",
        );
    };
    if let Some(error) = &logging.error {
        return not_accepted(pod, endpoint, error);
    }
    let age = |time: &str| time.parse::<Timestamp>().ok().map(|time| now.duration_since(time));
    let is_beginning = age(&logging.since).is_some_and(|age| age <= BEGINNING);
    match logging.accepted_at.as_deref().and_then(age) {
        Some(age) if age >= -CLOCK_SKEW && age <= ACCEPTED_COUNTS => accepted(pod, logging, endpoint, now),
        None if logging.accepted_at.is_none() && is_beginning => Finding::unknown(
            "NotShippedYet",
            format!("pod {}: the node has just begun to ship its logs to {endpoint}", pod.name),
            "wait for the node's first canary record",
        ),
        _ => not_accepted(pod, endpoint, "no canary record was accepted within its period"),
    }
}

fn not_accepted(pod: &PodFacts, endpoint: &str, why: &str) -> Finding {
    Finding::violated(
        "NotAccepted",
        Observer::Node,
        format!("pod {}: the collector {endpoint} does not accept log records: {why}", pod.name),
        "see to it that the collector runs, that logging.otlp.egress leads to it, that logging.otlp.caBundleRef verifies its certificate, and that it trusts the network's CA for clients",
    )
}

fn accepted(pod: &PodFacts, logging: &LoggingStatus, endpoint: &str, now: Timestamp) -> Finding {
    let lost = logging.lost_at.as_deref().map(str::parse::<Timestamp>);
    // A time that cannot be read is no proof that it is long ago.
    if lost.is_some_and(|lost| lost.map_or(true, |lost| now.duration_since(lost) < EVIDENCE_LASTS)) {
        return Finding::violated(
            "RecordsLost",
            Observer::Node,
            format!(
                "pod {}: within the last hour log records were dropped, or rejected by {endpoint}",
                pod.name
            ),
            "look at the node's metrics tessera_logs_dropped_total and tessera_logs_rejected_total and at the collector's own log; the pod's standard output has all records",
        );
    }
    Finding::verified(
        Observer::Node,
        format!(
            "each minute a canary record is accepted by the collector {endpoint} (no proof that it is stored)"
        ),
    )
}

fn of_network(facts: &NetworkFacts<'_>, now: Timestamp) -> Finding {
    match facts.collector {
        CollectorFact::None => no_collector(),
        CollectorFact::WithoutCa(why) => Finding::violated(
            "InvalidReference",
            Observer::ApiServer,
            format!("the nodes ship no logs, since the collector's CA bundle is not there: {why}"),
            "create it, or correct spec.logging.otlp.caBundleRef",
        ),
        CollectorFact::Named => {
            let nodes = nodes::worst(facts, Line::CentralLogging, now);
            if nodes.result == LineResult::Verified { with_dependencies(&nodes) } else { nodes }
        }
    }
}

/// The logs of what the nodes depend on. Nobody observes them yet: once the secret store's audit devices are among the facts, they
/// are judged here.
fn with_dependencies(nodes: &Finding) -> Finding {
    let finding = Finding::enforced(
        "DependenciesNotSeen",
        format!(
            "{}; nobody observed where the secret store's audit log and the ledger nodes' logs go",
            nodes.observed
        ),
        "let the secret store have several audit devices, one of them remote, and collect the ledger nodes' logs; this version does not look at them",
    );
    Finding { rests_on_evidence_until: nodes.rests_on_evidence_until, ..finding }
}

fn no_collector() -> Finding {
    Finding::violated(
        "NoCollector",
        Observer::ApiServer,
        "the network names no collector of logs",
        "set spec.logging.otlp of the TesseraNetwork; until then an agent on each machine may collect the pods' logs, which nobody observes",
    )
}
