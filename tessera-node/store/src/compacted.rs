//! The note that a segment carries of the segments that compaction removed right before it.
//!
//! A log that is read without its index must tell a segment that was removed from one that was lost. So the next segment
//! names the numbers that are gone, of segments and of records, before the files go. The note lies behind each copy of the
//! segment's header, in the same sector; one copy is synced before the other is written, so that one is always whole. Bytes
//! that were zero before hold it: a program that does not know it opens the log, and counts the records as lost if it must
//! also rebuild the index.

use std::io;
use std::ops::Range;

use crate::disk::DiskFile;
use crate::record::{Tag, u32_at, u64_at};
use crate::segment::{COPIES_AT, COPY_BYTES};

const MAGIC: &[u8; 8] = b"COMPACT\0";
const NOTE_BYTES: usize = 64;
const CRC_AT: usize = NOTE_BYTES - 4;

/// The segments that were removed before a segment. Everything in them is superseded, or was written again behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Compacted {
    /// All segments from this one to the one that carries the note are gone.
    pub(crate) first_segment: u64,
    /// The sequence numbers of their records.
    pub(crate) sequences: Range<u64>,
}

impl Compacted {
    fn encode(&self, carrier: u64, tag: Tag) -> [u8; NOTE_BYTES] {
        let mut bytes = [0; NOTE_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        let fields = [tag.0, carrier, self.first_segment, self.sequences.start, self.sequences.end];
        for (chunk, field) in bytes[8..].chunks_exact_mut(8).zip(fields) {
            chunk.copy_from_slice(&field.to_le_bytes());
        }
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// None for anything that is not exactly a note of this segment of this store.
    fn decode(bytes: &[u8; NOTE_BYTES], carrier: u64, tag: Tag) -> Option<Self> {
        let whole = &bytes[..8] == MAGIC && crc32c::crc32c(&bytes[..CRC_AT]) == u32_at(bytes, CRC_AT);
        if !whole || u64_at(bytes, 8) != tag.0 || u64_at(bytes, 16) != carrier {
            return None;
        }
        let note = Self { first_segment: u64_at(bytes, 24), sequences: u64_at(bytes, 32)..u64_at(bytes, 40) };
        (note.first_segment < carrier && note.sequences.start <= note.sequences.end).then_some(note)
    }

    /// The note of segment `carrier`, if it has one.
    pub(crate) fn read(file: &dyn DiskFile, carrier: u64, tag: Tag) -> io::Result<Option<Self>> {
        let copies = copies(file, carrier, tag)?;
        Ok(copies.into_iter().find_map(|(_, note)| note))
    }

    /// Writes the note of segment `carrier` durably. The copy that is read last goes first: a write may fail half way.
    pub(crate) fn write(&self, file: &dyn DiskFile, carrier: u64, tag: Tag) -> io::Result<()> {
        let bytes = self.encode(carrier, tag);
        for (at, _) in copies(file, carrier, tag)?.into_iter().rev() {
            file.write_all_at(&bytes, at)?;
            file.sync_data()?;
        }
        Ok(())
    }
}

/// Both copies, the newest whole one first. A newer note starts earlier: it is about the segment before the older one's.
fn copies(file: &dyn DiskFile, carrier: u64, tag: Tag) -> io::Result<[(u64, Option<Compacted>); 2]> {
    let copy = |at| {
        let mut bytes = [0; NOTE_BYTES];
        match file.read_exact_at(&mut bytes, at) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok((at, None)),
            result => result?,
        }
        Ok::<_, io::Error>((at, Compacted::decode(&bytes, carrier, tag)))
    };
    let [first, second] = COPIES_AT.map(|at| at + COPY_BYTES as u64);
    let mut copies = [copy(first)?, copy(second)?];
    copies.sort_by_key(|(_, note)| note.as_ref().map_or(carrier, |note| note.first_segment));
    Ok(copies)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTE: Compacted = Compacted { first_segment: 3, sequences: 40..90 };

    #[test]
    fn a_note_is_read_only_from_its_own_segment_and_store() {
        let bytes = NOTE.encode(5, Tag(7));
        assert_eq!(Compacted::decode(&bytes, 5, Tag(7)), Some(NOTE));
        assert_eq!(Compacted::decode(&bytes, 6, Tag(7)), None);
        assert_eq!(Compacted::decode(&bytes, 5, Tag(8)), None);
        assert_eq!(Compacted::decode(&[0; NOTE_BYTES], 5, Tag(7)), None);
        for at in 0..NOTE_BYTES {
            let mut hurt = bytes;
            hurt[at] ^= 1;
            assert_eq!(Compacted::decode(&hurt, 5, Tag(7)), None, "{at}");
        }
    }
}
