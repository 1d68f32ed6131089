//! Whether the store may still write.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tokio::sync::watch;

use crate::pending::Fatal;
use crate::queue::Queue;

/// Poisoned once, poisoned for good: what the disk holds after a failed sync is not known.
#[derive(Debug)]
pub(crate) struct Health {
    reason: watch::Sender<Option<String>>,
    fatal: Fatal,
    queue: Arc<Queue>,
    /// Since when the disk has been full, while it is.
    full_since: Mutex<Option<SystemTime>>,
}

impl Health {
    pub(crate) fn new(queue: Arc<Queue>) -> Self {
        let (reason, fatal) = Fatal::new();
        Self { reason, fatal, queue, full_since: Mutex::default() }
    }

    /// A write found space, or none.
    pub(crate) fn set_full(&self, full: bool) {
        let mut since = self.full_since.lock().unwrap_or_else(PoisonError::into_inner);
        *since = full.then(|| since.unwrap_or_else(SystemTime::now));
    }

    pub(crate) fn full_since(&self) -> Option<SystemTime> {
        *self.full_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses every write from now on and tells who watches.
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

    pub(crate) fn is_poisoned(&self) -> bool {
        self.fatal.now().is_some()
    }
}

/// Poisons the store when its thread panics: nobody would answer the waiters otherwise.
pub(crate) struct PoisonOnPanic<'a>(pub(crate) &'a Health);

impl Drop for PoisonOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.poison("a thread of the store panicked");
        }
    }
}
