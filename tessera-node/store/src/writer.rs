//! The one thread that appends to the log.
//!
//! ```text
//!   take the queue ──────► decide, encode ─► write ─► fdatasync ─► publish ─► mark ─► answer ─┐
//!        ▲                                                                                     │
//!        └─────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Compaction's copies come through the same queue. On a full disk they continue in a segment that was kept for them; callers
//! are refused until there is one again.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use crate::ahead::SegmentsAhead;
use crate::answers::AnswerOn;
use crate::background::Background;
use crate::batch::Batch;
use crate::catalog::Catalog;
use crate::compaction_wanted::EndsCompaction;
use crate::disk::is_full;
use crate::error::WriteError;
use crate::health::{Health, PoisonOnPanic};
use crate::location::{Position, Progress};
use crate::log::Log;
use crate::queue::{Queue, Request};
use crate::record::{End, HEADER_BYTES, Header};
use crate::segment::{OpenSegment, SEGMENT_HEADER_BYTES};
use crate::stats::{Counters, add};

pub(crate) struct Writer {
    pub(crate) queue: Arc<Queue>,
    pub(crate) log: Arc<Log>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) health: Arc<Health>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) background: Background,
    pub(crate) compaction: EndsCompaction,
    /// Records between two checkpoints. Later ones are replayed at the next start: about a second per million.
    pub(crate) checkpoint_records: usize,
    pub(crate) current: OpenSegment,
    pub(crate) ahead: SegmentsAhead,
    pub(crate) progress: Progress,
    /// How far a failed batch may have written; the next batch overwrites these bytes.
    pub(crate) dirty_until: u64,
    /// The log continues in what was kept for compaction.
    pub(crate) on_reserve: bool,
    /// None: callers are answered from this thread.
    pub(crate) answer_on: Option<AnswerOn>,
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
        if self.on_reserve {
            self.restore_reserve(requests);
        }
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
            let written = self.write(&mut batch, requests.is_empty());
            batch.into_answers().give(written, self.answer_on.as_ref());
        } else if let Some(request) = requests.front() {
            let bytes = request.change.body_bytes();
            let copy = request.change.is_copy();
            if let Err(error) = self.rotate(copy) {
                if copy {
                    return fail_some(requests, error, |request| request.change.is_copy());
                }
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
        self.current.segment.size.saturating_sub(self.progress.end.offset)
    }

    /// Makes a batch durable and readable. `last`: all that was taken from the queue is in it.
    fn write(&mut self, batch: &mut Batch<'_>, last: bool) -> Result<(), WriteError> {
        let start = self.progress.end.offset;
        self.cover_dirt(start, &mut batch.bytes);
        if let Err(error) = self.current.file.write_all_at(&batch.bytes, start) {
            if is_full(&error) {
                self.dirty_until = self.dirty_until.max(start + batch.bytes.len() as u64);
                return Err(self.full());
            }
            return Err(self.poison("write", &error));
        }
        let before = Instant::now();
        if let Err(error) = self.current.file.sync_data() {
            // Never repeat a failed sync: the kernel may have dropped the pages and report the next one as a success.
            return Err(self.poison("fdatasync", &error));
        }
        self.counters.synced(batch.records as u64, before.elapsed());
        self.progress = batch.progress;
        let waiting = self.catalog.publish(batch.locations.drain(), &batch.superseded, self.progress);
        // The next batch, written at once, says what the marker would say, and in its place.
        if last && self.queue.is_empty() {
            self.mark();
        }
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
        if end + HEADER_BYTES as u64 > self.current.segment.size {
            return;
        }
        let marker = Header::marker(self.progress.sequence).encode(self.log.tag(), End::Head);
        if let Err(error) = self.current.file.write_all_at(&marker, end) {
            tracing::warn!(%error, "cannot mark the end of the log");
        }
    }

    /// Orders from the other threads what the next batches will need.
    fn prepare_ahead(&mut self, waiting: usize) {
        if waiting >= self.checkpoint_records {
            self.background.checkpoint();
        }
        if self.progress.end.offset > self.current.segment.size / 2 {
            self.ahead.refill();
        }
    }

    /// Continues in the next segment; compaction also in the reserve.
    fn rotate(&mut self, for_copy: bool) -> Result<(), WriteError> {
        self.zero_dirt()?;
        let next = match self.ahead.take() {
            Err(WriteError::Full) if for_copy => {
                let reserve = self.ahead.take_reserve()?;
                self.on_reserve = true;
                reserve
            }
            Err(WriteError::Full) => return Err(self.full()),
            next => next?,
        };
        self.log.add(Arc::clone(&next.segment));
        self.progress.end = Position { segment: next.segment.id, offset: SEGMENT_HEADER_BYTES };
        self.current = next;
        // Bounds what the next start replays by bytes as well.
        self.background.checkpoint();
        Ok(())
    }

    /// Ends the refusal of callers if there is space for a reserve again; else refuses those that wait.
    fn restore_reserve(&mut self, requests: &mut VecDeque<Request>) {
        if requests.iter().all(|request| request.change.is_copy()) {
            return;
        }
        let error = match self.ahead.restore_reserve() {
            Ok(()) => {
                self.on_reserve = false;
                return;
            }
            Err(WriteError::Full) => self.full(),
            Err(error) => error,
        };
        fail_some(requests, error, |request| !request.change.is_copy());
    }

    /// Zeroes durably what a failed batch left behind at the end of the segment: the next segment uses
    /// the same sequence numbers again.
    fn zero_dirt(&mut self) -> Result<(), WriteError> {
        let start = self.progress.end.offset;
        let dirty = usize::try_from(self.dirty_until.saturating_sub(start)).unwrap_or(0);
        if dirty == 0 {
            return Ok(());
        }
        match self.current.file.write_all_at(&vec![0; dirty], start) {
            Ok(()) => {}
            Err(error) if is_full(&error) => return Err(self.full()),
            Err(error) => return Err(self.poison("write", &error)),
        }
        self.current.file.sync_data().map_err(|error| self.poison("fdatasync", &error))?;
        self.dirty_until = 0;
        Ok(())
    }

    fn full(&self) -> WriteError {
        add(&self.counters.full, 1);
        self.health.refused_for_space();
        self.compaction.0.wake_for_space();
        WriteError::Full
    }

    fn poison(&self, call: &str, error: &io::Error) -> WriteError {
        self.health.poison(&format!("{call} of log segment {} failed: {error}", self.current.segment.id));
        WriteError::Poisoned
    }
}

fn fail_some(requests: &mut VecDeque<Request>, error: WriteError, which: impl Fn(&Request) -> bool) {
    let (failed, kept) = std::mem::take(requests).into_iter().partition(which);
    *requests = kept;
    fail_all(&mut { failed }, error);
}

fn fail_all(requests: &mut VecDeque<Request>, error: WriteError) {
    for request in requests.drain(..) {
        request.change.fail(error);
    }
}
