//! What a checklist says to a reader at a given time: evidence that is too old proves nothing. Pure.

use jiff::Timestamp;
use tessera_crds::checklist::{ChecklistStatus, LineResult, LineStatus};

/// The reason of a line whose evidence is too old.
pub(crate) const EXPIRED: &str = "EvidenceExpired";

/// What a person does about evidence that nobody renews.
pub(crate) const RENEW: &str =
    "see whether the operator runs: its conditions and its log say why nobody observes this";

/// The checklist for a reader at `now`.
pub(crate) fn read_at(mut checklist: ChecklistStatus, now: Timestamp) -> ChecklistStatus {
    for line in &mut checklist.lines {
        read_line_at(line, now);
    }
    checklist.summary = summary(&checklist.lines);
    checklist
}

/// How many of `lines` are satisfied, of how many: 9/14.
pub(crate) fn summary(lines: &[LineStatus]) -> String {
    let satisfied = lines.iter().filter(|line| line.result.is_satisfied()).count();
    format!("{satisfied}/{}", lines.len())
}

fn read_line_at(line: &mut LineStatus, now: Timestamp) {
    line.exception.take_if(|exception| has_passed(&exception.expires, now));
    let result = line.result_at(now);
    if result == line.result {
        return;
    }
    let until = line.valid_until.as_ref().map_or("", |end| end.as_str());
    line.observed = format!("was {} until {until}: {}", line.result, line.observed);
    line.result = result;
    EXPIRED.clone_into(&mut line.reason);
    line.remedy = Some(RENEW.into());
    // The parts rest on the same evidence.
    for part in &mut line.parts {
        part.observed = format!("was {}: {}", part.result, part.observed);
        part.result = LineResult::Unknown;
    }
}

/// Whether `end` is over at `now`; an end that cannot be read is.
pub(crate) fn has_passed(end: &str, now: Timestamp) -> bool {
    end.parse::<Timestamp>().map_or(true, |end| end <= now)
}

#[cfg(test)]
pub(crate) mod tests {
    use tessera_crds::checklist::{Line, LineException, LinePart, Observer, PartName};

    use super::*;

    pub(crate) fn checklist() -> ChecklistStatus {
        let line = LineStatus {
            id: Line::HardwareKeys,
            result: LineResult::Verified,
            reason: "Observed".into(),
            observer: Some(Observer::Store),
            observed: "sealed by awskms".into(),
            remedy: None,
            parts: Vec::new(),
            exception: None,
            last_transition_time: "2027-01-01T00:00:00Z".into(),
            valid_until: Some("2027-01-01T01:00:00Z".into()),
        };
        ChecklistStatus { summary: "1/1".into(), lines: vec![line] }
    }

    #[test]
    fn fresh_evidence_is_shown_as_it_is() {
        let shown = read_at(checklist(), "2027-01-01T00:30:00Z".parse().unwrap());
        assert_eq!(shown, checklist());
    }

    #[test]
    fn evidence_that_is_too_old_is_unknown_in_all_its_parts_and_does_not_count() {
        let mut old = checklist();
        let part =
            LinePart { name: PartName::Pod, result: LineResult::Verified, observed: "no dumps".into() };
        old.lines[0].parts.push(part);
        let shown = read_at(old, "2027-01-01T01:00:01Z".parse().unwrap());
        assert_eq!(shown.summary, "0/1");
        assert_eq!(shown.lines[0].result, LineResult::Unknown);
        assert_eq!(shown.lines[0].parts[0].result, LineResult::Unknown);
        assert_eq!(shown.lines[0].parts[0].observed, "was Verified: no dumps");
    }

    #[test]
    fn an_exception_that_has_expired_accepts_nothing() {
        let with_exception = |expires: &str| {
            let mut violated = checklist();
            violated.lines[0].result = LineResult::Violated;
            violated.lines[0].exception =
                Some(LineException { name: "soft".into(), by: "ana".into(), expires: expires.into() });
            let shown = read_at(violated, "2027-01-01T00:30:00Z".parse().unwrap());
            shown.lines[0].exception.is_some()
        };
        assert!(with_exception("2027-06-01T00:00:00Z"));
        assert!(!with_exception("2027-01-01T00:30:00Z"));
        assert!(!with_exception("tomorrow"));
    }
}
