//! How long an object that failed waits for its next attempt: per object, so that a permanent failure does not slow down
//! other objects, and with jitter, so that objects that fail together do not return together.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;

use super::per_object::{PerObject, Registry};

/// Failures in a row, by object UID.
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: Arc<PerObject<Failures>>,
}

#[derive(Debug, Default)]
struct Failures {
    count: u32,
    /// The last one that was logged.
    reported: String,
}

impl Backoff {
    /// Waits from `first`, doubled with each failure up to `longest`.
    pub fn new(registry: &Registry, first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: registry.per_object() }
    }

    /// The wait after one more failure of `uid`.
    pub fn after_failure(&self, uid: &str) -> Duration {
        let before = self.failures.with_default(uid, |failures| {
            let before = failures.count;
            failures.count = failures.count.saturating_add(1);
            before
        });
        jittered(self.first.saturating_mul(1 << before.min(10)).min(self.longest))
    }

    /// Whether `failure` differs from the one before: each distinct failure is logged once, since retries fail the same way.
    pub fn is_new_failure(&self, uid: &str, failure: &str) -> bool {
        self.failures.with_default(uid, |failures| {
            let is_new = failures.reported != failure;
            failure.clone_into(&mut failures.reported);
            is_new
        })
    }

    /// `uid` succeeded.
    pub fn reset(&self, uid: &str) {
        self.failures.forget(uid);
    }
}

/// Between 80 % and 100 % of `wait`.
pub fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::rng().random_range(0.8..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(500);
    const LONGEST: Duration = Duration::from_secs(30);

    #[test]
    fn waits_grow_to_a_limit_per_object_and_start_anew() {
        let backoff = Backoff::new(&Registry::default(), FIRST, LONGEST);
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
