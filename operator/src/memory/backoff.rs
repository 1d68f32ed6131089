//! How long an object that failed waits for its next attempt: per object, so that one which cannot succeed does not slow
//! down the others, and with jitter, so that many which fail together do not return together.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::Rng;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// Failures in a row, by object UID.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: Mutex<HashMap<String, Failures>>,
}

#[derive(Debug, Default)]
struct Failures {
    count: u32,
    /// The last one that was logged.
    reported: String,
}

impl Backoff {
    /// The wait after one more failure of `uid`.
    pub fn after_failure(&self, uid: &str) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = &mut failures.entry(uid.to_owned()).or_default().count;
        let wait = FIRST.saturating_mul(1 << (*count).min(10)).min(LONGEST);
        *count = count.saturating_add(1);
        jittered(wait)
    }

    /// Whether `failure` differs from the one before: each distinct failure is logged once, since retries fail the same way.
    pub fn is_new_failure(&self, uid: &str, failure: &str) -> bool {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let reported = &mut failures.entry(uid.to_owned()).or_default().reported;
        let is_new = reported != failure;
        failure.clone_into(reported);
        is_new
    }

    /// `uid` succeeded, or is gone.
    pub fn reset(&self, uid: &str) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// Between 80 % and 100 % of `wait`.
pub fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::rng().random_range(0.8..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_per_object_and_start_anew() {
        let backoff = Backoff::default();
        let waits: Vec<_> = (0..12).map(|_| backoff.after_failure("a")).collect();
        assert!(waits[0] <= FIRST);
        assert!(waits[11] <= LONGEST && waits[11] >= LONGEST.mul_f64(0.8));
        assert!(backoff.after_failure("b") <= FIRST);
        assert!(
            backoff.is_new_failure("a", "no")
                && !backoff.is_new_failure("a", "no")
                && backoff.is_new_failure("a", "never")
        );
        backoff.reset("a");
        assert!(backoff.is_new_failure("a", "never"), "after a success it is logged again");
        assert!(backoff.after_failure("a") <= FIRST);
    }
}
