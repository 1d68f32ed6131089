//! The queue of requests for the writer.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::WriteError;
use crate::location::{Key, Location};
use crate::pending::{Completion, Pending};
use crate::reservation::{BodyLimit, Reservation};
use crate::types::{InsertOutcome, ReplaceOutcome, Value, Version};

/// One call, with its completion.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) key: Key,
    pub(crate) change: Change,
}

/// What to do. The writer decides the outcome, one request after the other.
#[derive(Debug)]
pub(crate) enum Change {
    Insert(Value, Completion<InsertOutcome>),
    CompareAndReplace(Value, Version, Completion<ReplaceOutcome>),
    /// Compaction's: the record is written again if it is still the one at this location.
    Copy(Value, Location, Completion<()>),
}

impl Change {
    pub(crate) fn body_bytes(&self) -> usize {
        match self {
            Self::Insert(value, _) | Self::CompareAndReplace(value, ..) | Self::Copy(value, ..) => {
                value.body.len()
            }
        }
    }

    pub(crate) fn is_copy(&self) -> bool {
        matches!(self, Self::Copy(..))
    }

    pub(crate) fn fail(self, error: WriteError) {
        match self {
            Self::Insert(_, completion) => completion.complete(Err(error)),
            Self::CompareAndReplace(_, _, completion) => completion.complete(Err(error)),
            Self::Copy(_, _, completion) => completion.complete(Err(error)),
        }
    }
}

/// The queue between callers and the writer.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    filled: Condvar,
    bodies: BodyLimit,
}

#[derive(Debug, Default)]
struct Waiting {
    requests: VecDeque<Request>,
    /// Why further requests are refused.
    refused: Option<WriteError>,
    /// The writer sleeps until there is a request.
    writer_sleeps: bool,
}

impl Queue {
    /// A queue that refuses more than `limit_bytes` of bodies.
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self { waiting: Mutex::default(), filled: Condvar::new(), bodies: BodyLimit::new(limit_bytes) }
    }

    /// Reserves the bytes of a body.
    pub(crate) fn reserve(&self, bytes: usize) -> Result<Reservation, WriteError> {
        self.bodies.reserve(bytes)
    }

    /// Queues a copy. Its body does not count against the limit: the compactor waits for a few before it queues more.
    pub(crate) fn push_copy(&self, key: Key, value: Value, from: Location) -> Pending<()> {
        let (completion, pending) = Pending::queued(self.bodies.uncounted());
        self.push(Request { key, change: Change::Copy(value, from, completion) });
        pending
    }

    /// Queues a request, or fails it at once.
    pub(crate) fn push(&self, request: Request) {
        let mut waiting = self.lock();
        if let Some(error) = waiting.refused {
            drop(waiting);
            return request.change.fail(error);
        }
        waiting.requests.push_back(request);
        // A notification is a system call even when nobody waits, and a busy writer looks before it sleeps.
        let wake = std::mem::take(&mut waiting.writer_sleeps);
        drop(waiting);
        if wake {
            self.filled.notify_one();
        }
    }

    /// Whether the writer would sleep now.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().requests.is_empty()
    }

    /// Takes all requests; blocks while there is none. `None` when closed and empty.
    pub(crate) fn take(&self) -> Option<VecDeque<Request>> {
        let mut waiting = self.lock();
        while waiting.requests.is_empty() {
            if waiting.refused.is_some() {
                return None;
            }
            waiting.writer_sleeps = true;
            waiting = self.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.writer_sleeps = false;
        Some(std::mem::take(&mut waiting.requests))
    }

    /// Whether further requests are refused.
    pub(crate) fn is_refusing(&self) -> bool {
        self.lock().refused.is_some()
    }

    /// Refuses further requests; queued ones are still served.
    pub(crate) fn close(&self) {
        self.lock().refused.get_or_insert(WriteError::Closed);
        self.filled.notify_all();
    }

    /// Refuses further requests and fails the queued ones: the writer serves nothing after this.
    pub(crate) fn poison(&self) {
        let mut waiting = self.lock();
        waiting.refused = Some(WriteError::Poisoned);
        let requests = std::mem::take(&mut waiting.requests);
        drop(waiting);
        self.filled.notify_all();
        for request in requests {
            request.change.fail(WriteError::Poisoned);
        }
    }

    /// Single pushes and takes cannot panic half way.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
