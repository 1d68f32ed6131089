//! A brake for the case that somebody undoes what we write: both sides would write for ever, as fast as they can.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the same repair of the same object may be made within [`WINDOW`].
const MOST: u32 = 6;
const WINDOW: Duration = Duration::from_mins(1);

/// Repairs of late, by the object's UID.
#[derive(Debug, Default)]
pub(super) struct Contests(Mutex<HashMap<String, Contest>>);

#[derive(Debug)]
struct Contest {
    /// Which content was written; another is not the same repair.
    content: u64,
    since: Instant,
    writes: u32,
}

impl Contests {
    /// Counts one more repair, if it is not one too many.
    pub(super) fn may_repair(&self, uid: &str, content: u64, now: Instant) -> bool {
        let mut contests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        contests.retain(|_, contest| now.duration_since(contest.since) < WINDOW);
        let fresh = || Contest { content, since: now, writes: 0 };
        let repairs = contests.entry(uid.to_owned()).or_insert_with(fresh);
        if repairs.content != content {
            *repairs = fresh();
        }
        repairs.writes += 1;
        repairs.writes <= MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_repair_is_made_a_few_times_a_minute() {
        let (contests, now) = (Contests::default(), Instant::now());
        let repairs = (0..20).filter(|_| contests.may_repair("a", 1, now)).count();
        assert_eq!(repairs, 6);
        assert!(contests.may_repair("a", 2, now), "new content is no repair");
        assert!(contests.may_repair("b", 1, now), "another object");
    }

    #[test]
    fn the_count_begins_anew_after_a_minute() {
        let (contests, now) = (Contests::default(), Instant::now());
        for _ in 0..10 {
            contests.may_repair("a", 1, now);
        }
        assert!(!contests.may_repair("a", 1, now + WINDOW / 2));
        assert!(contests.may_repair("a", 1, now + WINDOW));
    }
}
