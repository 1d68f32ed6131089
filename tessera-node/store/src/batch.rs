//! One batch: requests are decided in order, records encoded one after the other, answers held until the batch is durable.

use std::collections::HashMap;

use crate::answers::Answers;
use crate::catalog::Catalog;
use crate::error::{IndexError, WriteError};
use crate::location::{Key, Location, Progress, State};
use crate::queue::{Change, Request};
use crate::record::{Header, Tag, append, record_bytes};
use crate::types::{InsertOutcome, ReplaceOutcome, Value};

/// Limits of a batch. The rest goes into the next batch, so that the first request does not wait for all.
const MAX_BYTES: usize = 4 << 20;
const MAX_RECORDS: usize = 1024;

/// What is written and synced at once.
pub(crate) struct Batch<'a> {
    catalog: &'a Catalog,
    tag: Tag,
    segment: u64,
    start: u64,
    /// Bytes that the segment has left.
    free: u64,
    pub(crate) bytes: Vec<u8>,
    /// The last location of each key that the batch changes.
    pub(crate) locations: HashMap<Key, Location>,
    /// The durable records that it supersedes; no insert of a new record is among them.
    pub(crate) superseded: Vec<(Key, Location)>,
    /// As it will be when the batch is durable.
    pub(crate) progress: Progress,
    pub(crate) records: usize,
    answers: Answers,
}

/// The record as it is when a request is decided.
struct Current {
    location: Option<Location>,
    /// Written by this batch: durable only when the batch is.
    in_batch: bool,
}

impl<'a> Batch<'a> {
    /// An empty batch at the end of the log.
    pub(crate) fn new(catalog: &'a Catalog, tag: Tag, progress: Progress, free: u64) -> Self {
        Self {
            catalog,
            tag,
            segment: progress.end.segment,
            start: progress.end.offset,
            free,
            bytes: Vec::new(),
            locations: HashMap::new(),
            superseded: Vec::new(),
            progress,
            records: 0,
            answers: Answers::default(),
        }
    }

    /// Whether the record of a request still goes into this batch.
    pub(crate) fn takes(&self, request: &Request) -> bool {
        let bytes = record_bytes(request.change.body_bytes());
        let full = self.records == MAX_RECORDS || self.bytes.len() + bytes > MAX_BYTES;
        (self.records == 0 || !full) && (self.bytes.len() + bytes) as u64 <= self.free
    }

    /// Decides a request. An answer that does not depend on this batch is given at once.
    pub(crate) fn add(&mut self, request: Request) {
        let Request { key, change } = request;
        let current = match self.locations.get(&key) {
            Some(location) => Current { location: Some(*location), in_batch: true },
            None => match self.lookup(&key, &change) {
                Ok(location) => Current { location, in_batch: false },
                Err(error) => {
                    tracing::error!(%error, "the store's index cannot be read");
                    return change.fail(WriteError::Index);
                }
            },
        };
        self.decide(key, change, &current);
    }

    /// A copy is of a record that there was: the filter need not be asked.
    fn lookup(&self, key: &Key, change: &Change) -> Result<Option<Location>, IndexError> {
        if change.is_copy() { self.catalog.lookup(key) } else { self.catalog.lookup_for_write(key) }
    }

    fn decide(&mut self, key: Key, change: Change, current: &Current) {
        // An insert repairs a record that is known to be damaged.
        let taken = current.location.filter(|location| location.state == State::Live);
        match change {
            Change::Insert(value, completion) => {
                let outcome = match taken {
                    Some(location) => InsertOutcome::AlreadyExists(location.version()),
                    None => InsertOutcome::Inserted(self.put(key, &value, current).version()),
                };
                if current.in_batch || taken.is_none() {
                    self.answers.insert(completion, outcome);
                } else {
                    completion.complete(Ok(outcome));
                }
            }
            Change::CompareAndReplace(value, expected, completion) => {
                let (outcome, written) = match current.location {
                    None => (ReplaceOutcome::Absent, false),
                    Some(location) if location.version() == expected => {
                        let version = self.put(key, &value, current).version();
                        (ReplaceOutcome::Replaced(version), true)
                    }
                    Some(location) => (ReplaceOutcome::Changed { current: location.version() }, false),
                };
                if current.in_batch || written {
                    self.answers.replace(completion, outcome);
                } else {
                    completion.complete(Ok(outcome));
                }
            }
            Change::Copy(value, from, completion) => {
                let current_still = current.location == Some(from);
                if current_still {
                    self.put(key, &value, current);
                }
                if current_still || current.in_batch {
                    self.answers.copy(completion);
                } else {
                    completion.complete(Ok(()));
                }
            }
        }
    }

    /// Appends a record to the batch.
    fn put(&mut self, key: Key, value: &Value, current: &Current) -> Location {
        let bytes = u32::try_from(value.body.len()).expect("bodies are limited when queued");
        let header = Header {
            sequence: self.progress.sequence,
            batch_index: u32::try_from(self.records).expect("batches are limited"),
            ..Header::put(key.kind, key.hash, value, bytes)
        };
        let location = Location {
            segment: self.segment,
            offset: self.start + self.bytes.len() as u64,
            sequence: header.sequence,
            bytes: u32::try_from(header.record_bytes()).expect("bodies are limited when queued"),
            state: State::Live,
        };
        append(&mut self.bytes, &header, &value.body, self.tag);
        self.records += 1;
        self.progress = Catalog::count(self.progress, current.location, &location);
        self.progress.sequence += 1;
        self.progress.end.offset = self.start + self.bytes.len() as u64;
        self.locations.insert(key, location);
        if let Some(before) = current.location.filter(|_| !current.in_batch) {
            self.superseded.push((key, before));
        }
        location
    }

    /// What waits for this batch.
    pub(crate) fn into_answers(self) -> Answers {
        self.answers
    }
}
