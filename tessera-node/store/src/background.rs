//! Work off the write path: checkpoints of the index, and the next segment.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use crate::catalog::Catalog;
use crate::disk::is_full;
use crate::health::{Health, PoisonOnPanic};
use crate::index::CheckpointError;
use crate::log::Log;
use crate::segment::{Segment, prepare};
use crate::stats::{Counters, add};

/// A new segment, or why it could not be created.
pub(crate) type Prepared = io::Result<Arc<Segment>>;

enum Task {
    Checkpoint,
    Prepare { id: u64, size: u64, reply: Sender<Prepared> },
}

/// The writer's handle of the background thread, which ends with it.
#[derive(Debug)]
pub(crate) struct Background {
    tasks: Sender<Task>,
    checkpointing: Arc<AtomicBool>,
}

impl Background {
    /// Starts the thread. It writes a last checkpoint when the handle is dropped.
    pub(crate) fn start(
        log: Arc<Log>,
        catalog: Arc<Catalog>,
        health: Arc<Health>,
        counters: Arc<Counters>,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let (tasks, received) = channel();
        let checkpointing = Arc::new(AtomicBool::new(false));
        let worker = Worker { log, catalog, health, counters, checkpointing: Arc::clone(&checkpointing) };
        let thread =
            Builder::new().name("store-background".to_owned()).spawn(move || worker.run(&received))?;
        Ok((Self { tasks, checkpointing }, thread))
    }

    /// Orders a checkpoint, unless one is running.
    pub(crate) fn checkpoint(&self) {
        if !self.checkpointing.swap(true, Ordering::AcqRel) {
            // A thread that has ended has poisoned the store.
            let _ = self.tasks.send(Task::Checkpoint);
        }
    }

    /// Orders a segment.
    pub(crate) fn prepare(&self, id: u64, size: u64) -> Receiver<Prepared> {
        let (reply, prepared) = channel();
        let _ = self.tasks.send(Task::Prepare { id, size, reply });
        prepared
    }
}

struct Worker {
    log: Arc<Log>,
    catalog: Arc<Catalog>,
    health: Arc<Health>,
    counters: Arc<Counters>,
    checkpointing: Arc<AtomicBool>,
}

impl Worker {
    fn run(&self, tasks: &Receiver<Task>) {
        let _guard = PoisonOnPanic(&self.health);
        while let Ok(task) = tasks.recv() {
            match task {
                Task::Checkpoint => {
                    self.checkpoint();
                    self.checkpointing.store(false, Ordering::Release);
                }
                Task::Prepare { id, size, reply } => {
                    let _ = reply.send(self.prepare(id, size));
                }
            }
        }
        if !self.health.is_poisoned() {
            // Twice: the first may only write what an attempt before could not.
            self.checkpoint();
            self.checkpoint();
        }
    }

    fn checkpoint(&self) {
        if self.health.is_poisoned() {
            return;
        }
        match self.catalog.checkpoint() {
            Ok(()) => add(&self.counters.checkpoints, 1),
            Err(CheckpointError::Full) => add(&self.counters.checkpoint_failures, 1),
            Err(CheckpointError::Failed(error)) => {
                self.health.poison(&format!("a checkpoint failed: {error}"));
            }
        }
    }

    fn prepare(&self, id: u64, size: u64) -> Prepared {
        let prepared = prepare(&*self.log.disk, id, self.catalog.identity(), size);
        if let Err(error) = &prepared
            && !is_full(error)
        {
            self.health.poison(&format!("segment {id} could not be created: {error}"));
        }
        prepared
    }
}
