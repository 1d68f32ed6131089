//! When a line is written again, what the summary counts, and what becomes an Event.

use tessera_crds::checklist::ChecklistStatus;

use super::*;
use crate::checklist::evidence::{Judged, Renew, lines};

fn judged(finding: Finding) -> Vec<Judged> {
    vec![Judged::new(Line::HardwareKeys, finding, SignedDuration::from_hours(1), &Statements::default())]
}

fn sealed() -> Finding {
    Finding::verified(tessera_crds::checklist::Observer::Store, "sealed by awskms")
}

#[test]
fn the_same_evidence_is_written_again_only_when_half_of_its_time_is_gone() {
    let first = lines(&[], judged(sealed()), Renew::AtHalf, now());
    assert_eq!(first[0].valid_until.as_deref(), Some("2027-01-01T01:00:00Z"));
    let at = |minutes: i64| now() + SignedDuration::from_mins(minutes);
    assert_eq!(lines(&first, judged(sealed()), Renew::AtHalf, at(30)), first, "half of it is left");
    let renewed = lines(&first, judged(sealed()), Renew::AtHalf, at(31));
    assert_eq!(renewed[0].valid_until.as_deref(), Some("2027-01-01T01:31:00Z"));
    assert_eq!(renewed[0].last_transition_time, first[0].last_transition_time, "the result is the same");
    assert_eq!(lines(&first, judged(sealed()), Renew::AtThreeQuarters, at(31)), first);
}

#[test]
fn what_rests_on_older_evidence_ends_with_it() {
    let end: Timestamp = "2027-01-01T00:20:00Z".parse().unwrap();
    let finding = Finding { rests_on_evidence_until: Some(end), ..sealed() };
    let first = lines(&[], judged(finding.clone()), Renew::AtThreeQuarters, now());
    assert_eq!(first[0].valid_until.as_deref(), Some("2027-01-01T00:20:00Z"));
    let later = now() + SignedDuration::from_mins(10);
    assert_eq!(
        lines(&first, judged(finding), Renew::AtThreeQuarters, later),
        first,
        "writing it again would say the same"
    );
}

#[test]
fn a_new_result_is_written_at_once_with_its_time() {
    let first = lines(&[], judged(sealed()), Renew::AtHalf, now());
    let later = now() + SignedDuration::from_secs(7);
    let silent = Finding::unknown("StoreSilent", "it did not answer", "look");
    let second = lines(&first, judged(silent), Renew::AtHalf, later);
    assert_eq!((second[0].result, second[0].valid_until.as_ref()), (LineResult::Unknown, None));
    assert_eq!(second[0].last_transition_time.as_str(), "2027-01-01T00:00:07Z");
}

#[test]
fn what_was_not_asked_yet_stands_as_it_was_until_its_evidence_is_too_old() {
    let first = lines(&[], judged(sealed()), Renew::AtHalf, now());
    let pending = || judged(Finding::not_asked_yet("the secret store"));
    let at =
        |minutes: i64| lines(&first, pending(), Renew::AtHalf, now() + SignedDuration::from_mins(minutes));
    assert_eq!(at(59), first, "an operator that starts says nothing of what it has not asked");
    assert_eq!((at(61)[0].result, at(61)[0].reason.as_str()), (LineResult::Unknown, "NotAskedYet"));
    assert_eq!(lines(&[], pending(), Renew::AtHalf, now())[0].result, LineResult::Unknown);
}

#[test]
fn a_text_is_no_longer_than_the_api_takes() {
    let long = Finding::unknown("NotAttested", "é".repeat(2000), &"r".repeat(2000));
    let line = &lines(&[], judged(long), Renew::AtHalf, now())[0];
    assert_eq!(line.observed.chars().count(), 1024);
    assert_eq!(line.remedy.as_ref().unwrap().len(), 1024);
}

#[test]
fn the_summary_counts_what_is_satisfied_and_the_condition_names_the_rest() {
    use crate::report::conditions::ConditionStatus;
    let line = |id, finding| Judged::new(id, finding, SignedDuration::from_hours(1), &Statements::default());
    let violated = Finding::violated("NoCollector", tessera_crds::checklist::Observer::ApiServer, "o", "r");
    let all = vec![line(Line::HardwareKeys, sealed()), line(Line::CentralLogging, violated)];
    let checklist = summary::status(lines(&[], all, Renew::AtHalf, now()));
    assert_eq!(checklist.summary, "1/2");
    let (status, _, message) = summary::condition(&checklist.lines);
    assert_eq!(
        (status, message.as_str()),
        (ConditionStatus::False, "violated: CentralLogging (NoCollector)")
    );
    assert_eq!(summary::condition(&checklist.lines[..1]).0, ConditionStatus::True);
}

#[test]
fn an_event_tells_that_a_line_is_violated_and_that_it_holds_again() {
    let of = |finding| Some(summary::status(lines(&[], judged(finding), Renew::AtHalf, now())));
    let violated =
        || Finding::violated("SoftwareSeal", tessera_crds::checklist::Observer::Store, "software", "r");
    let reasons = |before: &Option<ChecklistStatus>, after: &Option<ChecklistStatus>| {
        summary::events(before.as_ref(), after.as_ref()).iter().map(|event| event.reason).collect::<Vec<_>>()
    };
    let (good, bad) = (of(sealed()), of(violated()));
    assert_eq!(reasons(&good, &bad), ["ChecklistViolated"]);
    assert_eq!(reasons(&bad, &good), ["ChecklistChanged"]);
    assert!(reasons(&good, &good).is_empty() && reasons(&None, &bad).is_empty());
}
