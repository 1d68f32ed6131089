//! Whether the store may still write.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use crate::pending::Fatal;
use crate::queue::Queue;

/// A poisoned store stays poisoned: what the disk holds after a failed sync is unknown.
#[derive(Debug)]
pub(crate) struct Health {
    reason: watch::Sender<Option<String>>,
    fatal: Fatal,
    queue: Arc<Queue>,
    full: Mutex<Option<Refusals>>,
}

/// Writes refused because the disk is full: the first and the last of a row.
#[derive(Debug, Clone, Copy)]
struct Refusals {
    since: SystemTime,
    last: Instant,
}

/// After this time without another refusal the disk may have space again: no write has tried.
const FULL_FOR: Duration = Duration::from_mins(1);

impl Health {
    pub(crate) fn new(queue: Arc<Queue>) -> Self {
        let (reason, fatal) = Fatal::new();
        Self { reason, fatal, queue, full: Mutex::default() }
    }

    /// A write found no space. (A later success does not clear this: it may have been smaller.)
    pub(crate) fn refused_for_space(&self) {
        let since = self.full_since().unwrap_or_else(SystemTime::now);
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        *full = Some(Refusals { since, last: Instant::now() });
    }

    /// Since when writes have been refused, if one was refused recently.
    pub(crate) fn full_since(&self) -> Option<SystemTime> {
        let full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        full.filter(|refusals| refusals.last.elapsed() < FULL_FOR).map(|refusals| refusals.since)
    }

    /// Refuses every write from now on and raises the fatal signal.
    pub(crate) fn poison(&self, reason: &str) {
        tracing::error!(reason, "the store is poisoned; the process must exit and replay the log");
        self.queue.poison();
        self.reason.send_if_modified(|first| {
            let new = first.is_none();
            first.get_or_insert_with(|| reason.to_owned());
            new
        });
    }

    pub(crate) fn fatal(&self) -> Fatal {
        self.fatal.clone()
    }

    /// Whether no further write is accepted: the store is closed or poisoned.
    pub(crate) fn is_ending(&self) -> bool {
        self.queue.is_refusing()
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.fatal.now().is_some()
    }
}

/// Poisons the store when its thread panics: the waiters would get no answer otherwise.
pub(crate) struct PoisonOnPanic<'a>(pub(crate) &'a Health);

impl Drop for PoisonOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.poison("a thread of the store panicked");
        }
    }
}
