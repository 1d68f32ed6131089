//! `NoClearTextCredentials`: no credential and no connection string lies in clear text in configuration, or in a log. Pure.
//!
//! - Enforced by: the API, no field of which takes a credential; the chart's admission policy `tessera-operator-clear-text`,
//!   which warns.
//! - Observed by: the operator, which searches ConfigMaps, pods and what makes pods by the rules of the crate
//!   `tessera-clear-text`, as the watch shows them. Nodes and operator search each line by the same rules
//!   before they write it to standard output: nobody else needs to read their logs. A panic is such a line. What they found outlives
//!   a restart for its hour; what the process before wrote and this one cannot know, and the few lines on standard error when a
//!   process ends, they do not search, nor the names of peers, which others choose. A rule that finds no credential in a text with one makes the
//!   line Unknown.
//! - Not observed: Helm's releases, which are Secrets (`kubectl tessera audit` reads them), and the logs of others.

use jiff::Timestamp;
use tessera_crds::checklist::{Line, LineResult, LineStatus, Observer};
use tessera_node_api::admin::{FoundInLog, LogSearchStatus};

use super::clear_text::{ClearTextFacts, FoundCredential};
use super::facts::{NetworkFacts, NodeFacts, PodFacts};
use super::finding::Finding;
use super::{EVIDENCE_LASTS, NetworkLine, NodeLine, nodes};

pub(super) const OF_NODE: NodeLine =
    NodeLine { id: Line::NoClearTextCredentials, evidence_lasts: EVIDENCE_LASTS, judge: of_node };
pub(super) const OF_NETWORK: NetworkLine =
    NetworkLine { id: Line::NoClearTextCredentials, evidence_lasts: EVIDENCE_LASTS, judge: of_network };

/// How many of the findings the text names.
const NAMED: usize = 3;

fn of_node(facts: &NodeFacts, now: Timestamp) -> Finding {
    facts.worst_pod(|pod| of_pod(pod, facts.leak_is_known, now))
}

fn of_pod(pod: &PodFacts, leak_is_known: bool, now: Timestamp) -> Finding {
    let Some(report) = &pod.report else { return pod.silent() };
    let Some(log) = &report.log_search else {
        return pod.too_old("whether its log holds credentials");
    };
    // By the node's own clock.
    let now = report.now.as_deref().and_then(|now| now.parse().ok()).unwrap_or(now);
    if let Some(found) = recent(log, now) {
        let observed = format!("pod {}: {}", pod.name, in_log(found));
        return Finding::violated(IN_NODE_LOG, Observer::Node, observed, LEAKED);
    }
    if leak_is_known && log.found.is_empty() {
        return outlived(IN_NODE_LOG, Observer::Node);
    }
    match log.rules {
        None => Finding::unknown(
            "ControlFailed",
            format!("pod {}: the node did not search its log, or a line of it not whole", pod.name),
            "let the node log (RUST_LOG is not off); if it does and this lasts longer than an hour, report this as a bug of the node",
        ),
        Some(rules) => Finding::verified(
            Observer::Node,
            format!(
                "{rules} rules found nothing in the node's standard output (of the last hour, since its start; names of peers aside)"
            ),
        ),
    }
}

/// What to do about a credential that a log holds.
const LEAKED: &str = "change the credential: everybody who reads the log knows it. Then report the module and the rule as a bug: no module may log one. The line returns after an hour without another";

/// The reason of a credential in the log of a node.
pub const IN_NODE_LOG: &str = "InNodeLog";
/// The reason of one in the log of the operator.
pub const IN_OPERATOR_LOG: &str = "InOperatorLog";

/// Whether the line in `before` says that a log showed a credential, and counts still. A process that was restarted has forgotten
/// it, and everybody who reads the log still knows it.
pub fn leak_is_known(before: &[LineStatus], reason: &str, now: Timestamp) -> bool {
    let of_log = |line: &&LineStatus| line.id == Line::NoClearTextCredentials && line.reason == reason;
    before.iter().find(of_log).is_some_and(|line| line.result_at(now) == LineResult::Violated)
}

/// The line as it was: nobody observes it again, and it ends by its validity.
fn outlived(reason: &str, by: Observer) -> Finding {
    let observed = "the process before wrote a credential to the log within the last hours";
    Finding { keeps_known: true, observer: None, ..Finding::violated(reason, by, observed, LEAKED) }
}

/// A place of a log that showed a credential a while ago. A time that cannot be read is no proof that it is long ago.
fn recent(log: &LogSearchStatus, now: Timestamp) -> Option<&FoundInLog> {
    let is_recent = |found: &&FoundInLog| {
        let last = found.last_at.parse::<Timestamp>();
        last.map_or(true, |last| now.duration_since(last) < EVIDENCE_LASTS)
    };
    log.found.iter().find(is_recent)
}

fn in_log(found: &FoundInLog) -> String {
    format!(
        "within the last hour the module {} wrote a credential to the log (rule {})",
        found.target, found.rule
    )
}

fn of_network(facts: &NetworkFacts<'_>, now: Timestamp) -> Finding {
    let own = of_operator(facts, now).unwrap_or_else(|| of_objects(facts.clear_text));
    if facts.nodes.is_empty() || own.keeps_known {
        return own;
    }
    let nodes = nodes::worst(facts, Line::NoClearTextCredentials, now);
    match own.result.cmp(&nodes.result) {
        std::cmp::Ordering::Less => own,
        std::cmp::Ordering::Greater => nodes,
        std::cmp::Ordering::Equal if own.result != LineResult::Verified => own,
        std::cmp::Ordering::Equal => Finding {
            observed: format!("{}; {}", own.observed, nodes.observed),
            rests_on_evidence_until: nodes.rests_on_evidence_until,
            ..own
        },
    }
}

/// What is wrong about the log of the operator.
fn of_operator(facts: &NetworkFacts<'_>, now: Timestamp) -> Option<Finding> {
    let log = &facts.clear_text.operator_log;
    if facts.leak_is_known && log.found.is_empty() {
        return Some(outlived(IN_OPERATOR_LOG, Observer::Operator));
    }
    let found = recent(log, now)?;
    Some(Finding::violated(
        IN_OPERATOR_LOG,
        Observer::Operator,
        format!("the operator: {}", in_log(found)),
        LEAKED,
    ))
}

fn of_objects(facts: &ClearTextFacts) -> Finding {
    if !facts.found.is_empty() {
        return Finding::violated(
            "ClearText",
            Observer::Operator,
            found(facts),
            "move it to a Secret or the secret store and refer to it there, then change the credential: everybody who reads the object knows it. kubectl tessera audit lists all",
        );
    }
    let Some(rules) = facts.rules.filter(|_| facts.operator_log.rules.is_some()) else {
        return Finding::unknown(
            "ControlFailed",
            "the rules did not find the credential that is shown to them as a control",
            "report this as a bug of the operator",
        );
    };
    if !facts.not_searched.is_empty() {
        return Finding::enforced(
            "PartlyScanned",
            format!("nothing was found, but not searched: {}", facts.not_searched.join("; ")),
            "install the operator's chart of this version, which gives the rights, and read the operator's log; kubectl tessera audit searches with your own rights",
        );
    }
    if !facts.pending.is_empty() || facts.searched.is_empty() {
        return Finding {
            keeps_known: true,
            ..Finding::unknown(
                "NotScannedYet",
                "the namespace's objects are being listed",
                "wait: they are searched within a minute",
            )
        };
    }
    Finding::verified(
        Observer::Operator,
        format!(
            "{rules} rules found nothing in {}: {}, and nothing in the operator's standard output (of the last hour, since its start). Not searched: Helm's releases (kubectl tessera audit does) and the logs of others",
            magnitude(facts.objects),
            facts.searched.join(", ")
        ),
    )
}

/// The first findings, and how many there are. Those in pods repeat what the makers of the pods say.
fn found(facts: &ClearTextFacts) -> String {
    let name = |it: &FoundCredential| format!("{}, {} (rule {})", it.object, it.path, it.rule);
    let named: Vec<_> = facts.found.iter().take(NAMED).map(name).collect();
    match facts.found.len().checked_sub(NAMED) {
        Some(more @ 1..) => format!("{}; and {more} more", named.join("; ")),
        _ => named.join("; "),
    }
}

/// How many objects, coarsely: an exact number would make a new text, and a write of the status, with each object.
fn magnitude(objects: usize) -> String {
    match objects.checked_ilog10() {
        None => "no object but pods".to_owned(),
        Some(0) => "fewer than 10 objects and their pods".to_owned(),
        Some(digits) => format!("at least {} objects and their pods", 10_usize.pow(digits)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_does_not_change_with_one_object() {
        assert_eq!(magnitude(0), "no object but pods");
        assert_eq!(magnitude(9), "fewer than 10 objects and their pods");
        assert_eq!((magnitude(10), magnitude(11)), (magnitude(12), magnitude(99)));
        assert_eq!(magnitude(123), "at least 100 objects and their pods");
    }
}
