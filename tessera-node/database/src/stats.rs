//! What was done so far.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the database was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Payloads inserted.
    pub written: u64,
    /// Statements that inserted them.
    pub batches: u64,
    /// Connections made.
    pub connections: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    written: AtomicU64,
    batches: AtomicU64,
    connections: AtomicU64,
}

impl Counters {
    pub(crate) fn note_batch(&self, rows: usize) {
        self.written.fetch_add(rows as u64, Ordering::Relaxed);
        self.batches.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note_connection(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            written: read(&self.written),
            batches: read(&self.batches),
            connections: read(&self.connections),
        }
    }
}
