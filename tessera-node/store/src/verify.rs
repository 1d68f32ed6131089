//! Reads a whole log without its index, and changes nothing: for a store that no node has open.
//!
//! What counts as damage, and what as a torn write of a batch that was never acknowledged, is as in `recover.rs`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::discover::{self, Found as Files, segment_error};
use crate::disk::{Disk, RealDisk};
use crate::error::OpenError;
use crate::location::{Key, Location, State};
use crate::log::Log;
use crate::record::Operation;
use crate::scan::{Found, Scan};
use crate::segment::{SEGMENT_HEADER_BYTES, Segment};
use crate::types::{Hash, Kind, Value};

/// Damaged records are named up to this number.
const MAX_NAMED: usize = 10_000;

/// What is in a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Segment files, and their bytes.
    pub segments: u64,
    /// See `segments`.
    pub bytes: u64,
    /// Records that are whole, superseded ones included.
    pub records: u64,
    /// Records that are damaged and not superseded, each once; at most 10,000 of them.
    pub damaged: BTreeSet<(Kind, Hash)>,
    /// Records that are gone with their names, and segments that are shorter than they were made.
    pub lost: u64,
    /// Bad records at the end of the log: of a batch that was never acknowledged, which the next start removes.
    pub torn: u64,
}

impl Verified {
    /// Whether every record that was acknowledged is there and whole.
    pub fn is_sound(&self) -> bool {
        self.damaged.is_empty() && self.lost == 0
    }
}

/// Reads every record of the log in `dir`. `is_right` looks at the content of a whole one; one that it refuses counts as damaged.
/// Takes the directory's lock, so it fails beside a node that serves.
pub fn verify(dir: &Path, is_right: impl FnMut(Kind, &Hash, Value) -> bool) -> Result<Verified, OpenError> {
    let disk = Arc::new(RealDisk::lock_existing(dir)?);
    verify_on(&(disk as Arc<dyn Disk>), is_right)
}

/// As [`verify`], on another file layer.
pub fn verify_on(
    disk: &Arc<dyn Disk>,
    is_right: impl FnMut(Kind, &Hash, Value) -> bool,
) -> Result<Verified, OpenError> {
    let Files { segments, notes, identity, .. } = discover::read(disk)?;
    if segments.is_empty() {
        return Ok(Verified::default());
    }
    let identity = identity.ok_or(OpenError::NoReadableHeader)?;
    let log = Log::new(identity.tag, segments.clone());
    let mut reader = Reader { log: &log, is_right, next: 1, verified: Verified::default() };
    let mut waiting: Option<(&Arc<Segment>, Vec<Found>)> = None;
    for segment in segments.values() {
        reader.count(segment);
        let note = notes.get(&segment.id);
        let found = reader.scan(segment)?;
        let first = found.first().map(|found| found.header.batch_start());
        let Some(restart) = note.map(|note| note.sequences.start).or(first) else { continue };
        if let Some((segment, found)) = waiting.take() {
            // What uses numbers that the next segment uses again was never acknowledged.
            reader.settle(segment, &found, restart, u64::MAX);
        }
        if let Some(note) = note {
            reader.expect(note.sequences.start);
            reader.next = reader.next.max(note.sequences.end);
        }
        waiting = Some((segment, found));
    }
    if let Some((segment, found)) = waiting {
        let proved = found.iter().map(|found| found.header.batch_start()).fold(reader.next, u64::max);
        reader.settle(segment, &found, u64::MAX, if segment.truncated { u64::MAX } else { proved });
    }
    Ok(reader.verified)
}

struct Reader<'a, F> {
    log: &'a Log,
    is_right: F,
    /// The sequence number that follows.
    next: u64,
    verified: Verified,
}

impl<F: FnMut(Kind, &Hash, Value) -> bool> Reader<'_, F> {
    fn count(&mut self, segment: &Segment) {
        self.verified.segments += 1;
        self.verified.bytes += segment.size;
        self.verified.lost += u64::from(segment.truncated);
    }

    fn scan(&self, segment: &Arc<Segment>) -> Result<Vec<Found>, OpenError> {
        let mut scan = Scan::new(Arc::clone(segment), self.log.tag(), SEGMENT_HEADER_BYTES, segment.size);
        let mut all = Vec::new();
        while let Some(found) = scan.next().map_err(|source| segment_error(segment.id, source))? {
            all.push(found);
        }
        Ok(all)
    }

    /// Reads the records of a segment that are before `restart`; those from `proved` on may be torn.
    fn settle(&mut self, segment: &Segment, all: &[Found], restart: u64, proved: u64) {
        for found in all {
            let sequence = found.header.sequence;
            let put = found.header.operation == Operation::Put;
            if sequence < self.next || (put && sequence >= restart) {
                continue;
            }
            self.expect(sequence.min(proved));
            if sequence > self.next || (!found.intact && sequence >= proved) {
                self.verified.torn += 1;
                return;
            }
            if put {
                self.read(segment, found);
                self.next += 1;
            }
        }
    }

    /// All numbers before this one are in the log, or lost.
    fn expect(&mut self, sequence: u64) {
        self.verified.lost += sequence.saturating_sub(self.next);
        self.next = self.next.max(sequence);
    }

    fn read(&mut self, segment: &Segment, found: &Found) {
        let key = Key { kind: found.header.kind, hash: found.header.hash };
        let location = Location {
            segment: segment.id,
            offset: found.offset,
            sequence: found.header.sequence,
            bytes: u32::try_from(found.header.record_bytes()).unwrap_or(u32::MAX),
            state: if found.intact { State::Live } else { State::Damaged },
        };
        let stored = self.log.read(&key, &location);
        if stored.is_ok_and(|stored| (self.is_right)(key.kind, &key.hash, stored.value)) {
            self.verified.records += 1;
            // It supersedes what was damaged before.
            self.verified.damaged.remove(&(key.kind, key.hash));
        } else if self.verified.damaged.len() < MAX_NAMED {
            self.verified.damaged.insert((key.kind, key.hash));
        }
    }
}
