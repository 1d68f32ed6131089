//! Why the store could not do what it was asked.

use std::io;
use std::path::PathBuf;

use crate::types::{Hash, Kind};

/// Why a store did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the store in {} is open in another process; one directory serves one node", dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory cannot be made, listed or locked.
    #[error("cannot use {} as the store's directory", dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The names in the directory cannot be listed or made durable.
    #[error("cannot list or sync the store's directory")]
    Names {
        /// What the system said.
        source: io::Error,
    },
    /// A segment cannot be read, made or repaired.
    #[error("cannot open the log segment {name}")]
    Segment {
        /// The file's name in the directory.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// A segment of another store lies in the directory.
    #[error("the log segment {name} belongs to another store; move it out of the directory")]
    ForeignSegment {
        /// The file's name in the directory.
        name: String,
    },
    /// A segment was written by a newer program.
    #[error(
        "the log segment {name} has format {version}, this program reads up to {supported}; use the newer program"
    )]
    Format {
        /// The file's name in the directory.
        name: String,
        /// The format found.
        version: u32,
        /// The newest format known.
        supported: u32,
    },
    /// There are segments, and none of them says which store it belongs to.
    #[error("no log segment has a readable header; restore the store from its backup")]
    NoReadableHeader,
    /// The index can neither be opened nor rebuilt.
    #[error("cannot open or rebuild the index")]
    Index(#[source] IndexError),
    /// A thread of the store could not be started.
    #[error("cannot start the store's {thread} thread")]
    Thread {
        /// Which one.
        thread: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// No random bytes for the store's identity.
    #[error("cannot get random bytes for the store's identity: {0}")]
    Random(getrandom::Error),
}

/// Why a read has no answer. None of these means "no such record".
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The record is there and its bytes are damaged.
    #[error("the {kind:?} record {hash} is damaged on disk; repair it from a peer or a backup")]
    Corrupt {
        /// The name space.
        kind: Kind,
        /// The record.
        hash: Hash,
    },
    /// No such record is known, but records were damaged beyond recognition: it may be one.
    #[error(
        "no record {hash} is known, but {unidentified} records are damaged and their hashes are lost; restore the store from its backup"
    )]
    Undecidable {
        /// The record asked for.
        hash: Hash,
        /// How many records it could be.
        unidentified: u64,
    },
    /// The index did not answer.
    #[error("the index cannot be read")]
    Index(#[from] IndexError),
    /// The log did not answer.
    #[error("log segment {segment} cannot be read: {reason}")]
    Log {
        /// The segment's number.
        segment: u64,
        /// What the system said.
        reason: io::ErrorKind,
    },
}

/// Why nothing was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The disk is full, or the quota is used up. Reads go on; writes resume by themselves when there is space.
    ///
    /// Nobody reads what was refused while the store is open. But a file system may take half of a write before it says that it
    /// is full, and will not take the zeros over it either: until a later write has succeeded, a start after a crash may
    /// find the refused record whole, and take it.
    #[error("the store's disk is full or its quota is used up; add space, writes then resume")]
    Full,
    /// The queue is full: the disk does not keep up.
    #[error("the store's write queue is full; try again later")]
    Busy,
    /// The record is larger than the store takes.
    #[error("a record of {bytes} bytes is larger than the {limit} that the store takes")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Whether earlier writes of this batch reached the disk is unknown: exit and replay.
    #[error("a write to the store failed and is not tried again; the process must exit and replay the log")]
    Poisoned,
    /// The index did not say whether the record exists. Nothing was written.
    #[error("the index cannot be read, so nothing was written")]
    Index,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// Why the index failed; it can be deleted while the node is stopped and is then rebuilt.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct IndexError {
    message: String,
}

impl IndexError {
    /// Keeps the text only: the sources differ by call and are not all `Clone`.
    pub(crate) fn new(error: &dyn std::error::Error) -> Self {
        Self { message: error.to_string() }
    }

    /// Something in it does not decode.
    pub(crate) fn damaged(what: &str) -> Self {
        Self { message: format!("{what} in it does not decode") }
    }

    /// It could not be opened again after an error.
    pub(crate) fn closed() -> Self {
        Self { message: "it could not be opened again after an error".to_owned() }
    }
}
