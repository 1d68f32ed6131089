//! Counters and sizes of the store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of [`Stats::batch_sizes`], in records; a last bucket takes the rest.
pub const BATCH_SIZE_BOUNDS: [u64; 10] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

/// Counters since the store was opened, and sizes as they are now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Live records of all kinds.
    pub records: u64,
    /// Bytes of the segments that are full, and of the one in use up to its end.
    pub log_bytes: u64,
    /// Bytes of records that are live; the rest of the log is what compaction may give back. `None` while they are counted, in
    /// the first seconds after the start.
    pub live_bytes: Option<u64>,
    /// Segment files.
    pub segments: u64,
    /// Bytes that the file system has left for new segments; `None` if it does not say.
    pub free_bytes: Option<u64>,
    /// Bytes that the quota has left for new segments; `None`: there is no quota.
    pub quota_free_bytes: Option<u64>,
    /// The quota; `None`: the file system is the only bound.
    pub quota_bytes: Option<u64>,
    /// Damaged records known: found at open, found by a read, or without a hash.
    pub corrupt: u64,
    /// Damaged records whose hash is lost.
    pub unidentified: u64,
    /// Records replayed from the log when the store was opened.
    pub replayed: u64,
    /// Calls of `fdatasync` for batches.
    pub syncs: u64,
    /// Time spent in them, in nanoseconds.
    pub sync_nanos: u64,
    /// Records written, those that compaction wrote again included.
    pub written: u64,
    /// Questions of the writer whether a hash is taken that only the index on disk could answer.
    pub index_reads: u64,
    /// How many batches had up to [`BATCH_SIZE_BOUNDS`] records (not cumulative).
    pub batch_sizes: [u64; BATCH_SIZE_BOUNDS.len() + 1],
    /// Checkpoints of the index.
    pub checkpoints: u64,
    /// Checkpoints that found the disk full and will be tried again.
    pub checkpoint_failures: u64,
    /// Batches refused because the disk was full.
    pub full: u64,
    /// Segments that compaction removed.
    pub compactions: u64,
    /// Bytes of their files, less the bytes of records that were written again.
    pub reclaimed_bytes: u64,
    /// Segments that compaction leaves alone, since something in them is damaged.
    pub damaged_segments: u64,
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    replayed: AtomicU64,
    syncs: AtomicU64,
    sync_nanos: AtomicU64,
    written: AtomicU64,
    batch_sizes: [AtomicU64; BATCH_SIZE_BOUNDS.len() + 1],
    pub(crate) checkpoints: AtomicU64,
    pub(crate) checkpoint_failures: AtomicU64,
    pub(crate) full: AtomicU64,
    pub(crate) compactions: AtomicU64,
    pub(crate) reclaimed_bytes: AtomicU64,
    pub(crate) damaged_segments: AtomicU64,
}

impl Counters {
    /// All zero, but for what opening did.
    pub(crate) fn new(replayed: u64) -> Self {
        Self { replayed: AtomicU64::new(replayed), ..Self::default() }
    }

    /// A batch became durable.
    pub(crate) fn synced(&self, records: u64, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BATCH_SIZE_BOUNDS.partition_point(|bound| *bound < records);
        add(&self.syncs, 1);
        add(&self.sync_nanos, nanos);
        add(&self.written, records);
        add(&self.batch_sizes[bucket], 1);
    }

    /// The counted part of [`Stats`].
    pub(crate) fn snapshot(&self) -> Stats {
        Stats {
            replayed: get(&self.replayed),
            syncs: get(&self.syncs),
            sync_nanos: get(&self.sync_nanos),
            written: get(&self.written),
            batch_sizes: self.batch_sizes.each_ref().map(get),
            checkpoints: get(&self.checkpoints),
            checkpoint_failures: get(&self.checkpoint_failures),
            full: get(&self.full),
            compactions: get(&self.compactions),
            reclaimed_bytes: get(&self.reclaimed_bytes),
            damaged_segments: get(&self.damaged_segments),
            ..Stats::default()
        }
    }
}

/// The counters order nothing else.
pub(crate) fn add(counter: &AtomicU64, value: u64) {
    counter.fetch_add(value, Ordering::Relaxed);
}

/// Takes `value` from a count that holds at least that.
pub(crate) fn subtract(counter: &AtomicU64, value: u64) {
    counter.fetch_sub(value, Ordering::Relaxed);
}

/// As it is now.
pub(crate) fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
