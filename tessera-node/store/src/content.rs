//! What a segment holds, read as a replay reads it.

use crate::scan::Found;
use crate::segment::SEGMENT_HEADER_BYTES;

#[derive(Debug, Default)]
pub(crate) struct Content {
    /// The first sequence number, and the one behind the last.
    pub(crate) sequences: Option<(u64, u64)>,
    /// Bytes of all records.
    pub(crate) bytes: u64,
    /// Bytes of the largest.
    pub(crate) largest: u64,
}

impl Content {
    /// Counts the next record of the segment. None: it is damaged and not superseded, or one before it is missing.
    pub(crate) fn add(&mut self, found: &Found, is_superseded: bool) -> Option<()> {
        let sequence = found.header.sequence;
        let (first, end) = match self.sequences {
            Some(sequences) => sequences,
            None if found.offset == SEGMENT_HEADER_BYTES => (sequence, sequence),
            None => return None,
        };
        if sequence < end {
            // Of a batch that failed, behind the one that took its place.
            return Some(());
        }
        if sequence > end || !(found.intact || is_superseded) {
            return None;
        }
        self.sequences = Some((first, end + 1));
        self.bytes += found.header.record_bytes();
        self.largest = self.largest.max(found.header.record_bytes());
        Some(())
    }
}
