//! Work off the write path: checkpoints of the index.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use crate::catalog::Catalog;
use crate::compaction_wanted::Wanted;
use crate::health::{Health, PoisonOnPanic};
use crate::index::CheckpointError;
use crate::stats::{Counters, add};

/// The writer's handle of the background thread, which ends with it.
#[derive(Debug)]
pub(crate) struct Background {
    orders: Sender<()>,
    checkpointing: Arc<AtomicBool>,
}

impl Background {
    /// Starts the thread. It writes a last checkpoint when the handle is dropped.
    pub(crate) fn start(
        catalog: Arc<Catalog>,
        health: Arc<Health>,
        counters: Arc<Counters>,
        compaction: Arc<Wanted>,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let (orders, received) = channel();
        let checkpointing = Arc::new(AtomicBool::new(false));
        let worker =
            Worker { catalog, health, counters, compaction, checkpointing: Arc::clone(&checkpointing) };
        let thread =
            Builder::new().name("store-background".to_owned()).spawn(move || worker.run(&received))?;
        Ok((Self { orders, checkpointing }, thread))
    }

    /// Orders a checkpoint, unless one is running.
    pub(crate) fn checkpoint(&self) {
        if !self.checkpointing.swap(true, Ordering::AcqRel) {
            // A thread that has ended has poisoned the store.
            let _ = self.orders.send(());
        }
    }
}

struct Worker {
    catalog: Arc<Catalog>,
    health: Arc<Health>,
    counters: Arc<Counters>,
    compaction: Arc<Wanted>,
    checkpointing: Arc<AtomicBool>,
}

impl Worker {
    fn run(&self, orders: &Receiver<()>) {
        let _guard = PoisonOnPanic(&self.health);
        while orders.recv().is_ok() {
            self.checkpoint();
            self.checkpointing.store(false, Ordering::Release);
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
            Ok(()) => {
                add(&self.counters.checkpoints, 1);
                self.compaction.wake();
            }
            Err(CheckpointError::Full) => add(&self.counters.checkpoint_failures, 1),
            Err(CheckpointError::Failed(error)) => {
                self.health.poison(&format!("a checkpoint failed: {error}"));
            }
        }
    }
}
