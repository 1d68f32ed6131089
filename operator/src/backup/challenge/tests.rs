use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::backup::fixtures::{ALICE, BOB, custodians, key};
use crate::fixtures::now;

const FIRST: &str = "first";
const SECOND: &str = "second";

/// The status after one reconcile.
fn step(
    before: &KeyBackupStatus,
    custodians: Option<&Custodians>,
    keys: &[KeyStatus],
    accepted: &[AcceptedProof],
    fresh: &str,
    hours: i64,
) -> KeyBackupStatus {
    let now = now() + SignedDuration::from_hours(hours);
    next(before, &Facts { custodians, keys, accepted, fresh, now })
}

fn proof(custodian: &str, challenge: &str, version: i32) -> AcceptedProof {
    let covers = vec![CoveredKey { key: "main".into(), version }];
    AcceptedProof { custodian: custodian.into(), challenge: challenge.into(), covers }
}

fn proven(status: &KeyBackupStatus, custodians: &Custodians, keys: &[KeyStatus], hours: i64) -> Vec<String> {
    let now = now() + SignedDuration::from_hours(hours);
    let (proven, _) = custodians.proven(&status.custodians, keys, now);
    proven.into_iter().map(str::to_owned).collect()
}

#[test]
fn a_challenge_is_replaced_when_it_is_answered_or_old_or_for_something_else() {
    let (alice, both) = (custodians(&[ALICE]), custodians(&[ALICE, BOB]));
    let keys = [key(1)];
    let made = step(&KeyBackupStatus::default(), Some(&both), &keys, &[], FIRST, 0);
    assert_eq!(made.challenge.as_deref(), Some(FIRST));
    let challenge = |custodians: &Custodians, keys: &[KeyStatus], accepted: &[AcceptedProof], hours| {
        step(&made, Some(custodians), keys, accepted, SECOND, hours).challenge.unwrap()
    };
    assert_eq!(challenge(&both, &keys, &[], 179), FIRST, "a twelfth of 2160 h is 180 h");
    assert_eq!(challenge(&both, &keys, &[], 180), SECOND);
    assert_eq!(challenge(&both, &keys, &[], -1), SECOND, "the clock was set back");
    assert_eq!(challenge(&alice, &keys, &[], 1), SECOND);
    assert_eq!(challenge(&both, &[key(1), key(2)], &[], 1), SECOND);
    assert_eq!(challenge(&both, &keys, &[proof("alice", FIRST, 1)], 1), SECOND);
    assert_eq!(challenge(&both, &keys, &[proof("alice", "older", 1)], 1), FIRST);
    assert_eq!(challenge(&both, &keys, &[proof("eve", FIRST, 1)], 1), FIRST);
    let nobody = step(&made, None, &keys, &[], SECOND, 1);
    assert_eq!((nobody.challenge, nobody.custodians.len()), (None, 0));
}

#[test]
fn an_answer_counts_from_the_birth_of_its_challenge_for_what_it_covered() {
    let both = custodians(&[ALICE, BOB]);
    let keys = [key(1)];
    let made = step(&KeyBackupStatus::default(), Some(&both), &keys, &[], FIRST, 0);
    let answers = [proof("alice", FIRST, 1), proof("bob", FIRST, 1)];
    let answered = step(&made, Some(&both), &keys, &answers[..1], SECOND, 100);
    assert_eq!(answered.custodians[0].confirmed_at, made.since);
    assert_eq!(answered.custodians[0].answered.as_deref(), Some(FIRST));
    assert_eq!(proven(&answered, &both, &keys, 100), ["alice"]);
    assert_eq!(proven(&answered, &both, &keys, 2159), ["alice"]);
    assert_eq!(proven(&answered, &both, &keys, 2160), [""; 0]);
    assert_eq!(proven(&answered, &both, &[key(1), key(2)], 100), [""; 0], "a version that it did not cover");
    assert_eq!(proven(&answered, &both, &[], 100), [""; 0]);
    assert_eq!(proven(&answered, &both, &keys, -1), [""; 0], "of the future");
    let together = step(&made, Some(&both), &keys, &answers, SECOND, 100);
    assert_eq!(proven(&together, &both, &keys, 100), ["alice", "bob"]);
    // The proof of an identity that was replaced, and of one that is replaced in the same moment.
    let other = custodians(&[("alice", BOB.1)]);
    let replaced = step(&answered, Some(&other), &keys, &[], "third", 101);
    assert_eq!(proven(&replaced, &other, &keys, 101), [""; 0]);
    let at_once = step(&made, Some(&other), &keys, &answers, SECOND, 100);
    assert_eq!(proven(&at_once, &other, &keys, 100), [""; 0]);
}

proptest! {
    /// Whatever happens in whatever order: nobody has proven what they did not answer, and only a change makes another challenge.
    #[test]
    fn custody_is_proven_by_answers_alone(steps in proptest::collection::vec((0_u8..6, 0_i64..300), 1..30)) {
        let sets = [custodians(&[ALICE]), custodians(&[ALICE, BOB])];
        let (mut set, mut versions, mut hours) = (1, 1, 0);
        let mut status = KeyBackupStatus::default();
        let mut answered: Option<(i64, i32)> = None;
        for (number, (action, wait)) in steps.into_iter().enumerate() {
            hours += wait;
            match action {
                0 => versions += 1,
                1 => set = 1 - set,
                _ => {}
            }
            let keys: Vec<_> = (1..=versions).map(key).collect();
            let challenge = status.challenge.clone().unwrap_or_default();
            let answers = (action == 2).then(|| proof("alice", &challenge, versions));
            let before = status.clone();
            let fresh = format!("challenge {number}");
            status = step(&before, Some(&sets[set]), &keys, answers.as_slice(), &fresh, hours);
            if action == 2 && before.challenge.is_some() {
                let since: Timestamp = before.since.unwrap().parse().unwrap();
                answered = Some(((since.as_second() - now().as_second()) / 3600, versions));
            }
            let counts = answered.is_some_and(|(since, covered)| hours - since < 2160 && covered >= versions);
            prop_assert_eq!(proven(&status, &sets[set], &keys, hours), if counts { vec!["alice"] } else { vec![] });
            let again = step(&status, Some(&sets[set]), &keys, &[], "unused", hours);
            prop_assert_eq!(&again, &status, "nothing changed");
        }
    }
}
