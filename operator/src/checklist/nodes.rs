//! A line of a network that speaks of its nodes: the worst of them. Pure.

use jiff::Timestamp;
use tessera_crds::TesseraNode;
use tessera_crds::checklist::{Line, LineResult, LineStatus};

use super::facts::NetworkFacts;
use super::finding::Finding;
use crate::kube::meta::name_of;

/// The worst that the nodes show for `line`, and how many are better. Of those that are equally bad the first by name, so that
/// the text stays.
pub(super) fn worst(facts: &NetworkFacts<'_>, line: Line, now: Timestamp) -> Finding {
    let lines: Vec<_> = facts.nodes.iter().map(|node| (name_of(&**node), line_of(node, line))).collect();
    let result = |found: Option<&LineStatus>| found.map_or(LineResult::Unknown, |found| found.result_at(now));
    let satisfied = lines.iter().filter(|(_, found)| result(*found).is_satisfied()).count();
    let worst = lines.iter().min_by(|(a, one), (b, other)| (result(*one), a).cmp(&(result(*other), b)));
    let Some((name, found)) = worst else {
        return Finding::unknown("NoNode", "the network has no node", "create a TesseraNode");
    };
    let finding = finding(*found, now);
    let observed = format!("{satisfied} of {} nodes; {name}: {}", lines.len(), finding.observed);
    let ends = lines.iter().filter_map(|(_, found)| found.and_then(evidence_until)).min();
    Finding { observed, rests_on_evidence_until: ends, ..finding }
}

fn line_of(node: &TesseraNode, line: Line) -> Option<&LineStatus> {
    let checklist = node.status.as_ref()?.checklist.as_ref()?;
    checklist.lines.iter().find(|found| found.id == line)
}

fn evidence_until(line: &LineStatus) -> Option<Timestamp> {
    line.valid_until.as_deref()?.parse().ok()
}

fn finding(line: Option<&LineStatus>, now: Timestamp) -> Finding {
    let Some(line) = line else {
        return Finding::unknown("NotObserved", "it was not looked at yet", "wait for the node to come up");
    };
    if line.result_at(now) != line.result {
        let remedy = "kubectl describe the TesseraNode: its conditions say why nobody observes it";
        return Finding::unknown("EvidenceExpired", "the evidence is too old", remedy);
    }
    Finding {
        result: line.result,
        reason: line.reason.clone(),
        observer: line.observer,
        observed: line.observed.clone(),
        remedy: line.remedy.clone(),
        parts: line.parts.clone(),
        rests_on_evidence_until: None,
        keeps_known: false,
    }
}
