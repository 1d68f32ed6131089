//! How old an observation of a node may be. Pure.

use jiff::{SignedDuration, Timestamp};

/// Whether what is observed `every` so often was last observed recently enough: one round may be late, and takes its time.
pub(super) fn is_fresh(observed_at: &str, every: SignedDuration, now: Timestamp) -> bool {
    let bound = every * 2 + SignedDuration::from_mins(2);
    observed_at.parse::<Timestamp>().is_ok_and(|at| now.duration_since(at).abs() <= bound)
}
