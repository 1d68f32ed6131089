//! Where every record is now: the tail since the last checkpoint in memory, the rest in the index.
//!
//! ```text
//!   publish ──► fresh ──(checkpoint starts)──► draining ──(committed)──► index
//!   lookup  ──► fresh, then draining, then index
//! ```
//!
//! A record is in the next place before it leaves the one before, so a lookup that goes down the
//! list finds it whatever the checkpoint does meanwhile.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::error::IndexError;
use crate::index::{Checkpoint, CheckpointError, Index};
use crate::place::{Key, Place, Progress, State};
use crate::segment::Identity;

/// Beyond that many, damage met by reads is no longer counted apart.
const REMEMBERED_DAMAGE: usize = 65_536;

#[derive(Debug)]
pub(crate) struct Catalog {
    identity: Identity,
    index: Index,
    tail: RwLock<Tail>,
    /// Records whose bytes were found damaged by a read.
    met: Mutex<BTreeSet<Key>>,
}

type Places = HashMap<Key, Place>;

#[derive(Debug)]
struct Tail {
    fresh: Places,
    draining: Arc<Places>,
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
                fresh: Places::new(),
                draining: Arc::default(),
                progress,
                undrained: None,
            }),
            met: Mutex::default(),
        }
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    pub(crate) fn progress(&self) -> Progress {
        self.read_tail().progress
    }

    /// The last version of a record; `None` where there is none or it was deleted.
    pub(crate) fn lookup(&self, key: &Key) -> Result<Option<Place>, IndexError> {
        let in_tail = {
            let tail = self.read_tail();
            tail.fresh.get(key).or_else(|| tail.draining.get(key)).copied()
        };
        let place = match in_tail {
            Some(place) => Some(place),
            None => self.index.lookup(key)?,
        };
        Ok(place.filter(|place| !place.is_deleted()))
    }

    /// Makes durable records readable. Returns how many wait for a checkpoint.
    pub(crate) fn publish(
        &self,
        places: impl IntoIterator<Item = (Key, Place)>,
        progress: Progress,
    ) -> usize {
        let mut tail = self.write_tail();
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, place) in places {
            met.remove(&key);
            tail.fresh.insert(key, place);
        }
        tail.progress = progress;
        tail.fresh.len()
    }

    /// Writes what is in memory to the index.
    pub(crate) fn checkpoint(&self) -> Result<(), CheckpointError> {
        let (places, progress) = self.start_draining();
        self.index.write(Checkpoint {
            identity: self.identity,
            progress,
            places: &mut places.iter().map(|(key, place)| (*key, *place)),
        })?;
        let mut tail = self.write_tail();
        tail.draining = Arc::default();
        tail.undrained = None;
        Ok(())
    }

    /// Takes the tail, or once more what an attempt before could not write.
    fn start_draining(&self) -> (Arc<Places>, Progress) {
        let mut tail = self.write_tail();
        let progress = tail.undrained.unwrap_or(tail.progress);
        if tail.undrained.is_none() {
            tail.draining = Arc::new(std::mem::take(&mut tail.fresh));
        }
        tail.undrained = Some(progress);
        (Arc::clone(&tail.draining), progress)
    }

    /// Keeps in mind that a read found a record damaged.
    pub(crate) fn remember_damage(&self, key: Key) {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        if met.len() < REMEMBERED_DAMAGE {
            met.insert(key);
        }
    }

    /// Damaged records: found at replay, met by reads, or without a name.
    pub(crate) fn corrupt(&self) -> u64 {
        let progress = self.progress();
        let met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        progress.damaged + progress.unidentified + met.len() as u64
    }

    /// The progress after `place` took the place of `before`.
    pub(crate) fn count(mut progress: Progress, before: Option<Place>, place: &Place) -> Progress {
        if let Some(before) = before {
            progress.records = progress.records.saturating_sub(1);
            if before.state == State::Damaged {
                progress.damaged = progress.damaged.saturating_sub(1);
            }
        }
        match place.state {
            State::Live => progress.records += 1,
            State::Damaged => {
                progress.records += 1;
                progress.damaged += 1;
            }
            State::Deleted => {}
        }
        progress
    }

    /// A panic elsewhere cannot leave the maps half changed: they are changed by single inserts.
    fn read_tail(&self) -> RwLockReadGuard<'_, Tail> {
        self.tail.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_tail(&self) -> RwLockWriteGuard<'_, Tail> {
        self.tail.write().unwrap_or_else(PoisonError::into_inner)
    }
}
