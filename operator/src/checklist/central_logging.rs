//! `CentralLogging`: logs of nodes and their dependencies are kept remotely, in one place. Pure.
//!
//! - Enforced by: `logging.otlp`, the collector that each node ships its records to.
//! - Observed by: the node, whose canary record the collector accepts each minute. A collector that accepts a record does not
//!   prove that it stores it, and the text says so.
//!   The secret store, which shows its auditor the audit devices; where a device's records end, nobody sees.
//!   The operator, whose own canary record the collector of its installation (`logging.otlp` of the chart) accepts each minute. An
//!   operator that ships nothing violates nothing: its standard output may be collected, which nobody observes.
//! - Not observed: the logs of the ledger nodes. So a network is at most Enforced.

use jiff::{SignedDuration, Timestamp};
use tessera_crds::checklist::{Line, LineResult, LineStatus, Observer};
use tessera_node_api::admin::{CANARY_SECONDS, LoggingStatus};

use super::facts::{CollectorFact, NetworkFacts, NodeFacts, PodFacts};
use super::finding::Finding;
use super::store_facts::{AuditDevice, AuditorAnswer};
use super::{EVIDENCE_LASTS, NetworkLine, NodeLine, nodes};

pub(super) const OF_NODE: NodeLine =
    NodeLine { id: Line::CentralLogging, evidence_lasts: EVIDENCE_LASTS, judge: of_node };
pub(super) const OF_NETWORK: NetworkLine =
    NetworkLine { id: Line::CentralLogging, evidence_lasts: EVIDENCE_LASTS, judge: of_network };

pub(super) const OPERATOR_LOG_NOT_ACCEPTED: &str = "OperatorLogNotAccepted";
pub(super) const OPERATOR_RECORDS_LOST: &str = "OperatorRecordsLost";

/// Whether a line shows a violation of the operator's own log, which no other secret store repairs.
pub fn is_of_operators_log(line: &LineStatus) -> bool {
    line.result == LineResult::Violated
        && [OPERATOR_LOG_NOT_ACCEPTED, OPERATOR_RECORDS_LOST].contains(&line.reason.as_str())
}

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
    match shipping(logging, now) {
        Shipping::Whole => Finding::verified(Observer::Node, accepted(endpoint)),
        Shipping::NotYet => Finding::unknown(
            "NotShippedYet",
            format!("pod {}: the node has just begun to ship its logs to {endpoint}", pod.name),
            "wait for the node's first canary record",
        ),
        Shipping::NotAccepted(why) => not_accepted(pod, endpoint, why),
        Shipping::Lost => lost(pod, endpoint),
    }
}

/// What came of a process's shipping.
enum Shipping<'a> {
    /// Its last canary record was accepted, and no record was lost.
    Whole,
    /// It has just begun.
    NotYet,
    /// The collector does not accept its records; why.
    NotAccepted(&'a str),
    /// Records were lost a while ago.
    Lost,
}

fn shipping(logging: &LoggingStatus, now: Timestamp) -> Shipping<'_> {
    if let Some(error) = &logging.error {
        return Shipping::NotAccepted(error);
    }
    let age = |time: &str| time.parse::<Timestamp>().ok().map(|time| now.duration_since(time));
    let is_beginning = age(&logging.since).is_some_and(|age| age <= BEGINNING);
    match logging.accepted_at.as_deref().and_then(age) {
        Some(age) if age >= -CLOCK_SKEW && age <= ACCEPTED_COUNTS => {
            let lost = logging.lost_at.as_deref().map(str::parse::<Timestamp>);
            // A time that cannot be read is no proof that it is long ago.
            let is_recent =
                lost.is_some_and(|lost| lost.map_or(true, |lost| now.duration_since(lost) < EVIDENCE_LASTS));
            if is_recent { Shipping::Lost } else { Shipping::Whole }
        }
        None if logging.accepted_at.is_none() && is_beginning => Shipping::NotYet,
        _ => Shipping::NotAccepted("no canary record was accepted within its period"),
    }
}

fn accepted(endpoint: &str) -> String {
    format!(
        "each minute a canary record is accepted by the collector {endpoint} (no proof that it is stored)"
    )
}

fn not_accepted(pod: &PodFacts, endpoint: &str, why: &str) -> Finding {
    Finding::violated(
        "NotAccepted",
        Observer::Node,
        format!("pod {}: the collector {endpoint} does not accept log records: {why}", pod.name),
        "see to it that the collector runs, that logging.otlp.egress leads to it, that logging.otlp.caBundleRef verifies its certificate, and that it trusts the network's CA for clients",
    )
}

fn lost(pod: &PodFacts, endpoint: &str) -> Finding {
    Finding::violated(
        "RecordsLost",
        Observer::Node,
        format!("pod {}: within the last hour log records were dropped, or rejected by {endpoint}", pod.name),
        "look at the node's metrics tessera_logs_dropped_total and tessera_logs_rejected_total and at the collector's own log; the pod's standard output has all records",
    )
}

/// What the operator's own log comes to: where it is accepted, `None` if it is not shipped, or what is wrong.
fn of_operator(log: Option<&LoggingStatus>, now: Timestamp) -> Result<Option<String>, Box<Finding>> {
    let Some(log) = log else { return Ok(None) };
    let endpoint = &log.endpoint;
    let violated = |reason, what: String, remedy| {
        Err(Box::new(Finding::violated(reason, Observer::Operator, what, remedy)))
    };
    match shipping(log, now) {
        Shipping::Whole => Ok(Some(format!("the operator's own log: {}", accepted(endpoint)))),
        // A violation of before must not turn into less for a restart of the operator.
        Shipping::NotYet => Err(Box::new(Finding::not_asked_yet("the collector of the operator's own log"))),
        Shipping::NotAccepted(why) => violated(
            OPERATOR_LOG_NOT_ACCEPTED,
            format!("the collector {endpoint} does not accept the operator's own log records: {why}"),
            "see to it that the collector runs, and correct logging.otlp of the operator's chart: egress must lead to the collector, caBundle must verify the collector's certificate, and the collector must trust the CA of clientCertificateSecret",
        ),
        Shipping::Lost => violated(
            OPERATOR_RECORDS_LOST,
            format!(
                "within the last hour log records of the operator were dropped, or rejected by {endpoint}"
            ),
            "look at the operator's metrics tessera_operator_logs_dropped_total and tessera_operator_logs_rejected_total and at the collector's own log; the operator's standard output has all records",
        ),
    }
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
            if nodes.result == LineResult::Violated { nodes } else { with_dependencies(facts, nodes, now) }
        }
    }
}

/// The logs of what the nodes depend on, and the operator's. Those of the ledger nodes nobody observes.
fn with_dependencies(facts: &NetworkFacts<'_>, nodes: Finding, now: Timestamp) -> Finding {
    let devices = match facts.auditor() {
        // A violation of before must not turn into less for that.
        AuditorAnswer::NotAskedYet => return Finding::not_asked_yet("the secret store"),
        AuditorAnswer::Shows(shown) => shown.devices.as_deref(),
        _ => None,
    };
    if let Some(violated) = devices.and_then(of_devices) {
        return violated;
    }
    let operator = match of_operator(facts.operator_log, now) {
        Ok(operator) => operator,
        Err(finding) => return *finding,
    };
    if nodes.result != LineResult::Verified {
        return nodes;
    }
    let finding = at_most_enforced(&nodes.observed, devices, operator);
    Finding { rests_on_evidence_until: nodes.rests_on_evidence_until, ..finding }
}

/// What was seen and what was not, when nothing that was seen is wrong.
fn at_most_enforced(nodes: &str, devices: Option<&[AuditDevice]>, operator: Option<String>) -> Finding {
    let is_remote = |devices: &[AuditDevice]| devices.len() > 1 && devices.iter().any(|device| device.remote);
    let reason = match (devices, &operator) {
        (None, _) => "DependenciesNotSeen",
        (Some(devices), _) if !is_remote(devices) => "AuditNotRemote",
        (Some(_), None) => "OperatorLogNotSeen",
        (Some(_), Some(_)) => "LedgerLogsNotSeen",
    };
    let (mut seen, mut unseen, mut remedies) = (vec![nodes.to_owned()], Vec::new(), Vec::new());
    match devices {
        None => {
            unseen.push("the secret store's audit log");
            remedies.push("run kubectl tessera store-setup again: it makes a role by which the operator reads the store's audit devices");
        }
        Some(devices) if is_remote(devices) => {
            seen.push(format!("the secret store has the audit devices {}", names(devices)));
        }
        Some(devices) => {
            let lacks =
                if devices.len() == 1 { "there is no second" } else { "none writes to another machine" };
            seen.push(format!("the secret store's audit devices are {}: {lacks}", names(devices)));
            remedies.push("let the secret store have several audit devices, one of them remote (vault audit enable socket …)");
        }
    }
    if operator.is_none() {
        unseen.push("the operator's own log");
        remedies.push("let the operator ship its own log (logging.otlp of its chart)");
    }
    seen.extend(operator);
    unseen.push("the ledger nodes' logs");
    remedies.push("collect the ledger nodes' logs: nobody looks at them");
    seen.push(format!("nobody observed where these go: {}", unseen.join(", ")));
    Finding::enforced(reason, seen.join("; "), &remedies.join("; "))
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
