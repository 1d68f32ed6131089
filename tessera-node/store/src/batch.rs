//! One batch: requests decided in order, records encoded behind each other, answers kept back.

use std::collections::HashMap;

use crate::catalog::Catalog;
use crate::error::WriteError;
use crate::pending::Completion;
use crate::place::{Key, Place, Progress, State};
use crate::queue::{Change, Request};
use crate::record::{Header, Tag, append, record_bytes};
use crate::types::{DeleteOutcome, InsertOutcome, ReplaceOutcome, Value};

/// More is left for the next batch, so that the first waits for no more than this.
const MAX_BYTES: usize = 4 << 20;
const MAX_RECORDS: usize = 1024;

type Answer = Box<dyn FnOnce(Result<(), WriteError>) + Send>;

/// What is written and synced at once.
pub(crate) struct Batch<'a> {
    catalog: &'a Catalog,
    tag: Tag,
    segment: u64,
    start: u64,
    /// Bytes that the segment has left.
    room: u64,
    pub(crate) bytes: Vec<u8>,
    /// The last place of each key that the batch changes.
    pub(crate) places: HashMap<Key, Place>,
    /// As it will be when the batch is durable.
    pub(crate) progress: Progress,
    pub(crate) records: usize,
    answers: Vec<Answer>,
}

/// What is there when a request is decided.
struct Current {
    place: Option<Place>,
    /// Written by this batch: known to be durable only when the batch is.
    in_batch: bool,
}

impl<'a> Batch<'a> {
    /// An empty batch at the end of the log.
    pub(crate) fn new(catalog: &'a Catalog, tag: Tag, progress: Progress, room: u64) -> Self {
        Self {
            catalog,
            tag,
            segment: progress.end.segment,
            start: progress.end.offset,
            room,
            bytes: Vec::new(),
            places: HashMap::new(),
            progress,
            records: 0,
            answers: Vec::new(),
        }
    }

    /// Whether the record of a request still goes into this batch.
    pub(crate) fn takes(&self, request: &Request) -> bool {
        let bytes = record_bytes(request.change.body_bytes());
        let full = self.records == MAX_RECORDS || self.bytes.len() + bytes > MAX_BYTES;
        (self.records == 0 || !full) && (self.bytes.len() + bytes) as u64 <= self.room
    }

    /// Decides a request. The answer leaves at once where it does not depend on this batch.
    pub(crate) fn add(&mut self, request: Request) {
        let Request { key, change } = request;
        let current = match self.places.get(&key) {
            Some(place) => {
                Current { place: Some(*place).filter(|place| !place.is_deleted()), in_batch: true }
            }
            None => match self.catalog.lookup(&key) {
                Ok(place) => Current { place, in_batch: false },
                Err(error) => {
                    tracing::error!(%error, "the store's index cannot be read");
                    return change.fail(WriteError::Index);
                }
            },
        };
        self.decide(key, change, &current);
    }

    fn decide(&mut self, key: Key, change: Change, current: &Current) {
        // A record that is known to be damaged is mended by whoever brings it again.
        let taken = current.place.filter(|place| place.state == State::Live);
        match change {
            Change::Insert(value, completion) => {
                let outcome = match taken {
                    Some(place) => InsertOutcome::AlreadyExists(place.version()),
                    None => InsertOutcome::Inserted(self.put(key, &value, current).version()),
                };
                self.answer(completion, outcome, current.in_batch || taken.is_none());
            }
            Change::Replace(value, completion) => {
                let version = self.put(key, &value, current).version();
                self.answer(completion, version, true);
            }
            Change::CompareAndReplace(value, expected, completion) => {
                let (outcome, written) = match current.place {
                    None => (ReplaceOutcome::Absent, false),
                    Some(place) if place.version() == expected => {
                        let version = self.put(key, &value, current).version();
                        (ReplaceOutcome::Replaced(version), true)
                    }
                    Some(place) => (ReplaceOutcome::Changed { current: place.version() }, false),
                };
                self.answer(completion, outcome, current.in_batch || written);
            }
            Change::Delete(completion) => {
                let there = current.place.is_some();
                let outcome = if there {
                    self.write(key, Header::delete(key.kind, key.hash), &[], State::Deleted, current);
                    DeleteOutcome::Deleted
                } else {
                    DeleteOutcome::Absent
                };
                self.answer(completion, outcome, current.in_batch || there);
            }
        }
    }

    fn put(&mut self, key: Key, value: &Value, current: &Current) -> Place {
        let bytes = u32::try_from(value.body.len()).expect("bodies are limited when queued");
        let header = Header::put(key.kind, key.hash, value, bytes);
        self.write(key, header, &value.body, State::Live, current)
    }

    /// Appends a record to the batch.
    fn write(&mut self, key: Key, header: Header, body: &[u8], state: State, current: &Current) -> Place {
        let header = Header {
            sequence: self.progress.sequence,
            batch_index: u32::try_from(self.records).expect("batches are limited"),
            ..header
        };
        let place = Place {
            segment: self.segment,
            offset: self.start + self.bytes.len() as u64,
            sequence: header.sequence,
            bytes: u32::try_from(header.record_bytes()).expect("bodies are limited when queued"),
            state,
        };
        append(&mut self.bytes, &header, body, self.tag);
        self.records += 1;
        self.progress = Catalog::count(self.progress, current.place, &place);
        self.progress.sequence += 1;
        self.progress.end.offset = self.start + self.bytes.len() as u64;
        self.places.insert(key, place);
        place
    }

    fn answer<T: Send + 'static>(&mut self, completion: Completion<T>, outcome: T, wait: bool) {
        if wait {
            self.answers.push(Box::new(move |written| completion.complete(written.map(|()| outcome))));
        } else {
            completion.complete(Ok(outcome));
        }
    }

    /// Answers everything that waited for this batch.
    pub(crate) fn finish(self, written: Result<(), WriteError>) {
        for answer in self.answers {
            answer(written);
        }
    }
}
