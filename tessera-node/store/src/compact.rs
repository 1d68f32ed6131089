//! Compaction: gives the space of superseded records back, one segment at a time, beside everything else.
//!
//! ```text
//!   1 verify   every record of the segment is whole or superseded, no number is missing
//!   2 copy     what is current goes through the writer's queue, in steps ──► append, fdatasync, publish
//!   3 note     the next segment names the numbers that are gone            ──► fdatasync, for each of two copies
//!   4 remove   the file of the segment                                     ──► sync of the directory
//! ```
//!
//! Why in this order:
//!
//! - The writer decides about each copy as about a write: a record that was replaced meanwhile is not copied, so a copy never
//!   covers a newer version. It gives copies new sequence numbers, so a replay that meets both takes the copy.
//! - A copy is answered when it is durable *and* readable. The segment goes only when each of its current records was
//!   answered, and when the counts of [`crate::usage`] agree that nothing points into it.
//! - The note is durable before the file goes, since a log that misses a file without a note has lost it. A stop between
//!   the two leaves a file that a note covers: the next start removes it.
//! - Until its last step nothing needs to be undone: a stop before leaves some records twice.
//!
//! A read may hold the location of a record in a segment that goes. It finds no segment, asks for the location again, and
//! finds the copy: that was published before.
//!
//! The log has no deletes. A record is superseded only by a newer one of the same name, which the same rules keep, so that no
//! older version comes back. (A delete would be a record that must stay for as long as any older segment.)
//!
//! Only segments before the last checkpoint are taken, so that a replay with an index does not even pass what is gone. Not so
//! on a full disk: there the index may have no space for a checkpoint, and the notes are enough for the replay.
//!
//! A segment with a damaged record that is current is left alone: its bytes are what a repair may need, and a copy would bless
//! them. A damaged record that a newer one of the same name supersedes is dead as any other, so a repair frees the segment.
//!
//! What it costs others: a step is at most 256 KiB, or one record, and the compactor waits for its answers and for its rate
//! before the next. On a full disk it does not wait for the rate; the writer keeps a segment for it (see [`crate::ahead`]).

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use crate::catalog::Catalog;
use crate::compacted::Compacted;
use crate::compaction_wanted::{Ended, Pace, Reason, Wanted};
use crate::content::Content;
use crate::disk::is_full;
use crate::error::{ReadError, WriteError};
use crate::files::OpenFiles;
use crate::health::{Health, PoisonOnPanic};
use crate::location::{Key, Location, State};
use crate::log::Log;
use crate::pending::Pending;
use crate::queue::Queue;
use crate::record::{HEADER_BYTES, Header, Operation};
use crate::ruled_out::{self, Known};
use crate::scan::{Found, Scan};
use crate::segment::{SEGMENT_HEADER_BYTES, Segment};
use crate::stats::{Counters, add, subtract};

/// Bytes of records that are copied before the compactor waits.
const STEP_BYTES: u64 = 256 << 10;

/// A segment is worth it when this share of it is dead: each byte copied then gives at least one back.
const DEAD_SHARE: u64 = 2;

/// On a full disk, where nothing else gives space back.
const DEAD_SHARE_ON_FULL_DISK: u64 = 8;

/// What the compactor's thread needs.
#[derive(Debug)]
pub(crate) struct Compactor {
    pub(crate) wanted: Arc<Wanted>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) log: Arc<Log>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) health: Arc<Health>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) files: Arc<OpenFiles>,
    /// Bytes that may be read and copied in a second.
    pub(crate) bytes_per_second: u64,
    /// Bytes of a new segment.
    pub(crate) segment_bytes: u64,
    /// The notes of the segments that carry one.
    pub(crate) notes: BTreeMap<u64, Compacted>,
    /// Segments that a look into them ruled out: nothing in them changes but which records are current.
    pub(crate) known: BTreeMap<u64, Known>,
    /// The last failure of the index that was logged: on a full disk each refused write is another try.
    pub(crate) logged: Option<String>,
}

/// A segment to compact.
struct Candidate {
    segment: Arc<Segment>,
    live: u64,
    share: u64,
    next: Arc<Segment>,
    /// The first sequence number behind it.
    next_sequence: u64,
}

/// Why a compaction ended early.
enum Stop {
    /// The store is closed or poisoned.
    Ending,
    /// There is no space for the copies.
    NoSpace,
    /// Too little of the segment is dead.
    NotWorthIt,
    /// The segment stays as it is.
    Damaged(&'static str),
    /// The segment stays as it is until this record is repaired.
    DamagedRecord(Key),
    /// The index did not answer.
    NoIndex(String),
}

const A_RECORD: &str = "a record is damaged";
const DAMAGED: Stop = Stop::Damaged(A_RECORD);
const UNREADABLE: Stop = Stop::Damaged("the disk does not read all of it");

impl Compactor {
    /// Starts the thread; it ends with the writer.
    pub(crate) fn start(self) -> io::Result<JoinHandle<()>> {
        Builder::new().name("store-compactor".to_owned()).spawn(move || self.run())
    }

    fn run(mut self) {
        let health = Arc::clone(&self.health);
        let _guard = PoisonOnPanic(&health);
        let wanted = Arc::clone(&self.wanted);
        let mut no_space = false;
        while let Some(reason) = wanted.next() {
            if reason == Reason::Growth {
                no_space = false;
            }
            // Without space only a segment without live records can go.
            let max_live = if no_space { 0 } else { u64::MAX };
            no_space |= matches!(self.work(reason, max_live), Err(Stop::NoSpace));
        }
    }

    /// Compacts until no segment is worth it; on a full disk one segment, for callers to try again.
    fn work(&mut self, reason: Reason, max_live: u64) -> Result<(), Stop> {
        let repaired = ruled_out::forget_repaired(&mut self.known, &self.catalog);
        subtract(&self.counters.damaged_segments, repaired as u64);
        while let Some(candidate) = self.candidate(reason, max_live) {
            match self.compact(&candidate) {
                Ok(()) if reason == Reason::DiskFull => return Ok(()),
                Ok(()) | Err(Stop::NotWorthIt) => {}
                Err(Stop::Damaged(what)) => self.leave_alone(candidate.segment.id, what, Known::Damaged),
                Err(Stop::DamagedRecord(key)) => {
                    self.leave_alone(candidate.segment.id, A_RECORD, Known::DamagedRecord(key));
                }
                Err(Stop::NoIndex(error)) => {
                    if self.logged.as_ref() != Some(&error) {
                        tracing::warn!(segment = candidate.segment.id, error, "a compaction failed");
                        self.logged = Some(error);
                    }
                    return Ok(());
                }
                Err(stop) => return Err(stop),
            }
        }
        Ok(())
    }

    fn leave_alone(&mut self, segment: u64, what: &str, known: Known) {
        tracing::warn!(segment, what, "compaction leaves a log segment alone");
        self.known.insert(segment, known);
        add(&self.counters.damaged_segments, 1);
    }

    /// The segment with the fewest live bytes, if enough of it is dead.
    fn candidate(&self, reason: Reason, max_live: u64) -> Option<Candidate> {
        let (share, end) = match reason {
            Reason::Growth => (DEAD_SHARE, self.catalog.checkpointed_segment()),
            Reason::DiskFull => (DEAD_SHARE_ON_FULL_DISK, self.catalog.progress().end.segment),
        };
        let sealed = self.log.before(end);
        let mut worth = self.catalog.with_live(|live| {
            let live_in = |segment: &Arc<Segment>| live.get(&segment.id).copied().unwrap_or(0);
            sealed
                .into_iter()
                .filter(|segment| !segment.truncated)
                .map(|segment| (live_in(&segment), segment))
                .filter(|(live, segment)| *live <= max_live && self.is_worth_it(segment, *live, share))
                .collect::<Vec<_>>()
        })?;
        worth.sort_by_key(|(live, segment)| (*live, segment.id));
        worth.into_iter().find_map(|(live, segment)| {
            let (next, next_sequence) = self.next_of(&segment)?;
            Some(Candidate { segment, live, share, next, next_sequence })
        })
    }

    fn is_worth_it(&self, segment: &Segment, live: u64, share: u64) -> bool {
        let records = match self.known.get(&segment.id) {
            Some(Known::Damaged | Known::DamagedRecord(_)) => return false,
            Some(Known::Records(bytes)) => *bytes,
            None => segment.size - SEGMENT_HEADER_BYTES,
        };
        records.saturating_sub(live) >= segment.size / share
    }

    /// The segment behind another one, which takes the note, and where its sequence numbers start. None if it does not say.
    fn next_of(&self, segment: &Segment) -> Option<(Arc<Segment>, u64)> {
        let next = self.log.after(segment.id).filter(|next| !next.truncated)?;
        if let Some(note) = self.notes.get(&next.id) {
            return Some((next, note.sequences.start));
        }
        let mut head = [0; HEADER_BYTES];
        next.file().and_then(|file| file.read_exact_at(&mut head, SEGMENT_HEADER_BYTES)).ok()?;
        let (_, first) = Header::decode(&head, self.log.tag())?;
        (first.operation == Operation::Put).then_some((next, first.sequence))
    }

    fn compact(&mut self, candidate: &Candidate) -> Result<(), Stop> {
        let Candidate { segment, live, share, next, .. } = candidate;
        let content = self.verify(segment, candidate.next_sequence)?;
        let note = self.note(candidate, &content)?;
        if content.largest > self.segment_bytes - SEGMENT_HEADER_BYTES {
            // Written when segments were larger; no new one takes it.
            self.known.insert(segment.id, Known::Records(0));
            return Err(Stop::NotWorthIt);
        }
        // A segment without live records gives all of itself back, also one that no record was ever written to.
        if *live > 0 && content.bytes.saturating_sub(*live) < segment.size / share {
            self.known.insert(segment.id, Known::Records(content.bytes));
            return Err(Stop::NotWorthIt);
        }
        let copied = self.copy(segment)?;
        let left = self.catalog.with_live(|live| live.get(&segment.id).copied().unwrap_or(0));
        if left != Some(0) {
            return Err(Stop::Damaged("the index names records in it that are not there"));
        }
        self.remove(segment, next, note)?;
        let freed = segment.size.saturating_sub(copied);
        add(&self.counters.compactions, 1);
        add(&self.counters.reclaimed_bytes, freed);
        self.logged = None;
        tracing::info!(segment = segment.id, freed, copied, "compacted a log segment");
        Ok(())
    }

    /// Reads the records of a segment as a replay does, up to where the next one starts: all intact or superseded, no number missing.
    /// What else there is was never acknowledged: batches that failed half way, whose numbers were used again.
    fn verify(&self, segment: &Arc<Segment>, next_sequence: u64) -> Result<Content, Stop> {
        let mut scan = self.scan(segment);
        let mut content = Content::default();
        let mut pace = self.pace();
        while let Some(found) = scan.next().map_err(|_| UNREADABLE)? {
            if found.header.operation == Operation::Put {
                if found.header.sequence >= next_sequence {
                    break;
                }
                let key = Key { kind: found.header.kind, hash: found.header.hash };
                let is_superseded = !found.intact && self.is_superseded(&key, &found)?;
                let damaged = if found.intact || is_superseded { DAMAGED } else { Stop::DamagedRecord(key) };
                content.add(&found, is_superseded).ok_or(damaged)?;
            }
            pace.spend(found.header.record_bytes()).map_err(ending)?;
        }
        Ok(content)
    }

    /// Whether a newer record of the same name is whole, as far as the index knows.
    fn is_superseded(&self, key: &Key, found: &Found) -> Result<bool, Stop> {
        let location = self.catalog.lookup(key).map_err(|error| no_index(&error))?;
        Ok(location.is_some_and(|at| at.state == State::Live && at.sequence > found.header.sequence))
    }

    /// What the next segment will say. Its sequence numbers must follow, so that the note covers no loss.
    fn note(&self, candidate: &Candidate, content: &Content) -> Result<Compacted, Stop> {
        const GAP: Stop = Stop::Damaged("records are missing before or behind it");
        let (id, behind) = (candidate.segment.id, candidate.next_sequence);
        let before = self.notes.get(&id);
        let (first, end) = content.sequences.unwrap_or((behind, behind));
        if end != behind {
            return Err(GAP);
        }
        if before.is_some_and(|note| note.sequences.end != first) {
            return Err(GAP);
        }
        let end = self.notes.get(&candidate.next.id).map_or(behind, |note| note.sequences.end);
        Ok(Compacted {
            first_segment: before.map_or(id, |note| note.first_segment),
            sequences: before.map_or(first, |note| note.sequences.start)..end,
        })
    }

    /// Writes the current records of a segment again. Returns their bytes.
    fn copy(&self, segment: &Arc<Segment>) -> Result<u64, Stop> {
        let mut scan = self.scan(segment);
        let (mut pace, mut copied, mut step) = (self.pace(), 0, Step::default());
        while let Some(found) = scan.next().map_err(|_| UNREADABLE)? {
            pace.spend(found.header.record_bytes()).map_err(ending)?;
            let Some((key, location)) = self.current(segment, &found)? else { continue };
            let stored = self.log.read(&key, &location).map_err(|error| match error {
                ReadError::Corrupt { .. } => DAMAGED,
                _ => UNREADABLE,
            })?;
            step.add(self.queue.push_copy(key, stored.value, location), location.bytes);
            copied += u64::from(location.bytes);
            if step.bytes >= STEP_BYTES {
                let bytes = step.bytes;
                std::mem::take(&mut step).wait()?;
                pace.spend(bytes).map_err(ending)?;
            }
        }
        step.wait()?;
        Ok(copied)
    }

    /// The location of a record that was found in a segment, if it is the current one.
    fn current(&self, segment: &Segment, found: &Found) -> Result<Option<(Key, Location)>, Stop> {
        if found.header.operation != Operation::Put {
            return Ok(None);
        }
        let key = Key { kind: found.header.kind, hash: found.header.hash };
        let location = self.catalog.lookup(&key).map_err(|error| no_index(&error))?;
        let here = |at: &Location| at.segment == segment.id && at.offset == found.offset;
        match location.filter(here) {
            Some(location) if location.state != State::Live || !found.intact => Err(DAMAGED),
            location => Ok(location.map(|location| (key, location))),
        }
    }

    /// Notes that the segment is gone, then removes it.
    fn remove(&mut self, segment: &Segment, next: &Segment, note: Compacted) -> Result<(), Stop> {
        if self.health.is_ending() {
            return Err(Stop::Ending);
        }
        let written = next.file().and_then(|file| note.write(&*file, next.id, self.log.tag()));
        match written {
            Err(error) if is_full(&error) => return Err(Stop::NoSpace),
            written => written.map_err(|error| self.poison(next.id, &error))?,
        }
        self.notes.remove(&segment.id);
        self.notes.insert(next.id, note);
        self.log.remove(segment.id);
        self.catalog.forget_segment(segment.id);
        self.known.remove(&segment.id);
        let removed = self.files.remove(segment.id).and_then(|()| self.files.disk.sync_dir());
        removed.map_err(|error| self.poison(segment.id, &error))
    }

    /// As after a failed sync of a batch: what the disk holds is unknown.
    fn poison(&self, segment: u64, error: &io::Error) -> Stop {
        self.health.poison(&format!("the compaction of log segment {segment} failed: {error}"));
        Stop::Ending
    }

    fn scan(&self, segment: &Arc<Segment>) -> Scan {
        Scan::new(Arc::clone(segment), self.log.tag(), SEGMENT_HEADER_BYTES, segment.size)
    }

    fn pace(&self) -> Pace<'_> {
        Pace::new(&self.wanted, self.bytes_per_second)
    }
}

fn no_index(error: &dyn std::error::Error) -> Stop {
    Stop::NoIndex(error.to_string())
}

fn ending(_: Ended) -> Stop {
    Stop::Ending
}

/// Copies that wait for their answers.
#[derive(Default)]
struct Step {
    copies: Vec<Pending<()>>,
    bytes: u64,
}

impl Step {
    fn add(&mut self, copy: Pending<()>, bytes: u32) {
        self.copies.push(copy);
        self.bytes += u64::from(bytes);
    }

    fn wait(self) -> Result<(), Stop> {
        self.copies.into_iter().try_for_each(Pending::wait).map_err(|error| match error {
            WriteError::Full => Stop::NoSpace,
            WriteError::Poisoned | WriteError::Closed => Stop::Ending,
            error => no_index(&error),
        })
    }
}
