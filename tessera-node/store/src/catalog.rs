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

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::error::IndexError;
use crate::filter::Filter;
use crate::index::{Checkpoint, CheckpointError, Index};
use crate::location::{Key, Location, Progress, State};
use crate::segment::Identity;
use crate::stats::{add, get};
use crate::usage::Usage;

/// Damaged records are counted by reads, and named, up to this number.
const MAX_DAMAGED: usize = 65_536;

#[derive(Debug)]
pub(crate) struct Catalog {
    identity: Identity,
    index: Index,
    tail: RwLock<Tail>,
    damaged: Mutex<Damaged>,
    /// The keys of the index as far as they were scanned, and all that were published since.
    filter: Mutex<Filter>,
    /// What the filter could not answer.
    index_reads: AtomicU64,
    /// The segment that the last checkpoint ends in: a replay starts there.
    checkpointed: AtomicU64,
}

type Locations = HashMap<Key, Location>;

/// The names of damaged records.
#[derive(Debug, Default)]
struct Damaged {
    /// A read found them; the index takes them for whole.
    by_reads: BTreeSet<Key>,
    /// The replay found them, of this start or of an earlier one. Some may have been repaired since.
    by_replays: BTreeSet<Key>,
}

impl Damaged {
    fn add(set: &mut BTreeSet<Key>, key: Key) {
        if set.len() < MAX_DAMAGED {
            set.insert(key);
        }
    }
}

#[derive(Debug)]
struct Tail {
    fresh: Locations,
    draining: Arc<Locations>,
    /// As of `fresh`.
    progress: Progress,
    /// As of `draining`, while it has not been written.
    undrained: Option<Progress>,
    /// As of `fresh`.
    usage: Usage,
}

/// Bytes published in one segment, counted together: a batch is of one segment.
#[derive(Default)]
struct Published {
    segment: u64,
    bytes: u64,
}

impl Published {
    fn add(&mut self, usage: &mut Usage, location: &Location) {
        if location.segment != self.segment {
            self.flush(usage);
            self.segment = location.segment;
        }
        self.bytes += u64::from(location.bytes);
    }

    fn flush(&mut self, usage: &mut Usage) {
        if self.bytes > 0 {
            usage.published(self.segment, std::mem::take(&mut self.bytes));
        }
    }
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
                usage: Usage::new(progress.sequence),
            }),
            damaged: Mutex::default(),
            filter: Mutex::default(),
            index_reads: AtomicU64::new(0),
            checkpointed: AtomicU64::new(progress.end.segment),
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

    /// Adds keys of the index to the filter and their bytes to the segments, so many from the one after `after` on. The last of
    /// them; None: that was all.
    pub(crate) fn scan_index(&self, after: Option<Key>, keys: usize) -> Result<Option<Key>, IndexError> {
        let found = self.index.page(after, keys)?;
        let all = found.len() < keys;
        {
            let usage = &mut self.write_tail().usage;
            usage.scanned(&found);
            if all {
                usage.completed();
            }
        }
        for (key, _) in found.iter().filter(|(_, location)| location.state == State::Damaged) {
            Damaged::add(&mut self.damaged().by_replays, *key);
        }
        let mut filter = self.filter();
        for (key, _) in &found {
            filter.add(key);
        }
        if all {
            filter.completed();
            return Ok(None);
        }
        Ok(found.last().map(|(key, _)| *key))
    }

    /// Makes durable records readable, in place of those that they supersede. Returns how many wait for a checkpoint.
    pub(crate) fn publish(
        &self,
        locations: impl IntoIterator<Item = (Key, Location)>,
        superseded: &[(Key, Location)],
        progress: Progress,
    ) -> usize {
        let mut tail = self.write_tail();
        for (key, location) in superseded {
            tail.usage.superseded(key, location);
        }
        let mut published = Published::default();
        let mut damaged = self.damaged();
        let mut filter = self.filter();
        for (key, location) in locations {
            damaged.by_reads.remove(&key);
            match location.state {
                State::Live => drop(damaged.by_replays.remove(&key)),
                State::Damaged => Damaged::add(&mut damaged.by_replays, key),
            }
            filter.add(&key);
            published.add(&mut tail.usage, &location);
            tail.fresh.insert(key, location);
        }
        published.flush(&mut tail.usage);
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
        self.checkpointed.store(progress.end.segment, Ordering::Release);
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

    /// Segments before this one are in no replay of this log with its index.
    pub(crate) fn checkpointed_segment(&self) -> u64 {
        self.checkpointed.load(Ordering::Acquire)
    }

    /// Looks at the live bytes of each segment that has any; None while the index is being scanned.
    pub(crate) fn with_live<T>(&self, read: impl FnOnce(&BTreeMap<u64, u64>) -> T) -> Option<T> {
        self.read_tail().usage.live().map(read)
    }

    /// A segment is gone.
    pub(crate) fn forget_segment(&self, segment: u64) {
        self.write_tail().usage.forget(segment);
    }

    /// Counts a record that a read found damaged.
    pub(crate) fn remember_damage(&self, key: Key) {
        Damaged::add(&mut self.damaged().by_reads, key);
    }

    /// The damaged records whose names are known, as far as the index was scanned since the start.
    pub(crate) fn named_damage(&self) -> Result<BTreeSet<Key>, IndexError> {
        let (mut named, by_replays) = {
            let damaged = self.damaged();
            (damaged.by_reads.clone(), damaged.by_replays.clone())
        };
        for key in by_replays {
            // The scan may have met a location that was superseded just then.
            if self.lookup(&key)?.is_some_and(|location| location.state == State::Damaged) {
                named.insert(key);
            }
        }
        Ok(named)
    }

    /// Damaged records: found at replay, found by reads, or without a name.
    pub(crate) fn corrupt(&self) -> u64 {
        let progress = self.progress();
        progress.damaged + progress.unidentified + self.damaged().by_reads.len() as u64
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

    /// Single inserts and removals.
    fn damaged(&self) -> MutexGuard<'_, Damaged> {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A panic half way leaves bits that mean nothing, and none out of a key that was added.
    fn filter(&self) -> MutexGuard<'_, Filter> {
        self.filter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_tail(&self) -> RwLockWriteGuard<'_, Tail> {
        self.tail.write().unwrap_or_else(PoisonError::into_inner)
    }
}
