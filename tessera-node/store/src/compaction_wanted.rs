//! What wakes the compactor. It has no timer: where nothing is written, nothing wakes it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Why the compactor looks for a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The log has grown, or its bytes were counted.
    Growth,
    /// A write was refused because the disk is full.
    DiskFull,
}

#[derive(Debug, Default)]
pub(crate) struct Wanted {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    growth: bool,
    disk_full: bool,
    ended: bool,
}

impl Wanted {
    /// The log has grown.
    pub(crate) fn wake(&self) {
        self.change(|state| state.growth = true);
    }

    /// A write was refused because the disk is full.
    pub(crate) fn wake_for_space(&self) {
        self.change(|state| state.disk_full = true);
    }

    /// Waits for a reason; None: the writer has ended.
    pub(crate) fn next(&self) -> Option<Reason> {
        let mut state = self.lock();
        loop {
            if state.ended {
                return None;
            }
            // Growth first: it forgets what a full disk could not do.
            if std::mem::take(&mut state.growth) {
                return Some(Reason::Growth);
            }
            if std::mem::take(&mut state.disk_full) {
                return Some(Reason::DiskFull);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn has_ended(&self) -> bool {
        self.lock().ended
    }

    /// Waits, unless space is wanted or the writer has ended.
    fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut state = self.lock();
        while !state.ended && !state.disk_full {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn end(&self) {
        self.change(|state| state.ended = true);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writer's handle of the compactor, which ends with it.
#[derive(Debug)]
pub(crate) struct EndsCompaction(pub(crate) std::sync::Arc<Wanted>);

impl Drop for EndsCompaction {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Keeps the compactor to a rate.
pub(crate) struct Pace<'a> {
    wanted: &'a Wanted,
    bytes_per_second: u64,
    due: u64,
}

/// The writer has ended.
pub(crate) struct Ended;

impl<'a> Pace<'a> {
    /// Bytes that are spent before the compactor waits for them.
    const STEP_BYTES: u64 = 256 << 10;

    pub(crate) fn new(wanted: &'a Wanted, bytes_per_second: u64) -> Self {
        Self { wanted, bytes_per_second: bytes_per_second.max(1), due: 0 }
    }

    /// Waits until so many more bytes fit the rate, on a full disk not at all.
    pub(crate) fn spend(&mut self, bytes: u64) -> Result<(), Ended> {
        self.due += bytes;
        if self.due >= Self::STEP_BYTES {
            let nanos = u128::from(std::mem::take(&mut self.due)) * 1_000_000_000;
            let nanos = u64::try_from(nanos / u128::from(self.bytes_per_second)).unwrap_or(u64::MAX);
            self.wanted.pause(Duration::from_nanos(nanos));
        }
        if self.wanted.has_ended() { Err(Ended) } else { Ok(()) }
    }
}
