//! From lines to the summary, the condition `ChecklistSatisfied` and Events. Pure.

use tessera_crds::checklist::{ChecklistStatus, LineResult, LineStatus};
use tessera_crds::condition::Reason;

use crate::kube::events::EventRecord;
use crate::report::conditions::{ConditionStatus, ConditionValue};

/// The checklist of a status.
pub fn status(lines: Vec<LineStatus>) -> ChecklistStatus {
    let satisfied = lines.iter().filter(|line| line.result.is_satisfied()).count();
    ChecklistStatus { summary: format!("{satisfied}/{}", lines.len()), lines }
}

/// The condition `ChecklistSatisfied`.
pub fn condition(lines: &[LineStatus]) -> ConditionValue {
    let with = |result| named(lines, result);
    let (violated, unknown) = (with(LineResult::Violated), with(LineResult::Unknown));
    match (violated.is_empty(), unknown.is_empty()) {
        (true, true) => (
            ConditionStatus::True,
            Reason::Satisfied,
            "every line is satisfied, or its violation accepted".to_owned(),
        ),
        (true, false) => (ConditionStatus::Unknown, Reason::Unknown, format!("unknown: {unknown}")),
        (false, true) => (ConditionStatus::False, Reason::Violated, format!("violated: {violated}")),
        (false, false) => {
            (ConditionStatus::False, Reason::Violated, format!("violated: {violated}; unknown: {unknown}"))
        }
    }
}

fn named(lines: &[LineStatus], result: LineResult) -> String {
    let lines = lines.iter().filter(|line| line.result == result && !line.is_settled());
    lines.map(|line| format!("{} ({})", line.id, line.reason)).collect::<Vec<_>>().join(", ")
}

/// Of each line that was judged before: that it is violated or no longer known, and that it holds again.
pub fn events(before: Option<&ChecklistStatus>, after: Option<&ChecklistStatus>) -> Vec<EventRecord> {
    let (Some(before), Some(after)) = (before, after) else { return Vec::new() };
    let changed = after.lines.iter().filter_map(|now| {
        let then = before.lines.iter().find(|line| line.id == now.id)?;
        of_change(then, now)
    });
    changed.collect()
}

/// Reasons of a node that is away: its condition Ready reports that.
const AWAY: [&str; 4] = ["NoPod", "NodeSilent", "NodeStarting", "RolloutInProgress"];

fn of_change(then: &LineStatus, now: &LineStatus) -> Option<EventRecord> {
    let note =
        || format!("{}: {} ({}), was {}: {}", now.id, now.result, now.reason, then.result, now.observed);
    match (then.result, now.result) {
        (before, after) if before == after => None,
        (_, LineResult::Violated) => Some(EventRecord::warning("ChecklistViolated", note())),
        // Each node that starts goes through it.
        (LineResult::Unknown, _) => None,
        (_, LineResult::Unknown) if AWAY.contains(&now.reason.as_str()) => None,
        (_, LineResult::Unknown) => Some(EventRecord::warning("ChecklistUnknown", note())),
        _ => Some(EventRecord::normal("ChecklistChanged", note())),
    }
}
