//! Where every record is now: the tail since the last checkpoint in memory, the rest in the index.
//!
//! ```text
//!   publish ──► fresh ──(checkpoint starts)──► draining ──(committed)──► index
//!   lookup  ──► fresh, then draining, then index
//! ```
//!
//! A record is in the next map before it leaves the one before, so a lookup that goes down the
//! list finds it whatever the checkpoint does meanwhile.
//!
//! The writer asks the filter first: a hash that is not in it is in none of them.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::error::IndexError;
use crate::filter::Filter;
use crate::index::{Checkpoint, CheckpointError, Index};
use crate::location::{Key, Location, Progress, State};
use crate::segment::Identity;
use crate::stats::{add, get};

/// Damaged records found by reads are counted up to this number.
const MAX_DAMAGED_READS: usize = 65_536;

#[derive(Debug)]
pub(crate) struct Catalog {
    identity: Identity,
    index: Index,
    tail: RwLock<Tail>,
    /// Records whose bytes were found damaged by a read.
    damaged_reads: Mutex<BTreeSet<Key>>,
    /// The keys of the index as far as they were scanned, and all that were published since.
    filter: Mutex<Filter>,
    /// What the filter could not answer.
    index_reads: AtomicU64,
}

type Locations = HashMap<Key, Location>;

#[derive(Debug)]
struct Tail {
    fresh: Locations,
    draining: Arc<Locations>,
    /// As of `fresh`.
    progress: Progress,
    /// As of `draining`, while it has not been written.
    undrained: Option<Progress>,
}

impl Catalog {
    pub(crate) fn new(identity: Identity, index: Index, progress: Progress) -> Self {
        Self {
            identity,
            index,
            tail: RwLock::new(Tail {
                fresh: Locations::new(),
                draining: Arc::default(),
                progress,
                undrained: None,
            }),
            damaged_reads: Mutex::default(),
            filter: Mutex::default(),
            index_reads: AtomicU64::new(0),
        }
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    pub(crate) fn progress(&self) -> Progress {
        self.read_tail().progress
    }

    /// The last version of a record.
    pub(crate) fn lookup(&self, key: &Key) -> Result<Option<Location>, IndexError> {
        let in_tail = {
            let tail = self.read_tail();
            tail.fresh.get(key).or_else(|| tail.draining.get(key)).copied()
        };
        match in_tail {
            Some(location) => Ok(Some(location)),
            None => self.index.lookup(key),
        }
    }

    /// The last version of a record that the writer is about to write. (A read does not ask the filter: "no such record" is
    /// said to a ledger once and for all, so it comes from the index alone.)
    pub(crate) fn lookup_for_write(&self, key: &Key) -> Result<Option<Location>, IndexError> {
        if self.filter().is_new(key) {
            return Ok(None);
        }
        add(&self.index_reads, 1);
        self.lookup(key)
    }

    /// How often [`Self::lookup_for_write`] asked the index.
    pub(crate) fn index_reads(&self) -> u64 {
        get(&self.index_reads)
    }

    /// Adds keys of the index to the filter, so many from the one after `after` on. The last of them; None: that was all.
    pub(crate) fn fill_filter(&self, after: Option<Key>, keys: usize) -> Result<Option<Key>, IndexError> {
        let found = self.index.keys(after, keys)?;
        let mut filter = self.filter();
        for key in &found {
            filter.add(key);
        }
        if found.len() < keys {
            filter.completed();
            return Ok(None);
        }
        Ok(found.last().copied())
    }

    /// Makes durable records readable. Returns how many wait for a checkpoint.
    pub(crate) fn publish(
        &self,
        locations: impl IntoIterator<Item = (Key, Location)>,
        progress: Progress,
    ) -> usize {
        let mut tail = self.write_tail();
        let mut damaged = self.damaged_reads.lock().unwrap_or_else(PoisonError::into_inner);
        let mut filter = self.filter();
        for (key, location) in locations {
            damaged.remove(&key);
            filter.add(&key);
            tail.fresh.insert(key, location);
        }
        tail.progress = progress;
        tail.fresh.len()
    }

    /// Writes what is in memory to the index.
    pub(crate) fn checkpoint(&self) -> Result<(), CheckpointError> {
        let (locations, progress) = self.start_draining();
        self.index.write(Checkpoint {
            identity: self.identity,
            progress,
            locations: &mut locations.iter().map(|(key, location)| (*key, *location)),
        })?;
        let mut tail = self.write_tail();
        tail.draining = Arc::default();
        tail.undrained = None;
        Ok(())
    }

    /// Takes the tail, or once more what an attempt before could not write.
    fn start_draining(&self) -> (Arc<Locations>, Progress) {
        let mut tail = self.write_tail();
        let progress = tail.undrained.unwrap_or(tail.progress);
        if tail.undrained.is_none() {
            tail.draining = Arc::new(std::mem::take(&mut tail.fresh));
        }
        tail.undrained = Some(progress);
        (Arc::clone(&tail.draining), progress)
    }

    /// Counts a record that a read found damaged.
    pub(crate) fn remember_damage(&self, key: Key) {
        let mut damaged = self.damaged_reads.lock().unwrap_or_else(PoisonError::into_inner);
        if damaged.len() < MAX_DAMAGED_READS {
            damaged.insert(key);
        }
    }

    /// Damaged records: found at replay, found by reads, or without a name.
    pub(crate) fn corrupt(&self) -> u64 {
        let progress = self.progress();
        let damaged = self.damaged_reads.lock().unwrap_or_else(PoisonError::into_inner);
        progress.damaged + progress.unidentified + damaged.len() as u64
    }

    /// The progress after a record moved from `before` to `location`.
    pub(crate) fn count(mut progress: Progress, before: Option<Location>, location: &Location) -> Progress {
        if let Some(before) = before {
            progress.records = progress.records.saturating_sub(1);
            if before.state == State::Damaged {
                progress.damaged = progress.damaged.saturating_sub(1);
            }
        }
        match location.state {
            State::Live => progress.records += 1,
            State::Damaged => {
                progress.records += 1;
                progress.damaged += 1;
            }
        }
        progress
    }

    /// A panic elsewhere cannot leave the maps half changed: they are changed by single inserts.
    fn read_tail(&self) -> RwLockReadGuard<'_, Tail> {
        self.tail.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A panic half way leaves bits that mean nothing, and none out of a key that was added.
    fn filter(&self) -> MutexGuard<'_, Filter> {
        self.filter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_tail(&self) -> RwLockWriteGuard<'_, Tail> {
        self.tail.write().unwrap_or_else(PoisonError::into_inner)
    }
}
