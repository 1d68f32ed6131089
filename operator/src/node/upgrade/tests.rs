//! The decisions one by one, and a network of nodes that lives through any order of changes.

mod network;

use super::*;
use crate::fixtures::now;

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

pub(super) fn image(digit: char) -> String {
    format!("registry/tessera-node@sha256:{digit}")
}

pub(super) fn limits() -> Limits {
    Limits { progress_deadline: SignedDuration::from_mins(10), auto_rollback: true }
}

fn failure(of: char) -> Failure {
    Failure { image: image(of), message: "exit code 1".to_owned(), never_started: None, store_back_at: None }
}

/// A node that served with `a` and got `b` eleven minutes ago, with which it does not become ready.
fn stuck() -> Facts {
    let served = Facts {
        current: Some(image('a')),
        served: Some(image('a')),
        served_format: Some(1),
        pod: PodState::Ready(image('a')),
        ..Facts::default()
    };
    let to_b = choose(&image('b'), 0, &served, limits(), now());
    let record = record::next(&to_b, &served, 0, Some(1), now() - MINUTE * 11);
    Facts { record, current: Some(image('b')), pod: PodState::Failing(failure('b')), ..served }
}

fn outcome(facts: &Facts) -> Outcome {
    choose(&image('b'), 0, facts, limits(), now()).outcome
}

fn with(change: impl FnOnce(&mut Record, &mut Facts)) -> Facts {
    let mut facts = stuck();
    let mut record = facts.record.take().unwrap();
    change(&mut record, &mut facts);
    Facts { record: Some(record), ..facts }
}

#[test]
fn the_image_with_which_the_node_served_comes_back_after_the_deadline() {
    let choice = choose(&image('b'), 0, &stuck(), limits(), now());
    assert_eq!(choice.image, image('a'));
    let Outcome::RolledBack(rejection) = &choice.outcome else { panic!("{choice:?}") };
    assert_eq!((rejection.image.as_str(), rejection.message.as_str()), (&*image('b'), "exit code 1"));
    let record = record::next(&choice, &stuck(), 0, None, now()).unwrap();
    assert_eq!((record.image.as_str(), record.good.as_ref()), (&*image('a'), None));
    assert_eq!(record.rejected, std::slice::from_ref(rejection));

    // The same for an operator that knows nothing but what the workload carries, at any time.
    let text = record.to_json();
    let after = Facts { record: serde_json::from_str(&text).ok(), current: Some(image('a')), ..stuck() };
    for minutes in [0, 1, 60, 60 * 24 * 400] {
        let later = choose(&image('b'), 0, &after, limits(), now() + MINUTE * minutes);
        assert_eq!(later, choice, "{minutes}");
        let carried = record::next(&later, &after, 0, None, now() + MINUTE * minutes).unwrap();
        assert_eq!(carried.to_json(), text, "nothing is written again");
    }
    // Another digest is another image; a restart has the same one tried again.
    assert_eq!(choose(&image('c'), 0, &after, limits(), now()).image, image('c'));
    let again = choose(&image('b'), 1, &after, limits(), now());
    assert_eq!((again.image.clone(), &again.outcome), (image('b'), &Outcome::Good));
    assert_eq!(record::next(&again, &after, 1, Some(1), now()).unwrap().rejected, []);
}

#[test]
fn nothing_comes_back_before_its_time_or_for_what_is_not_the_image_s_fault() {
    assert!(matches!(outcome(&stuck()), Outcome::RolledBack(_)));
    let early = with(|record, _| record.since = now() - MINUTE * 9);
    let has_served = with(|_, facts| facts.served = Some(image('b')));
    let no_pod = with(|_, facts| facts.pod = PodState::Unknown);
    let ready = with(|_, facts| facts.pod = PodState::Ready(image('b')));
    let other_pod = with(|_, facts| facts.pod = PodState::Failing(failure('a')));
    let store_back_since = |seconds| {
        with(|_, facts| {
            let store_back_at = Some(now() - SignedDuration::from_secs(seconds));
            facts.pod = PodState::Failing(Failure { store_back_at, ..failure('b') });
        })
    };
    assert!(matches!(outcome(&store_back_since(60)), Outcome::RolledBack(_)));
    let store_back = store_back_since(59);
    for facts in [early, has_served, no_pod, ready, other_pod, store_back] {
        assert_eq!(outcome(&facts), Outcome::Good, "{facts:?}");
    }
}

#[test]
fn a_node_never_goes_back_to_a_program_that_may_not_read_what_was_written() {
    let wrote =
        |wrote, good_format| with(|record, _| (record.wrote, record.good_format) = (wrote, good_format));
    for (facts, goes_back) in [
        (wrote(Some(1), Some(1)), true),
        (wrote(Some(1), None), true),
        (wrote(Some(2), Some(2)), true),
        (wrote(Some(1), Some(2)), true),
        (wrote(Some(2), Some(1)), false),
        (wrote(Some(2), None), false),
        (wrote(None, Some(9)), false),
    ] {
        let choice = choose(&image('b'), 0, &facts, limits(), now());
        assert_eq!(choice.image == image('a'), goes_back, "{facts:?}");
        assert_eq!(matches!(choice.outcome, Outcome::CannotRollBack { .. }), !goes_back, "{facts:?}");
    }
    // What was never started wrote nothing: unless another image came between, or an earlier pod may have.
    let never = |made: Timestamp, is_first| {
        with(|record, facts| {
            (record.wrote, record.is_first) = (None, is_first);
            facts.pod = PodState::Failing(Failure { never_started: Some(made), ..failure('b') });
        })
    };
    let since = stuck().record.unwrap().since;
    assert!(matches!(outcome(&never(since, true)), Outcome::RolledBack(_)));
    assert!(matches!(outcome(&never(since, false)), Outcome::CannotRollBack { .. }));
    assert!(matches!(outcome(&never(now(), true)), Outcome::CannotRollBack { .. }));
}

#[test]
fn what_several_images_may_have_written_counts_until_one_of_them_serves() {
    let to = |wanted: char, facts: &Facts, format| {
        let choice = choose(&image(wanted), 0, facts, limits(), now());
        record::next(&choice, facts, 0, format, now()).unwrap()
    };
    let b = to('b', &Facts { record: None, current: Some(image('a')), ..stuck() }, Some(2));
    assert_eq!((b.good.clone(), b.wrote, b.canary), (Some(image('a')), Some(2), false));
    let on_b = Facts { record: Some(b), ..stuck() };
    let c = to('c', &on_b, Some(1));
    assert_eq!((c.good.clone(), c.wrote, c.is_first), (Some(image('a')), Some(2), false));
    assert_eq!(to('c', &on_b, None).wrote, None);
    // By hand back to the good one.
    assert_eq!(to('a', &on_b, Some(1)).good, None);
    // Once `b` has served, it is the good one.
    let served =
        Facts { served: Some(image('b')), served_format: Some(2), pod: PodState::Ready(image('b')), ..on_b };
    let c = to('c', &served, Some(2));
    assert_eq!((c.good, c.good_format, c.canary), (Some(image('b')), Some(2), true));
}

#[test]
fn without_a_good_image_or_without_leave_the_node_keeps_the_one_that_fails() {
    let alone = with(|record, _| record.good = None);
    assert!(matches!(outcome(&alone), Outcome::Failed { .. }));
    let forbidden = Limits { auto_rollback: false, ..limits() };
    let choice = choose(&image('b'), 0, &stuck(), forbidden, now());
    assert_eq!(choice.image, image('b'));
    assert!(matches!(choice.outcome, Outcome::Failed { .. }));
}

#[test]
fn what_one_node_rejected_reaches_no_other() {
    let rejection = Rejection::new(&image('b'), "exit code 1", 0, now());
    let elsewhere = vec![("x".to_owned(), rejection)];
    let serving =
        Facts { current: Some(image('a')), rejected_elsewhere: elsewhere.clone(), ..Facts::default() };
    let choice = choose(&image('b'), 0, &serving, limits(), now());
    assert_eq!(choice.image, image('a'));
    assert!(!choice.is_held());
    assert_eq!(choose(&image('c'), 0, &serving, limits(), now()).outcome, Outcome::Good);
    // From whatever registry.
    let mirror = "mirror/tessera-node@sha256:b".to_owned();
    assert_eq!(choose(&mirror, 0, &serving, limits(), now()).image, image('a'));
    let new = Facts { rejected_elsewhere: elsewhere.clone(), ..Facts::default() };
    assert!(choose(&image('b'), 0, &new, limits(), now()).is_held());
    // One that serves with it keeps it.
    let has = Facts { current: Some(image('b')), rejected_elsewhere: elsewhere, ..Facts::default() };
    assert_eq!(choose(&image('b'), 0, &has, limits(), now()).outcome, Outcome::Good);
}

#[test]
fn a_node_that_starts_with_another_image_goes_back_when_the_spec_returns_to_a_rejected_one() {
    let rejected = vec![Rejection::new(&image('s'), "exit code 1", 0, now())];
    let on_trial = with(|record, _| record.rejected = rejected);
    let chosen = |facts: &Facts| choose(&image('s'), 0, facts, limits(), now()).image;
    assert_eq!(chosen(&on_trial), image('a'));
    let ready = Facts { pod: PodState::Ready(image('b')), ..on_trial.clone() };
    assert_eq!(chosen(&ready), image('b'), "it serves");
    let mut newer = on_trial;
    newer.record.as_mut().unwrap().wrote = Some(2);
    assert_eq!(chosen(&newer), image('b'), "the good one may not read what was written");
}

#[test]
fn rejections_outlive_the_workload_in_the_status() {
    let choice = choose(&image('b'), 0, &stuck(), limits(), now());
    let record = record::next(&choice, &stuck(), 0, None, now()).unwrap();
    let status =
        tessera_crds::api::images::ImagesStatus { served: Some(image('a')), rejected: record.shown(0) };
    let found = Record::of_status(&status).unwrap();
    assert_eq!(found.rejected, record.rejected);
    let rebuilt = Facts { record: Some(found), served: Some(image('a')), ..Facts::default() };
    let choice = choose(&image('b'), 0, &rebuilt, limits(), now());
    assert!(matches!(choice.outcome, Outcome::RolledBack(_)));
    assert_eq!((choice.image.clone(), choice.is_held()), (image('a'), false));
}

#[test]
fn the_newest_rejections_are_kept() {
    let mut facts = stuck();
    for digit in "0123456789".chars() {
        let rejection = Rejection::new(&image(digit), "m", 0, now());
        let choice =
            Choice { wanted: image(digit), image: image('a'), outcome: Outcome::RolledBack(rejection) };
        facts.record = record::next(&choice, &facts, 0, None, now());
        facts.current = Some(image('a'));
    }
    let kept: Vec<_> = facts.record.unwrap().rejected.into_iter().map(|it| it.image).collect();
    assert_eq!(kept, "23456789".chars().map(image).collect::<Vec<_>>());
}
