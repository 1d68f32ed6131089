use std::collections::BTreeMap;

use super::*;

const PAUSE: Duration = Duration::from_secs(10);

fn state() -> State<&'static str> {
    State { entries: HashMap::new(), ready: VecDeque::new(), due: BTreeMap::new(), sequence: 0 }
}

/// Takes the next key at `now`.
fn take(state: &mut State<&'static str>, now: Instant) -> Option<&'static str> {
    state.ripen(now);
    state.take(now)
}

#[test]
fn keys_are_taken_in_the_order_of_their_first_touch() {
    let (mut state, now) = (state(), Instant::now());
    for key in ["c", "a", "b", "a", "c"] {
        state.touch(&key, now, PAUSE);
    }
    let taken: Vec<_> = std::iter::from_fn(|| take(&mut state, now)).collect();
    assert_eq!(taken, ["c", "a", "b"]);
}

#[test]
fn a_key_that_returns_at_once_waits_behind_all_others() {
    let (mut state, now) = (state(), Instant::now());
    for key in ["greedy", "b", "c", "d"] {
        state.touch(&key, now, Duration::ZERO);
    }
    let mut order = Vec::new();
    for _ in 0..8 {
        let key = take(&mut state, now).unwrap();
        order.push(key);
        state.done(&key, Some(now), now, Duration::ZERO);
    }
    assert_eq!(order, ["greedy", "b", "c", "d", "greedy", "b", "c", "d"]);
}

#[test]
fn one_key_is_never_worked_on_twice_at_once_and_a_touch_meanwhile_is_not_lost() {
    let (mut state, now) = (state(), Instant::now());
    state.touch(&"a", now, PAUSE);
    assert_eq!(take(&mut state, now), Some("a"));
    state.touch(&"a", now, PAUSE);
    assert_eq!(take(&mut state, now + PAUSE), None, "it is worked on");
    state.done(&"a", None, now, PAUSE);
    assert_eq!(take(&mut state, now), None, "not within the pause");
    assert_eq!(take(&mut state, now + PAUSE), Some("a"));
}

#[test]
fn touches_never_postpone_work() {
    let (mut state, begin) = (state(), Instant::now());
    state.touch(&"a", begin, PAUSE);
    take(&mut state, begin).unwrap();
    state.done(&"a", Some(begin + PAUSE * 100), begin, PAUSE);
    let mut rounds = 0;
    // Ten touches a second for a minute.
    for tenth in 1..=600 {
        let now = begin + Duration::from_millis(100) * tenth;
        state.touch(&"a", now, PAUSE);
        if let Some(key) = take(&mut state, now) {
            rounds += 1;
            state.done(&key, Some(now + PAUSE * 100), now, PAUSE);
        }
    }
    assert_eq!(rounds, 6, "one in each pause");
}

#[test]
fn a_due_key_comes_at_its_time_or_when_it_is_brought_forward() {
    let (mut state, now) = (state(), Instant::now());
    for key in ["a", "b"] {
        state.touch(&key, now, Duration::ZERO);
        take(&mut state, now).unwrap();
        state.done(&key, Some(now + PAUSE * 3), now, Duration::ZERO);
    }
    state.bring_forward(&"b", now + PAUSE);
    state.bring_forward(&"b", now + PAUSE * 9);
    assert_eq!(take(&mut state, now + PAUSE), Some("b"));
    assert_eq!(take(&mut state, now + PAUSE * 2), None);
    assert_eq!(take(&mut state, now + PAUSE * 3), Some("a"));
}

#[test]
fn a_key_that_is_done_for_good_leaves_nothing_behind() {
    let (mut state, now) = (state(), Instant::now());
    state.touch(&"a", now, PAUSE);
    take(&mut state, now).unwrap();
    state.done(&"a", None, now, PAUSE);
    assert!(state.entries.is_empty() && state.due.is_empty() && state.ready.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn several_workers_do_each_key_once() {
    let queue = std::sync::Arc::new(Queue::new(Duration::ZERO));
    let counts = std::sync::Arc::new(Mutex::new(BTreeMap::<u32, u32>::new()));
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let (queue, counts) = (queue.clone(), counts.clone());
            tokio::spawn(async move {
                loop {
                    let key = queue.next().await;
                    *counts.lock().unwrap().entry(key).or_default() += 1;
                    queue.done(&key, None);
                }
            })
        })
        .collect();
    for key in 0..1000 {
        queue.touch(&key);
        queue.touch_within(&(key + 10_000), Duration::from_millis(1));
    }
    let all_done = async {
        while counts.lock().unwrap().values().sum::<u32>() < 2000 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), all_done).await.expect("no key is lost");
    workers.iter().for_each(tokio::task::JoinHandle::abort);
}
