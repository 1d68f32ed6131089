//! Pauses repairs of an object that somebody else changes back: both sides would write permanently, as fast as they can.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the same object may be repaired within [`WINDOW`] before it counts as contested.
const MAX_REPAIRS: u32 = 30;
const WINDOW: Duration = Duration::from_mins(1);
/// How long a contested object is then left alone. Long, because each round of the conflict is reported in status and Events.
const PAUSE: Duration = Duration::from_mins(5);

/// Recent repairs, by kind, namespace and name: an object that was deleted and made again is the same one here.
#[derive(Debug, Default)]
pub(super) struct ConflictTracker(Mutex<HashMap<String, Repairs>>);

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
            Some(contested) => now.duration_since(contested) >= PAUSE,
            None => now.duration_since(self.since) >= WINDOW,
        }
    }
}

impl ConflictTracker {
    /// Whether repairs of `object` are paused, because somebody undoes them.
    pub(super) fn is_paused(&self, object: &str, content: u64, now: Instant) -> bool {
        let repairs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_object =
            repairs.get(object).filter(|repairs| repairs.content == content && !repairs.is_old(now));
        of_object.is_some_and(|repairs| repairs.contested.is_some())
    }

    /// Counts a repair that was made.
    pub(super) fn record_repair(&self, object: &str, content: u64, now: Instant) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, repairs| !repairs.is_old(now));
        let fresh = || Repairs { content, since: now, count: 0, contested: None };
        let repairs = all.entry(object.to_owned()).or_insert_with(fresh);
        if repairs.content != content {
            *repairs = fresh();
        }
        repairs.count += 1;
        if repairs.count >= MAX_REPAIRS {
            repairs.contested = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `tries` repairs are made, all at one time.
    fn repairs(conflicts: &ConflictTracker, content: u64, tries: usize, now: Instant) -> usize {
        let may = |_: &usize| {
            let may = !conflicts.is_paused("a", content, now);
            if may {
                conflicts.record_repair("a", content, now);
            }
            may
        };
        (0..tries).filter(may).count()
    }

    #[test]
    fn an_object_is_repaired_a_few_times_and_then_left_alone_for_a_while() {
        let (conflicts, now) = (ConflictTracker::default(), Instant::now());
        assert_eq!(repairs(&conflicts, 1, 40, now), 30);
        assert_eq!(repairs(&conflicts, 1, 40, now + PAUSE / 2), 0);
        assert!(!conflicts.is_paused("b", 1, now), "another object");
        assert_eq!(repairs(&conflicts, 1, 40, now + PAUSE), 30);
    }

    #[test]
    fn new_content_is_no_repair() {
        let (conflicts, now) = (ConflictTracker::default(), Instant::now());
        assert_eq!(repairs(&conflicts, 1, 40, now), 30);
        assert_eq!(repairs(&conflicts, 2, 40, now), 30);
    }

    #[test]
    fn repairs_far_apart_are_no_contest() {
        let (conflicts, begin) = (ConflictTracker::default(), Instant::now());
        for minute in 0..20 {
            assert_eq!(repairs(&conflicts, 1, 3, begin + WINDOW * minute), 3);
        }
    }
}
