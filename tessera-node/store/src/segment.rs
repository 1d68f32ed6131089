//! Segments: the files of the log.
//!
//! A segment is made whole before it is used – space allocated, zeros written, synced, renamed to
//! its name, the directory synced – so that a commit later changes data blocks only: its
//! `fdatasync` has no journal to wait for and cannot run out of space.

use std::io;
use std::sync::Arc;

use crate::disk::{Disk, DiskFile};
use crate::files::{OpenFiles, file_name, unfinished_name};
use crate::record::{Tag, u32_at, u64_at};

/// Bytes before the first record: two copies of the header, one in each half of the block.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = 4096;

/// The format that is written, and the newest that is read.
pub const FORMAT: u32 = 1;

const MAGIC: &[u8; 8] = b"TESSLOG\0";
/// Bytes of a copy of the header; the note of a compaction lies behind each.
pub(crate) const COPY_BYTES: usize = 64;
const CRC_AT: usize = COPY_BYTES - 4;
pub(crate) const COPIES_AT: [u64; 2] = [0, SEGMENT_HEADER_BYTES / 2];

/// Zeros are written and synced in such pieces, so that commits beside them are not held up long.
const ZERO_PIECE: usize = 4 << 20;

/// Which store a segment is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uuid: [u8; 16],
    pub(crate) tag: Tag,
}

impl Identity {
    /// A new one.
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let mut uuid = [0; 16];
        getrandom::fill(&mut uuid)?;
        let mut tag = [0; 8];
        getrandom::fill(&mut tag)?;
        Ok(Self { uuid, tag: Tag(u64::from_le_bytes(tag)) })
    }
}

/// A segment of the log. Its file is opened when it is needed.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) id: u64,
    pub(crate) files: Arc<OpenFiles>,
    /// Where the file ends: no record reaches beyond.
    pub(crate) size: u64,
    /// Shorter than it was created: the records at its end are lost.
    pub(crate) truncated: bool,
}

impl Segment {
    /// The open file.
    pub(crate) fn file(&self) -> io::Result<Arc<dyn DiskFile>> {
        self.files.get(self.id)
    }
}

/// A segment whose file stays open: the one that is written to, and those after it.
#[derive(Debug, Clone)]
pub(crate) struct OpenSegment {
    pub(crate) segment: Arc<Segment>,
    pub(crate) file: Arc<dyn DiskFile>,
}

/// What is at the start of a segment file.
pub(crate) enum HeaderFound {
    Ours(Identity, u64),
    Newer(u32),
    Unreadable,
}

/// Creates a segment, durable and ready for records. Leaves nothing behind when it fails.
pub(crate) fn prepare(
    files: &Arc<OpenFiles>,
    id: u64,
    identity: Identity,
    size: u64,
) -> io::Result<OpenSegment> {
    let disk = &*files.disk;
    let unfinished = unfinished_name(id);
    // An earlier attempt may have failed to remove it, or to remove it durably: were only the renaming
    // below to survive a power cut, it would give that file the segment's name.
    match disk.remove(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => disk.sync_dir()?,
    }
    let file = disk.create(&unfinished)?;
    let finished = fill(&*file, id, identity, size)
        .and_then(|()| disk.rename(&unfinished, &file_name(id)))
        .and_then(|()| disk.sync_dir());
    if let Err(error) = finished {
        // Gives its space back, which is what there is too little of.
        let _ = disk.remove(&unfinished);
        return Err(error);
    }
    let segment = Segment { id, files: Arc::clone(files), size, truncated: false };
    Ok(OpenSegment { segment: Arc::new(segment), file })
}

/// Removes a file before its name is used again: were only the renaming that follows to survive a
/// power cut, it would give the old, unfinished file a segment's name.
pub(crate) fn remove_durably(disk: &dyn Disk, name: &str) -> io::Result<()> {
    disk.remove(name)?;
    disk.sync_dir()
}

fn fill(file: &dyn DiskFile, id: u64, identity: Identity, size: u64) -> io::Result<()> {
    file.allocate(size)?;
    let zeros = vec![0; ZERO_PIECE.min(usize::try_from(size).unwrap_or(ZERO_PIECE))];
    let mut at = 0;
    while at < size {
        let piece = zeros.len().min(usize::try_from(size - at).unwrap_or(ZERO_PIECE));
        file.write_all_at(&zeros[..piece], at)?;
        file.sync_data()?;
        at += piece as u64;
    }
    let header = encode(id, identity, size);
    for at in COPIES_AT {
        file.write_all_at(&header, at)?;
    }
    file.sync_data()
}

fn encode(id: u64, identity: Identity, size: u64) -> [u8; COPY_BYTES] {
    let mut bytes = [0; COPY_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    bytes[16..24].copy_from_slice(&id.to_le_bytes());
    bytes[24..32].copy_from_slice(&size.to_le_bytes());
    bytes[32..48].copy_from_slice(&identity.uuid);
    bytes[48..56].copy_from_slice(&identity.tag.0.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..CRC_AT]);
    bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Reads the header of segment `id`: whose it is and how large it was made.
pub(crate) fn read_header(file: &dyn DiskFile, id: u64) -> io::Result<HeaderFound> {
    for at in COPIES_AT {
        let mut bytes = [0; COPY_BYTES];
        match file.read_exact_at(&mut bytes, at) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
            result => result?,
        }
        let whole = crc32c::crc32c(&bytes[..CRC_AT]) == u32_at(&bytes, CRC_AT);
        if !whole || &bytes[..8] != MAGIC {
            continue;
        }
        let format = u32_at(&bytes, 8);
        if format > FORMAT {
            return Ok(HeaderFound::Newer(format));
        }
        // A copy under another number would bring old records back: it counts as unreadable.
        if u64_at(&bytes, 16) != id {
            continue;
        }
        let identity =
            Identity { uuid: bytes[32..48].try_into().expect("sixteen bytes"), tag: Tag(u64_at(&bytes, 48)) };
        return Ok(HeaderFound::Ours(identity, u64_at(&bytes, 24)));
    }
    Ok(HeaderFound::Unreadable)
}
