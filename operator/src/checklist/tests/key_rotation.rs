//! `KeyRotation` of a node: the age of its keys, and what its old keys still read.

use proptest::prelude::*;
use tessera_crds::checklist::{Line, LineResult};
use tessera_node_api::admin::{KeyStatus, SampleOutcome, SampleStatus};

use super::{NodeFacts, after, facts, of_node, report};
use crate::fixtures::now;

const LINE: Line = Line::KeyRotation;

/// The report has version 1 and, as default, version 2 of `main`.
fn key(facts: &mut NodeFacts, version: usize) -> &mut KeyStatus {
    &mut report(facts).keys[version - 1]
}

fn sample(facts: &mut NodeFacts, version: usize) -> &mut SampleStatus {
    key(facts, version).sample.as_mut().unwrap()
}

#[test]
fn a_rotated_key_within_its_age_whose_old_versions_read_is_verified() {
    let finding = of_node(&facts(), LINE);
    assert_eq!((finding.result, finding.reason.as_str()), (LineResult::Verified, "Observed"));
    for says in ["version 2 of main", "follows at 2028-01-01T00:00:00Z", "each of the 1 other versions"] {
        assert!(finding.observed.contains(says), "{}", finding.observed);
    }
}

#[test]
fn what_was_not_seen_is_at_most_enforced() {
    assert_eq!(after(LINE, |facts| facts.rotate_every.clear()), "Enforced NoSchedule");
    assert_eq!(after(LINE, |facts| drop(report(facts).keys.remove(0))), "Enforced NotRotatedYet");
    assert_eq!(after(LINE, |facts| key(facts, 1).sample = None), "Enforced NotAllRead");
    assert_eq!(after(LINE, |facts| key(facts, 2).sample = None), "Enforced NotAllRead");
    let elsewhere = |facts: &mut NodeFacts| sample(facts, 1).outcome = SampleOutcome::OtherVolume;
    assert_eq!(after(LINE, elsewhere), "Enforced NotAllRead");
}

#[test]
fn a_key_past_its_age_and_one_that_does_not_read_are_violations() {
    let old = |born: &'static str| move |facts: &mut NodeFacts| key(facts, 2).born_at = Some(born.into());
    assert_eq!(after(LINE, old("2026-01-01T00:00:00Z")), "Verified Observed", "a rotation takes its time");
    assert_eq!(after(LINE, old("2025-12-31T22:59:59Z")), "Violated Overdue");
    assert_eq!(
        after(LINE, |facts| sample(facts, 1).outcome = SampleOutcome::NotOpened),
        "Violated OldKeyDoesNotOpen"
    );
    assert_eq!(after(LINE, |facts| sample(facts, 1).outcome = SampleOutcome::Missing), "Violated SampleLost");
    // However long ago that was.
    let long_ago = |facts: &mut NodeFacts| {
        *sample(facts, 1) =
            SampleStatus { outcome: SampleOutcome::Missing, read_at: "2026-06-01T00:00:00Z".into() };
    };
    assert_eq!(after(LINE, long_ago), "Violated SampleLost");
}

#[test]
fn what_nobody_could_look_at_is_unknown() {
    assert_eq!(after(LINE, |facts| report(facts).keys.clear()), "Unknown NoKey");
    assert_eq!(after(LINE, |facts| facts.pods[0].report = None), "Unknown NodeSilent");
    assert_eq!(
        after(LINE, |facts| sample(facts, 2).outcome = SampleOutcome::Unclear),
        "Unknown NotReadRecently"
    );
    assert_eq!(
        after(LINE, |facts| sample(facts, 1).read_at = "2026-12-31T22:00:00Z".into()),
        "Unknown NotReadRecently"
    );
}

proptest! {
    /// Whatever is missing, stale or contradicts, the line is not Verified.
    #[test]
    fn nothing_but_the_whole_evidence_verifies(
        policy in any::<bool>(),
        born in 0_usize..3,
        one in 0_usize..7,
        two in 0_usize..7,
    ) {
        let mut facts = facts();
        if !policy {
            facts.rotate_every.clear();
        }
        key(&mut facts, 2).born_at =
            [Some("2027-01-01T00:00:00Z".into()), None, Some("2020-01-01T00:00:00Z".into())][born].clone();
        for (version, case) in [(1, one), (2, two)] {
            let status = |outcome, read_at: &str| Some(SampleStatus { outcome, read_at: read_at.into() });
            let fresh = now().to_string();
            key(&mut facts, version).sample = match case {
                0 => status(SampleOutcome::Read, &fresh),
                1 => None,
                2 => status(SampleOutcome::Read, "2026-12-31T12:00:00Z"),
                3 => status(SampleOutcome::OtherVolume, &fresh),
                4 => status(SampleOutcome::Missing, &fresh),
                5 => status(SampleOutcome::NotOpened, &fresh),
                _ => status(SampleOutcome::Unclear, &fresh),
            };
        }
        let is_whole = policy && born == 0 && one == 0 && two == 0;
        prop_assert_eq!(of_node(&facts, LINE).result == LineResult::Verified, is_whole);
    }
}
