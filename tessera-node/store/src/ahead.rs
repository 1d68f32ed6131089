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

/// How many segments are kept ready behind the current one.
const AHEAD: usize = 2;

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

    /// The next segment; blocks while it is being prepared.
    pub(crate) fn take(&mut self) -> Result<OpenSegment, WriteError> {
        if let Some(segment) = self.ready.pop_front() {
            return Ok(segment);
        }
        // An order may have found the disk full a while ago: only a new one tells whether it still is.
        while self.ordered > 0 {
            match self.receive() {
                Err(WriteError::Full) => {}
                outcome => return outcome,
            }
        }
        self.order();
        self.receive()
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
            Ok(_) => self.next_id += 1,
            Err(error) if is_full(error) => {}
            Err(error) => self.health.poison(&format!("segment {id} could not be created: {error}")),
        }
        prepared
    }
}
