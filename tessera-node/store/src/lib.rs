//! The embedded payload store: a segmented append log, and an index of it.
//!
//! ```text
//!   insert ─┐                      ┌─► log segment   (the truth)
//!   replace ├─► queue ─► writer ───┤      │ fdatasync
//!   delete ─┘            thread    └─► tail index ─► waiters
//!                                         │ background
//!   get ◄──── tail, then redb ◄───────────┘ checkpoint
//! ```
//!
//! Group commit without a timer: what queues while one batch is being synced is the next batch.
//! A caller is answered when its record is durable *and* readable, never before.
//!
//! What may not happen here: an answer before `fdatasync` returned; a second try of an
//! `fdatasync` that failed (the kernel may have dropped the pages: the store is poisoned and the
//! process must exit and replay); `None` for a record that may have been acknowledged (damage is
//! an error); bytes whose checksum or hash does not fit.

mod background;
mod batch;
mod catalog;
mod disk;
mod error;
mod health;
mod index;
mod iterate;
mod log;
mod pending;
mod place;
mod queue;
mod record;
mod recover;
mod scan;
mod segment;
mod stats;
mod store;
mod types;
mod writer;

pub use disk::{Disk, DiskFile};
pub use error::{IndexError, OpenError, ReadError, WriteError};
pub use iterate::Records;
pub use pending::{Fatal, Pending};
pub use stats::{BATCH_SIZE_BOUNDS, Stats};
pub use store::{Options, Store};
pub use types::{
    Cursor, DeleteOutcome, Entry, Hash, InsertOutcome, Kind, ReplaceOutcome, Stored, Value, Version,
};
