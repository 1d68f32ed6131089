//! The embedded payload store: a segmented append log, and an index of it.
//!
//! ```text
//!   insert ──────────────┐                      ┌─► log segment   (the source of truth)
//!   compare_and_replace ─┴─► queue ─► writer ───┤      │ fdatasync
//!                                     thread    └─► tail ─► waiters
//!                                                      │ background
//!   get ◄──── tail, then redb ◄────────────────────────┘ checkpoint, compaction
//! ```
//!
//! Group commit without a timer: what queues while one batch is being synced is the next batch.
//! A caller is answered when its record is durable *and* readable, never before.
//!
//! A record that is replaced leaves dead bytes in the log. Compaction writes what is live in a segment again, through the same
//! queue, and removes the segment (`compact.rs` says in which order, and why). On a full disk writes are refused and reads go
//! on; a segment is kept so that compaction can run there, and writes resume when it has given space back. A quota is a disk that is
//! full earlier.
//!
//! Invariants:
//!
//! - a write is answered only after `fdatasync` returned;
//! - an `fdatasync` that failed is never repeated: the kernel may have dropped the pages, so the
//!   store is poisoned, and the process must exit and replay the log;
//! - a read never answers `None` for a record that may have been acknowledged: damage is an error;
//! - a segment is removed only when each of its records is superseded or written again, durably, and the log says that it is gone;
//! - a read never returns bytes that do not match their checksum.

mod ahead;
mod answers;
mod background;
mod batch;
mod catalog;
mod compact;
mod compacted;
mod compaction_wanted;
mod content;
mod discover;
mod disk;
mod error;
mod files;
mod filler;
mod filter;
mod health;
mod index;
mod location;
mod log;
mod pending;
mod queue;
mod quota;
mod record;
mod recover;
mod reservation;
mod ruled_out;
mod scan;
mod segment;
mod stats;
mod store;
mod types;
mod usage;
mod verify;
mod writer;

pub use disk::{Disk, DiskFile};
pub use error::{IndexError, OpenError, ReadError, WriteError};
pub use pending::{Fatal, Pending};
pub use segment::FORMAT;
pub use stats::{BATCH_SIZE_BOUNDS, Stats};
pub use store::{Options, Store};
pub use types::{Hash, InsertOutcome, InvalidStoreId, Kind, ReplaceOutcome, StoreId, Stored, Value, Version};
pub use verify::{Verified, verify, verify_on};
