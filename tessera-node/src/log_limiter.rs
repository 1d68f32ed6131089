//! Bounds what others can make us log: a caller that repeats itself is one line, and many callers are a bounded number of
//! lines. What is left out is counted, and the next line says how many.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The same line is not written again before.
const PERIOD: Duration = Duration::from_mins(10);
/// Different lines within a period.
const MAX_KEYS: usize = 256;

/// Decides which lines are written. One for each kind of line, so that strangers cannot use up the lines about identities.
#[derive(Debug)]
pub(crate) struct LogLimiter<K>(Mutex<State<K>>);

#[derive(Debug)]
struct State<K> {
    written: HashMap<K, Instant>,
    suppressed: u64,
}

impl<K> Default for LogLimiter<K> {
    fn default() -> Self {
        Self(Mutex::new(State { written: HashMap::new(), suppressed: 0 }))
    }
}

impl<K: Hash + Eq> LogLimiter<K> {
    /// Whether to write the line of `key` now, and how many lines were left out since the last.
    pub(crate) fn admit(&self, key: K) -> Option<u64> {
        self.admit_at(key, Instant::now())
    }

    fn admit_at(&self, key: K, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |at: &Instant| now.saturating_duration_since(*at) < PERIOD;
        if state.written.len() >= MAX_KEYS {
            state.written.retain(|_, at| recent(at));
        }
        if state.written.get(&key).is_some_and(recent) || state.written.len() >= MAX_KEYS {
            state.suppressed += 1;
            return None;
        }
        state.written.insert(key, now);
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_written_once_a_period_and_the_rest_is_counted() {
        let (limiter, start) = (LogLimiter::default(), Instant::now());
        assert_eq!(limiter.admit_at("a", start), Some(0));
        for _ in 0..5 {
            assert_eq!(limiter.admit_at("a", start), None);
        }
        assert_eq!(limiter.admit_at("b", start), Some(5));
        assert_eq!(limiter.admit_at("a", start + PERIOD), Some(0));
    }

    #[test]
    fn many_keys_are_a_bounded_number_of_lines() {
        let (limiter, start) = (LogLimiter::default(), Instant::now());
        let written = (0..10_000).filter(|n| limiter.admit_at(*n, start).is_some()).count();
        assert_eq!(written, MAX_KEYS);
        assert_eq!(limiter.admit_at(10_001, start + PERIOD), Some(10_000 - MAX_KEYS as u64));
    }
}
