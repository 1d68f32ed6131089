//! A brake for the case that somebody undoes what we write: both sides would write for ever, as fast as they can.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the same object may be repaired within [`WINDOW`] before it counts as contested.
const MOST: u32 = 10;
const WINDOW: Duration = Duration::from_mins(1);
/// How long a contested object is then left alone. Long, because each round of the fight is told in status and Events.
const REST: Duration = Duration::from_mins(5);

/// Repairs of late, by kind, namespace and name: an object that was deleted and made again is the same one here.
#[derive(Debug, Default)]
pub(super) struct Contests(Mutex<HashMap<String, Repairs>>);

#[derive(Debug)]
struct Repairs {
    /// Which content was written; to write another is no repair.
    content: u64,
    since: Instant,
    count: u32,
    /// The time of the repair that was one too many.
    contested: Option<Instant>,
}

impl Repairs {
    fn is_old(&self, now: Instant) -> bool {
        match self.contested {
            Some(contested) => now.duration_since(contested) >= REST,
            None => now.duration_since(self.since) >= WINDOW,
        }
    }
}

impl Contests {
    /// Whether `object` is contested, and rests.
    pub(super) fn rests(&self, object: &str, content: u64, now: Instant) -> bool {
        let repairs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_object =
            repairs.get(object).filter(|repairs| repairs.content == content && !repairs.is_old(now));
        of_object.is_some_and(|repairs| repairs.contested.is_some())
    }

    /// Counts a repair that was made.
    pub(super) fn repaired(&self, object: &str, content: u64, now: Instant) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, repairs| !repairs.is_old(now));
        let fresh = || Repairs { content, since: now, count: 0, contested: None };
        let repairs = all.entry(object.to_owned()).or_insert_with(fresh);
        if repairs.content != content {
            *repairs = fresh();
        }
        repairs.count += 1;
        if repairs.count >= MOST {
            repairs.contested = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `tries` repairs are made, all at one time.
    fn repairs(contests: &Contests, content: u64, tries: usize, now: Instant) -> usize {
        let may = |_: &usize| {
            let may = !contests.rests("a", content, now);
            if may {
                contests.repaired("a", content, now);
            }
            may
        };
        (0..tries).filter(may).count()
    }

    #[test]
    fn an_object_is_repaired_a_few_times_and_then_left_alone_for_a_while() {
        let (contests, now) = (Contests::default(), Instant::now());
        assert_eq!(repairs(&contests, 1, 20, now), 10);
        assert_eq!(repairs(&contests, 1, 20, now + REST / 2), 0);
        assert!(!contests.rests("b", 1, now), "another object");
        assert_eq!(repairs(&contests, 1, 20, now + REST), 10);
    }

    #[test]
    fn new_content_is_no_repair() {
        let (contests, now) = (Contests::default(), Instant::now());
        assert_eq!(repairs(&contests, 1, 20, now), 10);
        assert_eq!(repairs(&contests, 2, 20, now), 10);
    }

    #[test]
    fn repairs_far_apart_are_no_contest() {
        let (contests, begin) = (Contests::default(), Instant::now());
        for minute in 0..20 {
            assert_eq!(repairs(&contests, 1, 3, begin + WINDOW * minute), 3);
        }
    }
}
