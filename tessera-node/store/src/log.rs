//! The segments that are open, for readers and the writer.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use crate::error::ReadError;
use crate::location::{Key, Location, Position, State};
use crate::record::{HEADER_BYTES, Operation, Tag, parse};
use crate::segment::Segment;
use crate::types::{Stored, Value};

#[derive(Debug)]
pub(crate) struct Log {
    tag: Tag,
    segments: RwLock<BTreeMap<u64, Arc<Segment>>>,
}

impl Log {
    pub(crate) fn new(tag: Tag, segments: BTreeMap<u64, Arc<Segment>>) -> Self {
        Self { tag, segments: RwLock::new(segments) }
    }

    pub(crate) fn tag(&self) -> Tag {
        self.tag
    }

    pub(crate) fn add(&self, segment: Arc<Segment>) {
        self.segments.write().unwrap_or_else(PoisonError::into_inner).insert(segment.id, segment);
    }

    pub(crate) fn segment(&self, id: u64) -> Option<Arc<Segment>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// The segment after another one.
    pub(crate) fn after(&self, id: u64) -> Option<Arc<Segment>> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        segments.range(id + 1..).next().map(|(_, segment)| Arc::clone(segment))
    }

    /// All segments before one.
    pub(crate) fn before(&self, id: u64) -> Vec<Arc<Segment>> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        segments.range(..id).map(|(_, segment)| Arc::clone(segment)).collect()
    }

    /// Takes a segment out: no record of it is current.
    pub(crate) fn remove(&self, id: u64) {
        self.segments.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    pub(crate) fn count(&self) -> usize {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Bytes of the log up to `end`.
    pub(crate) fn bytes_before(&self, end: Position) -> u64 {
        self.segments
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .range(..end.segment)
            .map(|(_, segment)| segment.size)
            .sum::<u64>()
            + end.offset
    }

    /// The record at a location, or that it is damaged.
    pub(crate) fn read(&self, key: &Key, location: &Location) -> Result<Stored, ReadError> {
        let corrupt = || ReadError::Corrupt { kind: key.kind, hash: key.hash };
        if location.state != State::Live {
            return Err(corrupt());
        }
        // A missing segment, or one that ends before the record does, is damage as well.
        let segment = self
            .segment(location.segment)
            .filter(|segment| location.offset + u64::from(location.bytes) <= segment.size)
            .ok_or_else(corrupt)?;
        let mut bytes = vec![0; location.bytes as usize];
        match segment.file().and_then(|file| file.read_exact_at(&mut bytes, location.offset)) {
            Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound) => {
                return Err(corrupt());
            }
            Err(error) => {
                return Err(ReadError::Log { segment: location.segment, reason: error.kind() });
            }
            Ok(()) => {}
        }
        let header = parse(&bytes, self.tag)
            .filter(|parsed| parsed.intact)
            .map(|parsed| parsed.header)
            .filter(|header| {
                header.operation == Operation::Put
                    && header.sequence == location.sequence
                    && header.kind == key.kind
                    && header.hash == key.hash
            })
            .ok_or_else(corrupt)?;
        // The body may be large: it is moved to the front, not copied.
        bytes.truncate(HEADER_BYTES + header.body_bytes as usize);
        bytes.drain(..HEADER_BYTES);
        Ok(Stored {
            value: Value { codec: header.codec, timestamp_ms: header.timestamp_ms, body: bytes },
            version: location.version(),
        })
    }
}
