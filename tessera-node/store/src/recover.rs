//! Opening: reads what the log holds and finds where it continues.
//!
//! Only the log after the index's checkpoint is read. What is bad in it is one of two things:
//!
//! - **A torn write**: the batch that was being written when the machine stopped. Nothing of it was
//!   acknowledged. The log ends before its first bad record and the rest is zeroed.
//! - **Damage**: a record that was durable and is bad now. It is kept, counted, and its reads fail.
//!
//! They are told apart by what proves durability. A batch is written only when the one before is
//! durable, and each record says where its batch starts; a marker is written behind a batch when it
//! is durable; a checkpoint covers durable records only. So everything before the *latest batch
//! start, marker or checkpoint* was durable: bad means damaged. What comes after is the last batch,
//! unmarked: bad means torn. (Were a batch acknowledged, its marker lost with the power *and* one
//! of its records damaged on disk at once, the log would end there.)
//!
//! Sequence numbers have no gaps, so a record whose both headers are bad is missed and counted: it
//! could be any hash, and from then on an unknown hash is "undecidable", not "no such record".

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::compacted::Compacted;
use crate::discover::{self, Found, Notes, Segments, segment_error};
use crate::disk::{Disk, is_full};
use crate::error::{IndexError, OpenError};
use crate::files::OpenFiles;
use crate::index::{CheckpointError, Index};
use crate::location::{Key, Location, Position, Progress, State};
use crate::record::{End, HEADER_BYTES, Header, Operation, Tag};
use crate::scan::{Found as Record, Scan};
use crate::segment::{Identity, OpenSegment, SEGMENT_HEADER_BYTES, Segment, prepare};

/// How many replayed records are kept in memory before they go to the index.
const REPLAYED_IN_MEMORY: usize = 100_000;

/// What opening found and made.
pub(crate) struct Opened {
    pub(crate) catalog: Catalog,
    pub(crate) segments: Segments,
    /// What the segments say of those that compaction removed before them.
    pub(crate) notes: Notes,
    /// The segment that the log continues in.
    pub(crate) current: OpenSegment,
    /// The empty segments after it, prepared ahead.
    pub(crate) ahead: VecDeque<OpenSegment>,
    pub(crate) files: Arc<OpenFiles>,
    pub(crate) replayed: u64,
}

/// Opens what is on the disk, or makes the first segment.
pub(crate) fn open(disk: &Arc<dyn Disk>, segment_bytes: u64) -> Result<Opened, OpenError> {
    let Found { files, mut segments, notes, identity: in_log } = discover::open(disk)?;
    let (index, identity, checkpoint) = open_index(disk, in_log, segments.is_empty())?;
    let catalog = Catalog::new(identity, index, checkpoint);

    let mut replay = Replay {
        catalog: &catalog,
        tag: identity.tag,
        notes: &notes,
        progress: checkpoint,
        marked: false,
        truncated: false,
        replayed: 0,
        waiting: 0,
        dirty: Vec::new(),
    };
    replay.run(&segments)?;
    replay.detect_truncation(&segments);
    replay.clean(&segments)?;
    let (mut progress, replayed, truncated) = (replay.progress, replay.replayed, replay.truncated);

    let mut ahead = if truncated { VecDeque::new() } else { writable_segments(&segments, progress)? };
    let current = if let Some(current) = ahead.pop_front() {
        current
    } else {
        let id = new_segment(&segments, progress);
        let current =
            prepare(&files, id, identity, segment_bytes).map_err(|source| segment_error(id, source))?;
        segments.insert(id, Arc::clone(&current.segment));
        progress.end = Position { segment: id, offset: SEGMENT_HEADER_BYTES };
        current
    };
    mark(&current, progress, identity.tag)?;
    catalog.publish([], &[], progress);
    Ok(Opened { catalog, segments, notes, current, ahead, files, replayed })
}

/// The index if it is of this log, else an empty one; and where the replay starts.
fn open_index(
    disk: &Arc<dyn Disk>,
    in_log: Option<Identity>,
    no_segments: bool,
) -> Result<(Index, Identity, Progress), OpenError> {
    let mut index = Index::open(Arc::clone(disk)).map_err(OpenError::Index)?;
    let checkpoint = index.checkpoint().unwrap_or_else(|error| {
        tracing::warn!(%error, "the store's index has no readable checkpoint");
        None
    });
    match (in_log, checkpoint) {
        (Some(log), Some((identity, progress))) if log == identity => Ok((index, identity, progress)),
        // Only the hashes of the records are known: their reads are errors.
        (None, Some((identity, progress))) => Ok((index, identity, progress)),
        (Some(log), _) => {
            // Also after a half-read checkpoint: an index without one may hold anything.
            drop(index);
            index = Index::recreate(Arc::clone(disk)).map_err(OpenError::Index)?;
            Ok((index, log, Progress::EMPTY))
        }
        (None, None) if no_segments => {
            let identity = Identity::random().map_err(OpenError::Random)?;
            Ok((index, identity, Progress::EMPTY))
        }
        (None, None) => Err(OpenError::NoReadableHeader),
    }
}

/// Reads the log after the checkpoint into the catalog.
struct Replay<'a> {
    catalog: &'a Catalog,
    tag: Tag,
    notes: &'a Notes,
    progress: Progress,
    /// Whether a marker is at the end of the log.
    marked: bool,
    /// Whether the log lost its end: it continues in a new segment, so that the loss stays in the past.
    truncated: bool,
    replayed: u64,
    /// Records in the catalog's memory.
    waiting: usize,
    /// Segments with bytes outside of records.
    dirty: Vec<u64>,
}

impl Replay<'_> {
    /// Replays segment by segment. A segment is settled when the next one with a record has been
    /// read, since that record proves everything before it durable.
    fn run(&mut self, segments: &Segments) -> Result<(), OpenError> {
        let start = self.progress.end;
        let mut last: Option<(&Arc<Segment>, Vec<Record>)> = None;
        for segment in segments.range(start.segment..).map(|(_, segment)| segment) {
            let from = if segment.id == start.segment { start.offset } else { SEGMENT_HEADER_BYTES };
            let found = self.scan(segment, from)?;
            let note = self.notes.get(&segment.id);
            let first = found.first().map(|found| found.header.batch_start());
            let Some(restart) = note.map(|note| note.sequences.start).or(first) else { continue };
            if let Some((segment, mut found)) = last.replace((segment, found)) {
                Self::drop_stale(segment, &mut found, restart);
                self.settle(segment, &found, u64::MAX)?;
            }
        }
        let Some((segment, found)) = last else {
            return Ok(());
        };
        // A crash does not truncate a finished segment: a bad record in a truncated one is damage, not a torn write.
        let durable = if segment.truncated { u64::MAX } else { self.durable_before(&found) };
        self.settle(segment, &found, durable)
    }

    fn scan(&mut self, segment: &Arc<Segment>, from: u64) -> Result<Vec<Record>, OpenError> {
        let error = |source| segment_error(segment.id, source);
        let mut scan = Scan::new(Arc::clone(segment), self.tag, from, segment.size);
        let mut all = Vec::new();
        while let Some(found) = scan.next().map_err(error)? {
            all.push(found);
        }
        if scan.dirty {
            self.dirty.push(segment.id);
        }
        if !all.is_empty() {
            // A killed process leaves unsynced records in the page cache. They are about to be
            // served, so they must be durable.
            segment.file().and_then(|file| file.sync_data()).map_err(error)?;
        }
        Ok(all)
    }

    /// Drops the records of a segment whose sequence numbers the next segment uses again, from
    /// `restart` on: they are of batches that failed, and were never acknowledged.
    fn drop_stale(segment: &Segment, found: &mut Vec<Record>, restart: u64) {
        let records = found.len();
        found.retain(|found| found.header.sequence < restart || found.header.operation == Operation::Marker);
        if found.len() < records {
            tracing::warn!(segment = segment.id, "the log segment ends with records of failed batches");
        }
    }

    /// The sequence number before which all was durable, as far as the last segment proves it.
    fn durable_before(&self, found: &[Record]) -> u64 {
        found.iter().map(|found| found.header.batch_start()).fold(self.progress.sequence, u64::max)
    }

    /// Takes the records of a segment into the catalog, up to the first torn one.
    fn settle(&mut self, segment: &Segment, all: &[Record], durable: u64) -> Result<(), OpenError> {
        if let Some(note) = self.notes.get(&segment.id) {
            self.pass_over(segment, note);
        }
        for found in all {
            let header = &found.header;
            if header.sequence < self.progress.sequence {
                // The last marker of a segment, or stale bytes.
                continue;
            }
            let lost = header.sequence.min(durable).saturating_sub(self.progress.sequence);
            self.progress.unidentified += lost;
            self.progress.sequence += lost;
            let torn =
                header.sequence > self.progress.sequence || (!found.intact && header.sequence >= durable);
            if torn {
                self.dirty.push(segment.id);
                break;
            }
            if header.operation == Operation::Marker {
                self.end_at(segment, found.offset, true);
            } else {
                self.take(segment, found).map_err(OpenError::Index)?;
                self.end_at(segment, found.end(), false);
            }
        }
        self.catalog.publish([], &[], self.progress);
        if self.waiting >= REPLAYED_IN_MEMORY {
            match self.catalog.checkpoint() {
                Ok(()) => self.waiting = 0,
                Err(CheckpointError::Full) => {}
                Err(CheckpointError::Failed(error)) => return Err(OpenError::Index(error)),
            }
        }
        Ok(())
    }

    /// The records that compaction removed are not lost; those before them that are missing are.
    fn pass_over(&mut self, segment: &Segment, note: &Compacted) {
        self.progress.unidentified += note.sequences.start.saturating_sub(self.progress.sequence);
        self.progress.sequence = self.progress.sequence.max(note.sequences.end);
        if self.progress.end.segment < segment.id {
            self.end_at(segment, SEGMENT_HEADER_BYTES, false);
        }
    }

    fn end_at(&mut self, segment: &Segment, offset: u64, marked: bool) {
        self.progress.end = Position { segment: segment.id, offset };
        self.marked = marked;
    }

    fn take(&mut self, segment: &Segment, found: &Record) -> Result<(), IndexError> {
        let header = &found.header;
        let key = Key { kind: header.kind, hash: header.hash };
        let location = Location {
            segment: segment.id,
            offset: found.offset,
            sequence: header.sequence,
            bytes: u32::try_from(header.record_bytes()).unwrap_or(u32::MAX),
            state: if found.intact { State::Live } else { State::Damaged },
        };
        let before = self.catalog.lookup(&key)?;
        self.progress = Catalog::count(self.progress, before, &location);
        self.progress.sequence += 1;
        let superseded = before.map(|before| (key, before));
        self.waiting = self.catalog.publish([(key, location)], superseded.as_slice(), self.progress);
        self.replayed += 1;
        Ok(())
    }

    /// Detects a file that ends before the log's end, and a file that is missing between others: the
    /// lost records are unknown. Skipping one sequence number makes a rebuilt index count the same loss.
    fn detect_truncation(&mut self, segments: &Segments) {
        let end = self.progress.end;
        let truncated = segments.get(&end.segment).map_or(self.progress != Progress::EMPTY, |segment| {
            segment.truncated && segment.size < end.offset + HEADER_BYTES as u64
        });
        let newest = segments.keys().last().copied().unwrap_or(end.segment);
        let later_lost =
            (end.segment + 1..=newest).any(|id| segments.get(&id).is_none_or(|segment| segment.truncated));
        if truncated || later_lost {
            tracing::error!(segment = end.segment, "the log was truncated; the lost records are unknown");
            self.progress.unidentified += 1;
            self.progress.sequence += 1;
            self.truncated = true;
        }
    }

    /// Zeroes the bytes after the end of the log, so that they are never taken for records.
    fn clean(&self, segments: &Segments) -> Result<(), OpenError> {
        let end = self.progress.end;
        let dirty = segments
            .range(end.segment..)
            .map(|(_, segment)| segment)
            .filter(|segment| !segment.truncated && self.dirty.contains(&segment.id));
        for segment in dirty {
            let from = match (segment.id == end.segment, self.marked) {
                (true, true) => end.offset + HEADER_BYTES as u64,
                (true, false) => end.offset,
                (false, _) => SEGMENT_HEADER_BYTES,
            };
            zero(segment, from).map_err(|source| segment_error(segment.id, source))?;
        }
        Ok(())
    }
}

/// The segment that takes the next record, and the empty ones after it. None if the log cannot continue
/// in its last segment.
fn writable_segments(segments: &Segments, progress: Progress) -> Result<VecDeque<OpenSegment>, OpenError> {
    let from_end = segments.range(progress.end.segment..);
    (progress.end.segment..)
        .zip(from_end)
        .map_while(|(id, (found, segment))| (*found == id && !segment.truncated).then_some(segment))
        .map(|segment| {
            let file = segment.file().map_err(|source| segment_error(segment.id, source))?;
            Ok(OpenSegment { segment: Arc::clone(segment), file })
        })
        .collect()
}

/// A segment number above all that the log ever had.
fn new_segment(segments: &Segments, progress: Progress) -> u64 {
    if segments.is_empty() && progress == Progress::EMPTY {
        return progress.end.segment;
    }
    segments.keys().last().copied().unwrap_or(0).max(progress.end.segment) + 1
}

/// Writes a marker: all replayed records are durable now.
fn mark(current: &OpenSegment, progress: Progress, tag: Tag) -> Result<(), OpenError> {
    let fits = progress.end.offset + HEADER_BYTES as u64 <= current.segment.size;
    if !fits || progress == Progress::EMPTY {
        return Ok(());
    }
    let marker = Header::marker(progress.sequence).encode(tag, End::Head);
    match current.file.write_all_at(&marker, progress.end.offset) {
        // Nothing depends on the marker, and a full volume must not keep the store from being read.
        Err(error) if is_full(&error) => Ok(()),
        written => written.map_err(|source| segment_error(current.segment.id, source)),
    }
}

/// Overwrites with zeros what is not zero, durably.
fn zero(segment: &Segment, from: u64) -> io::Result<()> {
    const PIECE: u64 = 256 << 10;
    let file = segment.file()?;
    let mut at = from;
    while at < segment.size {
        let piece = usize::try_from(PIECE.min(segment.size - at)).expect("a small number");
        let mut bytes = vec![0; piece];
        file.read_exact_at(&mut bytes, at)?;
        if bytes.iter().any(|byte| *byte != 0) {
            bytes.fill(0);
            file.write_all_at(&bytes, at)?;
        }
        at += piece as u64;
    }
    file.sync_data()
}
