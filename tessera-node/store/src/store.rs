//! The store as its callers see it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::SystemTime;

use crate::ahead::{Preparer, SegmentsAhead, Space};
use crate::answers::AnswerOn;
use crate::background::Background;
use crate::catalog::Catalog;
use crate::compact::Compactor;
use crate::compaction_wanted::{EndsCompaction, Wanted};
use crate::disk::{Disk, RealDisk};
use crate::error::{OpenError, ReadError, WriteError};
use crate::filler;
use crate::health::Health;
use crate::location::{Key, State};
use crate::log::Log;
use crate::pending::{Completion, Fatal, Pending};
use crate::queue::{Change, Queue, Request};
use crate::quota::QuotaDisk;
use crate::record::record_bytes;
use crate::recover;
use crate::segment::SEGMENT_HEADER_BYTES;
use crate::stats::{Counters, Stats};
use crate::types::{Hash, InsertOutcome, Kind, ReplaceOutcome, StoreId, Stored, Value, Version};
use crate::writer::Writer;

/// The store's directory and limits.
#[derive(Debug, Clone)]
pub struct Options {
    dir: PathBuf,
    segment_bytes: u64,
    max_body_bytes: usize,
    max_queued_bytes: usize,
    checkpoint_records: usize,
    compaction_bytes_per_second: u64,
    quota_bytes: Option<u64>,
    answer_on: Option<AnswerOn>,
}

impl Options {
    /// The defaults for a store in `dir`, which is created if it is missing.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            segment_bytes: 64 << 20,
            max_body_bytes: 32 << 20,
            max_queued_bytes: 128 << 20,
            checkpoint_records: 16_384,
            compaction_bytes_per_second: 16 << 20,
            quota_bytes: None,
            answer_on: None,
        }
    }

    /// Bytes of a new segment. A segment always fits the largest body.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// Bytes of the largest body that is accepted, up to 1 GiB.
    #[must_use]
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes.min(1 << 30);
        self
    }

    /// Bytes of bodies that may be accepted and not durable yet; more are refused with [`WriteError::Busy`].
    #[must_use]
    pub fn max_queued_bytes(mut self, bytes: usize) -> Self {
        self.max_queued_bytes = bytes;
        self
    }

    /// Records between two writes of the index: at most about twice as many are replayed after a kill.
    #[must_use]
    pub fn checkpoint_records(mut self, records: usize) -> Self {
        self.checkpoint_records = records;
        self
    }

    /// Bytes that compaction reads and writes in a second, while the disk is not full.
    #[must_use]
    pub fn compaction_bytes_per_second(mut self, bytes: u64) -> Self {
        self.compaction_bytes_per_second = bytes;
        self
    }

    /// Bytes of all files of the store together, beyond which no segment is made: writes are refused with [`WriteError::Full`] then,
    /// as on a full disk. A store that is larger already makes no further segment.
    #[must_use]
    pub fn quota_bytes(mut self, bytes: u64) -> Self {
        self.quota_bytes = Some(bytes);
        self
    }

    /// Runs what answers the callers of one batch on their own runtime, which then wakes once and not once for each caller. It
    /// must run what it is given, and soon; what it drops is answered with [`WriteError::Closed`].
    #[must_use]
    pub fn answer_on(mut self, run: impl Fn(Box<dyn FnOnce() + Send>) + Send + Sync + 'static) -> Self {
        self.answer_on = Some(AnswerOn(Arc::new(run)));
        self
    }

    /// Opens the store: index first, then the log after the index's checkpoint. Blocks.
    pub fn open(self) -> Result<Store, OpenError> {
        let disk = RealDisk::lock(&self.dir)?;
        self.open_on(&(Arc::new(disk) as Arc<dyn Disk>))
    }

    /// Opens the store on another file layer; `dir` is not used then.
    pub fn open_on(self, disk: &Arc<dyn Disk>) -> Result<Store, OpenError> {
        let needed = SEGMENT_HEADER_BYTES + record_bytes(self.max_body_bytes) as u64;
        let segment_bytes = self.segment_bytes.max(needed).next_multiple_of(4096);
        let opened = match self.quota_bytes {
            None => recover::open(disk, segment_bytes)?,
            Some(quota) => {
                let limited = QuotaDisk::new(Arc::clone(disk), quota);
                let limited = limited.map_err(|source| OpenError::Names { source })?;
                recover::open(&(Arc::new(limited) as Arc<dyn Disk>), segment_bytes)?
            }
        };
        start(&self, segment_bytes, opened)
    }
}

/// Starts the threads of an opened store.
fn start(options: &Options, segment_bytes: u64, opened: recover::Opened) -> Result<Store, OpenError> {
    let failed = |thread| move |source| OpenError::Thread { thread, source };
    let next_id = opened.segments.keys().last().map_or(0, |id| id + 1);
    // Without a spare segment the log may be in the reserve already.
    let on_reserve = opened.ahead.is_empty() && opened.segments.len() > 1;
    let identity = opened.catalog.identity();
    let disk = Arc::clone(&opened.files.disk);
    let log = Arc::new(Log::new(identity.tag, opened.segments));
    let catalog = Arc::new(opened.catalog);
    let queue = Arc::new(Queue::new(options.max_queued_bytes));
    let health = Arc::new(Health::new(Arc::clone(&queue)));
    let counters = Arc::new(Counters::new(opened.replayed));
    let compaction = Arc::new(Wanted::default());
    let (background, background_thread) = Background::start(
        Arc::clone(&catalog),
        Arc::clone(&health),
        Arc::clone(&counters),
        Arc::clone(&compaction),
    )
    .map_err(failed("background"))?;
    let compactor = Compactor {
        wanted: Arc::clone(&compaction),
        queue: Arc::clone(&queue),
        log: Arc::clone(&log),
        catalog: Arc::clone(&catalog),
        health: Arc::clone(&health),
        counters: Arc::clone(&counters),
        files: Arc::clone(&opened.files),
        bytes_per_second: options.compaction_bytes_per_second,
        segment_bytes,
        notes: opened.notes,
        known: BTreeMap::new(),
        logged: None,
    };
    let preparer = Preparer {
        files: opened.files,
        identity,
        health: Arc::clone(&health),
        size: segment_bytes,
        next_id,
        space: Space::default(),
    };
    let (ahead, segments_thread) =
        SegmentsAhead::start(preparer, opened.ahead).map_err(failed("segments"))?;
    let writer = Writer {
        queue: Arc::clone(&queue),
        log: Arc::clone(&log),
        progress: catalog.progress(),
        catalog: Arc::clone(&catalog),
        health: Arc::clone(&health),
        counters: Arc::clone(&counters),
        background,
        compaction: EndsCompaction(Arc::clone(&compaction)),
        checkpoint_records: options.checkpoint_records,
        current: opened.current,
        ahead,
        dirty_until: 0,
        on_reserve,
        answer_on: options.answer_on.clone(),
    };
    let writer_thread = Builder::new()
        .name("store-writer".to_owned())
        .spawn(move || writer.run())
        .map_err(failed("writer"))?;
    let compactor_thread = compactor.start().map_err(failed("compactor"))?;
    let mut threads = vec![writer_thread, segments_thread, background_thread, compactor_thread];
    threads.extend(filler::start(&catalog, &health, &compaction).map_err(failed("filter"))?);
    Ok(Store(Arc::new(Shared {
        disk,
        log,
        catalog,
        queue,
        health,
        counters,
        max_body_bytes: options.max_body_bytes,
        quota_bytes: options.quota_bytes,
        threads: Mutex::new(threads),
    })))
}

/// An open store. Clones share it; the last one closes it.
#[derive(Debug, Clone)]
pub struct Store(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    disk: Arc<dyn Disk>,
    log: Arc<Log>,
    catalog: Arc<Catalog>,
    queue: Arc<Queue>,
    health: Arc<Health>,
    counters: Arc<Counters>,
    max_body_bytes: usize,
    quota_bytes: Option<u64>,
    /// In the order in which they end.
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Store {
    /// Writes a record if its hash is free; the decision is atomic.
    ///
    /// A record that was found damaged when the store was opened is replaced.
    pub fn insert(&self, kind: Kind, hash: Hash, value: Value) -> Pending<InsertOutcome> {
        self.push(kind, hash, value.body.len(), |completion| Change::Insert(value, completion))
    }

    /// Writes a record if the one that is there is still `expected`: a merge.
    pub fn compare_and_replace(
        &self,
        kind: Kind,
        hash: Hash,
        expected: Version,
        value: Value,
    ) -> Pending<ReplaceOutcome> {
        self.push(kind, hash, value.body.len(), |completion| {
            Change::CompareAndReplace(value, expected, completion)
        })
    }

    /// Reads a record. `None` means that there is certainly none: anything uncertain is an error.
    ///
    /// At most a few reads of single pages and one of the record: fit for a thread of an async
    /// runtime.
    pub fn get(&self, kind: Kind, hash: &Hash) -> Result<Option<Stored>, ReadError> {
        let key = Key { kind, hash: *hash };
        let Some(mut location) = self.0.catalog.lookup(&key)? else {
            return self.absent(hash).map(|()| None);
        };
        let mut read = self.0.log.read(&key, &location);
        // Compaction may have removed the segment in between. It made another location known before that.
        while matches!(read, Err(ReadError::Corrupt { .. }))
            && let Some(moved) = self.0.catalog.lookup(&key)?.filter(|moved| *moved != location)
        {
            location = moved;
            read = self.0.log.read(&key, &location);
        }
        if matches!(read, Err(ReadError::Corrupt { .. })) && location.state == State::Live {
            tracing::error!(?kind, %hash, segment = location.segment, "a stored record is damaged");
            self.0.catalog.remember_damage(key);
        }
        read.map(Some)
    }

    /// The version of a record, also of a damaged one, so that [`Self::compare_and_replace`] can repair it.
    pub fn version(&self, kind: Kind, hash: &Hash) -> Result<Option<Version>, ReadError> {
        let location = self.0.catalog.lookup(&Key { kind, hash: *hash })?;
        Ok(location.map(|location| location.version()))
    }

    /// Which store this is.
    pub fn id(&self) -> StoreId {
        StoreId::new(self.0.catalog.identity().uuid)
    }

    /// Records durably that the payloads of another store are lost and that this store continues without them.
    pub fn accept_loss_of(&self, other: StoreId, timestamp_ms: u64) -> Pending<InsertOutcome> {
        self.insert(
            Kind::AcceptedLoss,
            other.record_hash(),
            Value { codec: 0, timestamp_ms, body: Vec::new() },
        )
    }

    /// Whether [`Self::accept_loss_of`] was called for that store.
    pub fn has_accepted_loss_of(&self, other: StoreId) -> Result<bool, ReadError> {
        Ok(self.get(Kind::AcceptedLoss, &other.record_hash())?.is_some())
    }

    /// The size of a record in the log, without reading it.
    pub fn stored_bytes(&self, kind: Kind, hash: &Hash) -> Result<Option<u64>, ReadError> {
        let location = self.0.catalog.lookup(&Key { kind, hash: *hash })?;
        Ok(location.map(|location| location.bytes.into()))
    }

    /// The damaged records whose names are known: those that reads, this start or an earlier one found.
    pub fn damaged(&self) -> Result<Vec<(Kind, Hash)>, ReadError> {
        Ok(self.0.catalog.named_damage()?.into_iter().map(|key| (key.kind, key.hash)).collect())
    }

    /// Counters and sizes.
    pub fn stats(&self) -> Stats {
        let progress = self.0.catalog.progress();
        Stats {
            records: progress.records,
            log_bytes: self.0.log.bytes_before(progress.end),
            live_bytes: self.0.catalog.with_live(|live| live.values().sum()),
            segments: self.0.log.count() as u64,
            free_bytes: self.0.disk.free_bytes().ok(),
            quota_free_bytes: self.0.disk.quota_free_bytes(),
            quota_bytes: self.0.quota_bytes,
            corrupt: self.0.catalog.corrupt(),
            unidentified: progress.unidentified,
            index_reads: self.0.catalog.index_reads(),
            ..self.0.counters.snapshot()
        }
    }

    /// Since when writes have been refused because the disk is full; `None` if no write was refused in the last minute.
    pub fn full_since(&self) -> Option<SystemTime> {
        self.0.health.full_since()
    }

    /// Resolves when the store is poisoned; the process must then exit.
    pub fn fatal(&self) -> Fatal {
        self.0.health.fatal()
    }

    /// Completes the queued writes, writes a checkpoint and refuses further writes. Blocks. Reads still work.
    pub fn close(&self) {
        self.0.close();
    }

    /// Succeeds if a hash that is not in the index certainly names no record.
    fn absent(&self, hash: &Hash) -> Result<(), ReadError> {
        match self.0.catalog.progress().unidentified {
            0 => Ok(()),
            unidentified => Err(ReadError::Undecidable { hash: *hash, unidentified }),
        }
    }

    fn push<T>(
        &self,
        kind: Kind,
        hash: Hash,
        bytes: usize,
        change: impl FnOnce(Completion<T>) -> Change,
    ) -> Pending<T> {
        let limit = self.0.max_body_bytes;
        if bytes > limit {
            return Pending::refused(WriteError::TooLarge { bytes, limit });
        }
        let reservation = match self.0.queue.reserve(bytes) {
            Ok(reservation) => reservation,
            Err(error) => return Pending::refused(error),
        };
        let (completion, pending) = Pending::queued(reservation);
        self.0.queue.push(Request { key: Key { kind, hash }, change: change(completion) });
        pending
    }
}

impl Shared {
    fn close(&self) {
        self.queue.close();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            // A thread that panicked has poisoned the store and said so.
            let _ = thread.join();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.close();
    }
}
