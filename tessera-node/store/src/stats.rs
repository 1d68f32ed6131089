//! What the store tells about itself.

/// Upper bounds of [`Stats::batch_sizes`], in records; a last bucket takes the rest.
pub const BATCH_SIZE_BOUNDS: [u64; 10] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

/// Counters since the store was opened, and sizes as they are now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Live records of all kinds.
    pub records: u64,
    /// Bytes of the log in use, superseded records included.
    pub log_bytes: u64,
    /// Segment files.
    pub segments: u64,
    /// Damaged records known: found at open, met by a read, or without a name.
    pub corrupt: u64,
    /// Damaged records that have lost their names.
    pub unidentified: u64,
    /// Records replayed from the log when the store was opened.
    pub replayed: u64,
    /// Calls of `fdatasync` for batches.
    pub syncs: u64,
    /// Seconds spent in them, in nanoseconds.
    pub sync_nanos: u64,
    /// Records written.
    pub written: u64,
    /// How many batches had up to [`BATCH_SIZE_BOUNDS`] records (not cumulative).
    pub batch_sizes: [u64; BATCH_SIZE_BOUNDS.len() + 1],
    /// Checkpoints of the index.
    pub checkpoints: u64,
    /// Checkpoints that failed and will be tried again.
    pub checkpoint_failures: u64,
    /// Batches refused because the disk was full.
    pub full: u64,
}
