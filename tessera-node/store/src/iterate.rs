//! Walking the log in order.

use std::sync::Arc;

use crate::catalog::Catalog;
use crate::error::ReadError;
use crate::log::Log;
use crate::place::{Key, Place, State};
use crate::record::Operation;
use crate::scan::{Found, Scan};
use crate::segment::{SEGMENT_HEADER_BYTES, Segment};
use crate::types::{Cursor, Entry};

/// The walk of [`Store::iterate`](crate::Store::iterate).
#[derive(Debug)]
pub struct Records {
    log: Arc<Log>,
    catalog: Arc<Catalog>,
    /// Where the log ended when the walk began.
    end: Cursor,
    at: Cursor,
    scan: Option<(u64, Scan)>,
    /// The sequence number of the record met last.
    last: Option<u64>,
    /// Found behind a gap that was reported first.
    held: Option<(u64, Found)>,
}

impl Records {
    pub(crate) fn new(log: Arc<Log>, catalog: Arc<Catalog>, after: Option<Cursor>) -> Self {
        let end = catalog.progress().end;
        let start = Cursor { segment: 0, offset: SEGMENT_HEADER_BYTES };
        Self {
            log,
            catalog,
            end,
            at: after.unwrap_or(start),
            // From the very start the first record must be number one.
            last: after.is_none().then_some(0),
            scan: None,
            held: None,
        }
    }

    /// The next record of the log, superseded or not.
    fn found(&mut self) -> Result<Option<(u64, Found)>, ReadError> {
        loop {
            let Some((segment, scan)) = &mut self.scan else {
                match self.segment() {
                    Some(segment) => self.open(segment),
                    None => return Ok(None),
                }
                continue;
            };
            let segment = *segment;
            match scan.next() {
                Ok(Some(found)) => return Ok(Some((segment, found))),
                result => {
                    self.scan = None;
                    self.at = Cursor { segment: segment + 1, offset: SEGMENT_HEADER_BYTES };
                    if let Err(error) = result {
                        return Err(ReadError::Log { segment, reason: error.kind() });
                    }
                }
            }
        }
    }

    /// The segment to go on in.
    fn segment(&self) -> Option<Arc<Segment>> {
        self.log.segment_from(self.at.segment).filter(|segment| segment.id <= self.end.segment)
    }

    fn open(&mut self, segment: Arc<Segment>) {
        let from = if segment.id == self.at.segment { self.at.offset } else { SEGMENT_HEADER_BYTES };
        let to = if segment.id == self.end.segment { self.end.offset } else { segment.size };
        let id = segment.id;
        self.scan = Some((id, Scan::new(segment, self.log.tag(), from, to)));
    }

    /// How many records are missing before this one.
    fn gap_before(&self, found: &Found) -> u64 {
        self.last.map_or(0, |last| found.header.sequence.saturating_sub(last.saturating_add(1)))
    }

    /// The entry, if this is the last version of a live record.
    fn entry(&self, segment: u64, found: &Found) -> Result<Option<Entry>, ReadError> {
        let header = &found.header;
        let key = Key { kind: header.kind, hash: header.hash };
        let current = self.catalog.lookup(&key)?;
        let Some(place) = current.filter(|place| place.sequence == header.sequence) else {
            return Ok(None);
        };
        let place = Place { state: if found.intact { place.state } else { State::Damaged }, ..place };
        Ok(Some(Entry {
            kind: key.kind,
            hash: key.hash,
            stored: self.log.read(&key, &place)?,
            cursor: Cursor { segment, offset: found.end() },
        }))
    }
}

impl Iterator for Records {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let next = match self.held.take() {
                Some(held) => Ok(Some(held)),
                None => self.found(),
            };
            let (segment, found) = match next {
                Ok(next) => next?,
                Err(error) => return Some(Err(error)),
            };
            if found.header.operation == Operation::Marker {
                continue;
            }
            let gap = self.gap_before(&found);
            self.last = Some(found.header.sequence);
            if gap > 0 {
                self.held = Some((segment, found));
                return Some(Err(ReadError::Unrecognisable { segment, records: gap }));
            }
            if let Some(item) = self.entry(segment, &found).transpose() {
                return Some(item);
            }
        }
    }
}
