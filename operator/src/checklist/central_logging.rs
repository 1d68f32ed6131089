//! `CentralLogging`: logs of nodes and their dependencies are kept remotely, in one place. Pure.
//!
//! - Enforced by: `logging.otlp`, the collector that each node ships its records to.
//! - Observed by: the node, whose canary record the collector accepts each minute. A collector that accepts a record does not
//!   prove that it stores it, and the text says so.
//!   The secret store, which shows its auditor the audit devices; where a device's records end, nobody sees.
//! - Not observed: the logs of the ledger nodes. So a network is at most Enforced.

use jiff::{SignedDuration, Timestamp};
use tessera_crds::checklist::{Line, LineResult, Observer};
use tessera_node_api::admin::{CANARY_SECONDS, LoggingStatus};

use super::facts::{CollectorFact, NetworkFacts, NodeFacts, PodFacts};
use super::finding::Finding;
use super::store_facts::{AuditDevice, AuditorAnswer};
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
            if nodes.result == LineResult::Violated { nodes } else { with_dependencies(facts, nodes) }
        }
    }
}

/// The logs of what the nodes depend on. Those of the ledger nodes nobody observes.
fn with_dependencies(facts: &NetworkFacts<'_>, nodes: Finding) -> Finding {
    let devices = match facts.auditor() {
        // A violation of before must not turn into less for that.
        AuditorAnswer::NotAskedYet => return Finding::not_asked_yet("the secret store"),
        AuditorAnswer::Shows(shown) => shown.devices.as_deref(),
        _ => None,
    };
    if let Some(violated) = devices.and_then(of_devices) {
        return violated;
    }
    if nodes.result != LineResult::Verified {
        return nodes;
    }
    let (reason, store, remedy) = match devices {
        None => (
            "DependenciesNotSeen",
            "nobody observed where the secret store's audit log and the ledger nodes' logs go".to_owned(),
            "run kubectl tessera store-setup again: it makes a role by which the operator reads the store's audit devices; collect the ledger nodes' logs: nobody looks at them",
        ),
        Some(devices) if devices.len() > 1 && devices.iter().any(|device| device.remote) => (
            "LedgerLogsNotSeen",
            format!(
                "the secret store has the audit devices {}; nobody observed where the ledger nodes' logs go",
                names(devices)
            ),
            "collect the ledger nodes' logs: nobody looks at them",
        ),
        Some(devices) => (
            "AuditNotRemote",
            format!(
                "the secret store's audit devices are {}: {}; nobody observed where the ledger nodes' logs go",
                names(devices),
                if devices.len() == 1 { "there is no second" } else { "none writes to another machine" }
            ),
            "let the secret store have several audit devices, one of them remote (vault audit enable socket …), and collect the ledger nodes' logs: nobody looks at them",
        ),
    };
    let finding = Finding::enforced(reason, format!("{}; {store}", nodes.observed), remedy);
    Finding { rests_on_evidence_until: nodes.rests_on_evidence_until, ..finding }
}

fn of_devices(devices: &[AuditDevice]) -> Option<Finding> {
    if devices.is_empty() {
        return Some(Finding::violated(
            "NoAuditDevice",
            Observer::Store,
            "the secret store has no audit device: nobody can tell who read a key",
            "vault audit enable, twice: a file and a remote one (socket); kubectl tessera store-setup --dry-run shows how",
        ));
    }
    let raw = devices.iter().find(|device| device.raw)?;
    Some(Finding::violated(
        "AuditLogsSecrets",
        Observer::Store,
        format!("the secret store's audit device {} writes secrets in clear text (log_raw)", raw.path),
        "disable the audit device, enable it without log_raw, and destroy what it wrote; then rotate the keys",
    ))
}

fn names(devices: &[AuditDevice]) -> String {
    let name = |device: &AuditDevice| {
        format!("{} ({}{})", device.path, device.kind, if device.remote { ", remote" } else { "" })
    };
    devices.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn no_collector() -> Finding {
    Finding::violated(
        "NoCollector",
        Observer::ApiServer,
        "the network names no collector of logs",
        "set spec.logging.otlp of the TesseraNetwork; until then an agent on each machine may collect the pods' logs, which nobody observes",
    )
}
