//! Finding the records of a segment, also behind damage.

use std::io;
use std::sync::Arc;

use crate::record::{ALIGN, End, HEADER_BYTES, Header, Operation, Tag, parse};
use crate::segment::Segment;

/// A record or marker that a scan found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) offset: u64,
    pub(crate) header: Header,
    /// Whether the body fits its checksum.
    pub(crate) intact: bool,
}

impl Found {
    /// Where the next record starts.
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.header.record_bytes()
    }
}

/// Walks a segment from one offset to another.
///
/// Where no record starts, the scan continues in steps of 8 bytes to the next good HEAD or TAIL;
/// a TAIL gives the record that ends there, even if its HEAD is damaged.
#[derive(Debug)]
pub(crate) struct Scan {
    window: Window,
    tag: Tag,
    at: u64,
    /// Records do not start before the end of the one found last.
    floor: u64,
    end: u64,
    /// Whether bytes that are not zero lie outside of records.
    pub(crate) dirty: bool,
}

impl Scan {
    pub(crate) fn new(segment: Arc<Segment>, tag: Tag, from: u64, to: u64) -> Self {
        let end = to.min(segment.size);
        Self { window: Window::new(segment, end), tag, at: from, floor: from, end, dirty: false }
    }

    /// The next record or marker.
    pub(crate) fn next(&mut self) -> io::Result<Option<Found>> {
        while self.at + HEADER_BYTES as u64 <= self.end {
            let bytes = self.window.bytes(self.at, HEADER_BYTES)?;
            let found = match Header::decode(bytes, self.tag) {
                Some((End::Head, header)) => self.found_at(self.at, header)?,
                Some((End::Tail, header)) => self.found_by_tail(header)?,
                None => None,
            };
            if let Some(found) = found {
                self.at = found.end();
                self.floor = self.at;
                return Ok(Some(found));
            }
            self.dirty |= self.window.bytes(self.at, ALIGN)?.iter().any(|b| *b != 0);
            self.at = self.next_tag(self.at + ALIGN as u64)?;
        }
        Ok(None)
    }

    /// The whole record at `offset`, if it lies between floor and end.
    fn found_at(&mut self, offset: u64, header: Header) -> io::Result<Option<Found>> {
        let bytes = header.record_bytes();
        if offset < self.floor {
            return Ok(None);
        }
        if offset + bytes > self.end {
            // Cut off with the file; its hash at least is known.
            let truncated = self.window.segment.truncated;
            return Ok(truncated.then_some(Found { offset, header, intact: false }));
        }
        let intact = match (header.operation, usize::try_from(bytes)) {
            (Operation::Marker, _) => true,
            (_, Ok(bytes)) => {
                let bytes = self.window.bytes(offset, bytes)?;
                parse(bytes, self.tag).is_some_and(|parsed| parsed.intact)
            }
            (_, Err(_)) => false,
        };
        Ok(Some(Found { offset, header, intact }))
    }

    fn found_by_tail(&mut self, header: Header) -> io::Result<Option<Found>> {
        let end = self.at + HEADER_BYTES as u64;
        match end.checked_sub(header.record_bytes()) {
            Some(offset) if header.operation != Operation::Marker => self.found_at(offset, header),
            _ => Ok(None),
        }
    }

    /// The next offset from `at` on where a header may start.
    fn next_tag(&mut self, mut at: u64) -> io::Result<u64> {
        while at + HEADER_BYTES as u64 <= self.end {
            let bytes = self.window.rest(at)?;
            let tag = self.tag;
            let position = bytes.chunks_exact(ALIGN).position(|chunk| tag.end_at(chunk).is_some());
            let skipped = position.map_or(bytes.len(), |chunks| chunks * ALIGN);
            self.dirty |= bytes[..skipped].iter().any(|byte| *byte != 0);
            if position.is_some() {
                return Ok(at + skipped as u64);
            }
            at += (skipped - skipped % ALIGN).max(ALIGN) as u64;
        }
        Ok(self.end)
    }
}

/// A moving window over a segment.
#[derive(Debug)]
struct Window {
    segment: Arc<Segment>,
    end: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    const BYTES: usize = 256 << 10;

    fn new(segment: Arc<Segment>, end: u64) -> Self {
        Self { segment, end, start: 0, bytes: Vec::new() }
    }

    /// `len` bytes at `at`; the caller knows that they lie before the end.
    fn bytes(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        if self.held(at) < len {
            self.load(at, len)?;
        }
        let from = self.index(at);
        Ok(&self.bytes[from..from + len])
    }

    /// What can be had at `at` without reading twice: at least a header's worth.
    fn rest(&mut self, at: u64) -> io::Result<&[u8]> {
        if self.held(at) < HEADER_BYTES {
            self.load(at, HEADER_BYTES)?;
        }
        let from = self.index(at);
        Ok(&self.bytes[from..])
    }

    fn index(&self, at: u64) -> usize {
        usize::try_from(at - self.start).expect("inside the window")
    }

    /// How many bytes from `at` on are in the window.
    fn held(&self, at: u64) -> usize {
        at.checked_sub(self.start)
            .and_then(|skipped| self.bytes.len().checked_sub(usize::try_from(skipped).ok()?))
            .unwrap_or(0)
    }

    fn load(&mut self, at: u64, len: usize) -> io::Result<()> {
        let left = usize::try_from(self.end - at).unwrap_or(usize::MAX);
        self.bytes.clear();
        self.bytes.resize(len.max(Self::BYTES).min(left), 0);
        self.start = at;
        self.segment.file()?.read_exact_at(&mut self.bytes, at)
    }
}
