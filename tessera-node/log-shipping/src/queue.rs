//! Records on their way to the collector: bounded, and nobody ever waits for a place.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message;
use tokio::sync::Notify;

/// Records in the queue, at most.
const MAX_RECORDS: usize = 2048;
/// Their bytes as they go over the wire, at most.
const MAX_BYTES: usize = 1 << 20;
/// Records of one request, at most.
const BATCH_RECORDS: usize = 512;
/// Bytes of one request, about.
const BATCH_BYTES: usize = 256 << 10;

/// Open from the start, so that the records of the start are there when the configuration names a collector.
#[derive(Debug)]
pub struct Queue {
    /// Whether records are wanted: without a collector each costs one read of this.
    open: AtomicBool,
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct State {
    records: VecDeque<(LogRecord, usize)>,
    bytes: usize,
    dropped: u64,
}

impl Default for Queue {
    fn default() -> Self {
        Self { open: AtomicBool::new(true), state: Mutex::default(), filled: Notify::new() }
    }
}

impl Queue {
    /// Whether records are wanted.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// From now on records are wanted.
    pub(super) fn open(&self) {
        self.open.store(true, Ordering::Relaxed);
    }

    /// Nothing is wanted any more; what is there is forgotten, and not counted as dropped: nobody is to have it.
    pub(super) fn close(&self) {
        self.open.store(false, Ordering::Relaxed);
        let mut state = self.lock();
        (state.records, state.bytes) = (VecDeque::new(), 0);
    }

    /// Takes the record if there is a place for it; drops it otherwise.
    pub fn push(&self, record: LogRecord) {
        let bytes = record.encoded_len();
        let mut state = self.lock();
        if state.records.len() >= MAX_RECORDS || state.bytes + bytes > MAX_BYTES {
            state.dropped += 1;
            return;
        }
        state.bytes += bytes;
        state.records.push_back((record, bytes));
        drop(state);
        self.filled.notify_one();
    }

    /// The oldest records, as many as one request takes.
    pub fn take_batch(&self) -> Vec<LogRecord> {
        let mut state = self.lock();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH_RECORDS && bytes < BATCH_BYTES {
            let Some((record, size)) = state.records.pop_front() else { break };
            state.bytes -= size;
            bytes += size;
            batch.push(record);
        }
        if state.records.is_empty() {
            // A burst must not keep its memory for the rest of the process's life.
            state.records = VecDeque::new();
        }
        batch
    }

    /// How many records found no place since this was last asked.
    pub(super) fn take_dropped(&self) -> u64 {
        std::mem::take(&mut self.lock().dropped)
    }

    /// Waits until there is a record.
    pub(super) async fn filled(&self) {
        while self.lock().records.is_empty() {
            self.filled.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that panics runs under it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::AnyValue;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;

    fn record(bytes: usize) -> LogRecord {
        let body = AnyValue { value: Some(Value::StringValue("x".repeat(bytes))) };
        LogRecord { body: Some(body), ..LogRecord::default() }
    }

    #[test]
    fn what_finds_no_place_is_dropped_and_counted_once() {
        let queue = Queue::default();
        for _ in 0..MAX_RECORDS + 3 {
            queue.push(record(1));
        }
        assert_eq!((queue.take_dropped(), queue.take_dropped()), (3, 0));
        assert_eq!(queue.take_batch().len(), BATCH_RECORDS);
        queue.push(record(1));
        assert_eq!(queue.take_dropped(), 0, "there is place again");
    }

    #[test]
    fn bytes_are_bounded_as_well_and_freed_with_each_batch() {
        let queue = Queue::default();
        for _ in 0..20 {
            queue.push(record(100 << 10));
        }
        assert_eq!(queue.take_dropped(), 10);
        assert_eq!(queue.take_batch().len(), 3, "a batch ends soon after its bytes");
        for _ in 0..3 {
            queue.push(record(100 << 10));
        }
        assert_eq!(queue.take_dropped(), 0);
    }

    #[test]
    fn a_closed_queue_forgets_and_counts_nothing() {
        let queue = Queue::default();
        queue.push(record(1));
        queue.close();
        assert!(!queue.is_open() && queue.take_batch().is_empty());
        assert_eq!(queue.take_dropped(), 0);
        queue.open();
        assert!(queue.is_open());
    }
}
