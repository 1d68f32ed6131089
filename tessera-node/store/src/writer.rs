//! The one thread that appends to the log.
//!
//! ```text
//!   take the queue ──────► decide, encode ─► write ─► fdatasync ─► publish ─► mark ─► answer ─┐
//!        ▲                                                                                     │
//!        └─────────────────────────────────────────────────────────────────────────────────────┘
//! ```

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use crate::background::{Background, Prepared};
use crate::batch::Batch;
use crate::catalog::Catalog;
use crate::disk::is_full;
use crate::error::WriteError;
use crate::health::{Health, PoisonOnPanic};
use crate::location::{Position, Progress};
use crate::log::Log;
use crate::queue::{Queue, Request};
use crate::record::{End, HEADER_BYTES, Header};
use crate::segment::{SEGMENT_HEADER_BYTES, Segment};
use crate::stats::{Counters, add};

/// When the index is written. Later records are replayed at the next start: about a second per million.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Thresholds {
    pub(crate) checkpoint_records: usize,
    pub(crate) segment_bytes: u64,
}

pub(crate) struct Writer {
    pub(crate) queue: Arc<Queue>,
    pub(crate) log: Arc<Log>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) health: Arc<Health>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) background: Background,
    pub(crate) thresholds: Thresholds,
    pub(crate) segment: Arc<Segment>,
    pub(crate) progress: Progress,
    /// Prepared ahead: found at open, or ordered.
    pub(crate) next: Next,
    /// The highest segment number in use.
    pub(crate) newest: u64,
    /// How far a failed batch may have written; the next batch overwrites these bytes.
    pub(crate) dirty_until: u64,
}

/// The segment after the current one.
pub(crate) enum Next {
    None,
    Asked(Receiver<Prepared>),
    Ready(Arc<Segment>),
}

impl Writer {
    /// Serves until the queue is closed or the store poisoned.
    pub(crate) fn run(mut self) {
        let health = Arc::clone(&self.health);
        let _guard = PoisonOnPanic(&health);
        while let Some(mut requests) = self.queue.take() {
            while !requests.is_empty() {
                if health.is_poisoned() {
                    fail_all(&mut requests, WriteError::Poisoned);
                } else {
                    self.serve(&mut requests);
                }
            }
        }
    }

    /// Writes one batch from the front of the requests.
    fn serve(&mut self, requests: &mut VecDeque<Request>) {
        let catalog = Arc::clone(&self.catalog);
        let mut batch = Batch::new(&catalog, self.log.tag(), self.progress, self.free_bytes());
        while let Some(request) = requests.pop_front() {
            if batch.takes(&request) {
                batch.add(request);
            } else {
                requests.push_front(request);
                break;
            }
        }
        if batch.records > 0 {
            let written = self.write(&mut batch);
            batch.finish(written);
        } else if let Some(request) = requests.front() {
            batch.finish(Ok(()));
            let bytes = request.change.body_bytes();
            if let Err(error) = self.rotate() {
                // Only the request that needs the space fails; the others are tried one by one.
                tracing::warn!(%error, bytes, "no space for a new log segment");
                if let Some(request) = requests.pop_front() {
                    request.change.fail(error);
                }
            }
        }
    }

    /// Bytes that the current segment still takes.
    fn free_bytes(&self) -> u64 {
        self.segment.size.saturating_sub(self.progress.end.offset)
    }

    /// Makes a batch durable and readable.
    fn write(&mut self, batch: &mut Batch<'_>) -> Result<(), WriteError> {
        let start = self.progress.end.offset;
        self.cover_dirt(start, &mut batch.bytes);
        if let Err(error) = self.segment.file.write_all_at(&batch.bytes, start) {
            if is_full(&error) {
                self.dirty_until = self.dirty_until.max(start + batch.bytes.len() as u64);
                return Err(self.full());
            }
            return Err(self.poison("write", &error));
        }
        let before = Instant::now();
        if let Err(error) = self.segment.file.sync_data() {
            // Never repeat a failed sync: the kernel may have dropped the pages and report the next one as a success.
            return Err(self.poison("fdatasync", &error));
        }
        self.counters.synced(batch.records as u64, before.elapsed());
        self.progress = batch.progress;
        let waiting = self.catalog.publish(batch.locations.drain(), self.progress);
        self.mark();
        self.prepare_ahead(waiting);
        Ok(())
    }

    /// Extends the batch by zeros over the bytes that a failed batch left behind.
    fn cover_dirt(&mut self, start: u64, bytes: &mut Vec<u8>) {
        let dirty = usize::try_from(self.dirty_until.saturating_sub(start)).unwrap_or(0);
        if dirty > bytes.len() {
            bytes.resize(dirty, 0);
        }
        self.dirty_until = 0;
    }

    /// Writes a marker behind the batch: the batch is durable. The next batch overwrites the marker.
    ///
    /// The marker is not synced. Where it survives, a bad record before it is damage and not a torn write.
    fn mark(&self) {
        let end = self.progress.end.offset;
        if end + HEADER_BYTES as u64 > self.segment.size {
            return;
        }
        let marker = Header::marker(self.progress.sequence).encode(self.log.tag(), End::Head);
        if let Err(error) = self.segment.file.write_all_at(&marker, end) {
            tracing::warn!(%error, "cannot mark the end of the log");
        }
    }

    /// Orders from the background thread what the next batches will need.
    fn prepare_ahead(&mut self, waiting: usize) {
        if waiting >= self.thresholds.checkpoint_records {
            self.background.checkpoint();
        }
        if matches!(self.next, Next::None) && self.progress.end.offset > self.segment.size / 2 {
            let size = self.thresholds.segment_bytes;
            self.next = Next::Asked(self.background.prepare(self.newest + 1, size));
        }
    }

    /// Continues in the next segment.
    fn rotate(&mut self) -> Result<(), WriteError> {
        let segment = match std::mem::replace(&mut self.next, Next::None) {
            Next::Ready(segment) => Ok(segment),
            Next::Asked(prepared) => match prepared.recv() {
                Ok(Ok(segment)) => Ok(segment),
                // The disk was full when the segment was prepared ahead: there may be space by now.
                Ok(Err(_)) | Err(_) => self.prepare(),
            },
            Next::None => self.prepare(),
        }?;
        self.log.add(Arc::clone(&segment));
        self.progress.end = Position { segment: segment.id, offset: SEGMENT_HEADER_BYTES };
        self.newest = self.newest.max(segment.id);
        self.segment = segment;
        self.dirty_until = 0;
        // Bounds what the next start replays by bytes as well.
        self.background.checkpoint();
        Ok(())
    }

    fn prepare(&self) -> Result<Arc<Segment>, WriteError> {
        let prepared = self.background.prepare(self.newest + 1, self.thresholds.segment_bytes);
        match prepared.recv() {
            Ok(Ok(segment)) => Ok(segment),
            Ok(Err(error)) if is_full(&error) => Err(self.full()),
            // The background thread has poisoned the store.
            Ok(Err(_)) | Err(_) => Err(WriteError::Poisoned),
        }
    }

    fn full(&self) -> WriteError {
        add(&self.counters.full, 1);
        self.health.refused_for_space();
        WriteError::Full
    }

    fn poison(&self, call: &str, error: &io::Error) -> WriteError {
        self.health.poison(&format!("{call} of log segment {} failed: {error}", self.segment.id));
        WriteError::Poisoned
    }
}

fn fail_all(requests: &mut VecDeque<Request>, error: WriteError) {
    for request in requests.drain(..) {
        request.change.fail(error);
    }
}
