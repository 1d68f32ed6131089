//! Segments prepared ahead of the writer, on a thread of their own.
//!
//! Zeroing a segment takes a good part of the time in which the writer fills one, and must not wait
//! for a checkpoint, which may take longer than that.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use crate::disk::is_full;
use crate::error::WriteError;
use crate::files::OpenFiles;
use crate::health::{Health, PoisonOnPanic};
use crate::segment::{Identity, OpenSegment, prepare};

/// Segments that records of callers never take. Compaction continues in it on a full disk, and gives more back than it takes.
const RESERVE: usize = 1;

/// How many segments are kept ready behind the current one.
const AHEAD: usize = 2 + RESERVE;

/// Segments for which there is space left when that is reported.
const LOW_SPACE: u64 = 4;

type Prepared = io::Result<OpenSegment>;

/// The writer's handle of the thread, which ends with it.
#[derive(Debug)]
pub(crate) struct SegmentsAhead {
    ready: VecDeque<OpenSegment>,
    /// Orders whose outcome was not received yet.
    ordered: usize,
    orders: Sender<()>,
    prepared: Receiver<Prepared>,
}

impl SegmentsAhead {
    /// Starts the thread. `ready` are the empty segments that were found behind the current one.
    pub(crate) fn start(
        preparer: Preparer,
        ready: VecDeque<OpenSegment>,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let (orders, received) = channel();
        let (outcomes, finished) = channel();
        let thread = Builder::new()
            .name("store-segments".to_owned())
            .spawn(move || preparer.run(&received, &outcomes))?;
        Ok((Self { ready, ordered: 0, orders, prepared: finished }, thread))
    }

    /// Orders the segments that are missing. Does not block.
    pub(crate) fn refill(&mut self) {
        while self.ready.len() + self.ordered < AHEAD {
            self.order();
        }
    }

    /// The next segment; blocks until it and the reserve are prepared.
    pub(crate) fn take(&mut self) -> Result<OpenSegment, WriteError> {
        self.prepare(1 + RESERVE)?;
        self.ready.pop_front().ok_or(WriteError::Full)
    }

    /// The reserve, for compaction, when [`Self::take`] found the disk full.
    pub(crate) fn take_reserve(&mut self) -> Result<OpenSegment, WriteError> {
        self.ready.pop_front().ok_or(WriteError::Full)
    }

    /// Blocks until the reserve is prepared again, or the disk is found too full for it.
    pub(crate) fn restore_reserve(&mut self) -> Result<(), WriteError> {
        self.prepare(RESERVE)
    }

    /// Blocks until so many segments are ready.
    fn prepare(&mut self, segments: usize) -> Result<(), WriteError> {
        // An order may have found the disk full a while ago: only a new one tells whether it still is.
        while self.ready.len() < segments && self.ordered > 0 {
            match self.receive() {
                Err(WriteError::Full) => {}
                prepared => self.ready.push_back(prepared?),
            }
        }
        while self.ready.len() < segments {
            self.order();
            let prepared = self.receive()?;
            self.ready.push_back(prepared);
        }
        Ok(())
    }

    fn order(&mut self) {
        // A thread that has ended has poisoned the store; `receive` reports that.
        let _ = self.orders.send(());
        self.ordered += 1;
    }

    fn receive(&mut self) -> Result<OpenSegment, WriteError> {
        self.ordered -= 1;
        match self.prepared.recv() {
            Ok(Ok(segment)) => Ok(segment),
            Ok(Err(error)) if is_full(&error) => Err(WriteError::Full),
            Ok(Err(_)) | Err(_) => Err(WriteError::Poisoned),
        }
    }
}

/// What the thread needs.
#[derive(Debug)]
pub(crate) struct Preparer {
    pub(crate) files: Arc<OpenFiles>,
    pub(crate) identity: Identity,
    pub(crate) health: Arc<Health>,
    /// Bytes of a segment.
    pub(crate) size: u64,
    /// The number of the next segment. A number is used up only by a segment that exists: a missing
    /// one would be taken for a lost segment.
    pub(crate) next_id: u64,
    pub(crate) space: Space,
}

impl Preparer {
    fn run(mut self, orders: &Receiver<()>, outcomes: &Sender<Prepared>) {
        let health = Arc::clone(&self.health);
        let _guard = PoisonOnPanic(&health);
        while orders.recv().is_ok() {
            if outcomes.send(self.prepare()).is_err() {
                return;
            }
        }
    }

    fn prepare(&mut self) -> Prepared {
        let id = self.next_id;
        let prepared = prepare(&self.files, id, self.identity, self.size);
        match &prepared {
            Ok(_) => {
                self.next_id += 1;
                self.report_space();
            }
            Err(error) if is_full(error) => {}
            Err(error) => self.health.poison(&format!("segment {id} could not be created: {error}")),
        }
        prepared
    }

    /// Soon there may be no space for another segment.
    fn report_space(&mut self) {
        let disk = &self.files.disk;
        let Ok(volume_free) = disk.free_bytes() else { return };
        let quota_free = disk.quota_free_bytes();
        let free = quota_free.map_or(volume_free, |quota_free| quota_free.min(volume_free));
        if self.space.becomes_low(free, self.size) {
            tracing::warn!(
                volume_free,
                quota_free,
                "the payload store is nearly full: enlarge its volume, or its quota if it has one"
            );
        }
    }
}

/// Whether the space is low, as it was reported last.
#[derive(Debug, Default)]
pub(crate) struct Space {
    is_low: bool,
}

impl Space {
    /// Notes the free bytes. True where they become too few for [`LOW_SPACE`] segments, once until they are enough again.
    fn becomes_low(&mut self, free: u64, segment: u64) -> bool {
        let is_low = free < LOW_SPACE * segment;
        !std::mem::replace(&mut self.is_low, is_low) && is_low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_space_is_reported_once_for_each_crossing() {
        let mut space = Space::default();
        let reported = [9, 4, 3, 2, 0, 3, 4, 9, 3, 1].map(|segments| space.becomes_low(segments * 10, 10));
        let crossings = [false, false, true, false, false, false, false, false, true, false];
        assert_eq!(reported, crossings);
    }
}
