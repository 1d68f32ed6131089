//! The files of a log: opens its segments and removes what a stop left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use crate::compacted::Compacted;
use crate::disk::Disk;
use crate::error::OpenError;
use crate::files::{OpenFiles, file_name, id_of, is_unfinished};
use crate::segment::{FORMAT, HeaderFound, Identity, Segment, read_header, remove_durably};

pub(crate) type Segments = BTreeMap<u64, Arc<Segment>>;

/// By the segment that carries the note.
pub(crate) type Notes = BTreeMap<u64, Compacted>;

/// The files of a log.
pub(crate) struct Found {
    pub(crate) files: Arc<OpenFiles>,
    pub(crate) segments: Segments,
    pub(crate) notes: Notes,
    /// None: no segment has a readable header.
    pub(crate) identity: Option<Identity>,
}

/// Opens all segments and changes nothing: those that a note covers count as removed.
pub(crate) fn read(disk: &Arc<dyn Disk>) -> Result<Found, OpenError> {
    let mut found = open_segments(Arc::new(OpenFiles::new(Arc::clone(disk))))?;
    for id in found.notes.iter().flat_map(|(carrier, note)| found.covered(*carrier, note)).collect::<Vec<_>>()
    {
        found.segments.remove(&id);
        found.notes.remove(&id);
    }
    Ok(found)
}

impl Found {
    /// The segments that a note says are gone, and that are there.
    fn covered(&self, carrier: u64, note: &Compacted) -> Vec<u64> {
        self.segments.range(note.first_segment..carrier).map(|(id, _)| *id).collect()
    }
}

/// Opens all segments; their headers must name the same store.
pub(crate) fn open(disk: &Arc<dyn Disk>) -> Result<Found, OpenError> {
    remove_unfinished(&**disk)?;
    // A name that a killed process left may be in the cache only.
    disk.sync_dir().map_err(directory_error)?;
    let files = Arc::new(OpenFiles::new(Arc::clone(disk)));
    let mut found = open_segments(files)?;
    remove_compacted(&mut found)?;
    Ok(found)
}

/// Removes the files that a compaction was about to remove: their records are written again behind them.
fn remove_compacted(found: &mut Found) -> Result<(), OpenError> {
    let mut gone = BTreeSet::new();
    for (carrier, note) in &found.notes {
        let covered = found.covered(*carrier, note);
        if !covered.is_empty() {
            // A killed process may have left the note in the page cache only.
            let synced = found.segments[carrier].file().and_then(|file| file.sync_data());
            synced.map_err(|source| segment_error(*carrier, source))?;
        }
        gone.extend(covered);
    }
    for id in &gone {
        found.segments.remove(id);
        found.notes.remove(id);
        found.files.remove(*id).map_err(|source| segment_error(*id, source))?;
    }
    if gone.is_empty() { Ok(()) } else { found.files.disk.sync_dir().map_err(directory_error) }
}

/// Removes segments that were never finished: nothing was ever written to them.
fn remove_unfinished(disk: &dyn Disk) -> Result<(), OpenError> {
    for name in list(disk)?.iter().filter(|name| is_unfinished(name)) {
        remove_durably(disk, name).map_err(|source| OpenError::Segment { name: name.clone(), source })?;
    }
    Ok(())
}

fn list(disk: &dyn Disk) -> Result<Vec<String>, OpenError> {
    disk.list().map_err(directory_error)
}

fn open_segments(files: Arc<OpenFiles>) -> Result<Found, OpenError> {
    let ids: Vec<_> = list(&*files.disk)?.iter().filter_map(|name| id_of(name)).collect();
    let mut found = Found { files, segments: Segments::new(), notes: Notes::new(), identity: None };
    for id in ids {
        let (segment, header) = open_segment(&found.files, id)?;
        if let Some((identity, note)) = header {
            if identity != *found.identity.get_or_insert(identity) {
                return Err(OpenError::ForeignSegment { name: file_name(id) });
            }
            found.notes.extend(note.map(|note| (id, note)));
        }
        found.segments.insert(id, Arc::new(segment));
    }
    Ok(found)
}

/// What the block at a segment's start says.
type Header = (Identity, Option<Compacted>);

fn open_segment(files: &Arc<OpenFiles>, id: u64) -> Result<(Segment, Option<Header>), OpenError> {
    let error = |source| segment_error(id, source);
    let file = files.disk.open(&file_name(id)).map_err(error)?;
    let size = file.size().map_err(error)?;
    let (size, truncated, header) = match read_header(&*file, id).map_err(error)? {
        HeaderFound::Ours(identity, made) => {
            let note = Compacted::read(&*file, id, identity.tag).map_err(error)?;
            (size.min(made), size < made, Some((identity, note)))
        }
        HeaderFound::Newer(version) => {
            return Err(OpenError::Format { name: file_name(id), version, supported: FORMAT });
        }
        HeaderFound::Unreadable => {
            tracing::error!(segment = id, "a log segment has no readable header; reading what is in it");
            (size, true, None)
        }
    };
    let segment = Segment { id, files: Arc::clone(files), size, truncated };
    Ok((segment, header))
}

fn directory_error(source: io::Error) -> OpenError {
    OpenError::Names { source }
}

pub(crate) fn segment_error(id: u64, source: io::Error) -> OpenError {
    OpenError::Segment { name: file_name(id), source }
}
