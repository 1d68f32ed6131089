//! Records of the log.
//!
//! ```text
//!   HEAD │ body │ zeros to 8 │ TAIL          HEAD and TAIL: the same 112 bytes, but for the tag
//!
//!    0 tag        8 sequence     16 timestamp    24 body length   28 CRC32C of the body
//!   32 index in its batch    36 kind, operation, codec, 0     40 hash (64)
//!  104 zero     108 CRC32C of the bytes before
//! ```
//!
//! The header is there twice, so that one bad spot damages a body or a header, but never the name
//! of the record with it. The tag is random per store: a payload that looks like a record is not
//! taken for one when the scan looks for the next record behind damage.

use crate::types::{Hash, Kind, Value};

/// Bytes of HEAD, and of TAIL.
pub(crate) const HEADER_BYTES: usize = 112;

/// Records start at multiples of it.
pub(crate) const ALIGN: usize = 8;

const CRC_AT: usize = 108;

/// What a record does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// The hash has this body from now on.
    Put = 1,
    /// Everything before is durable. HEAD only; the next batch overwrites it.
    Marker = 3,
}

/// What HEAD and TAIL say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) sequence: u64,
    pub(crate) timestamp_ms: u64,
    pub(crate) body_bytes: u32,
    pub(crate) body_crc: u32,
    pub(crate) batch_index: u32,
    pub(crate) kind: Kind,
    pub(crate) operation: Operation,
    pub(crate) codec: u8,
    pub(crate) hash: Hash,
}

/// Which end of a record a header is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Head,
    Tail,
}

/// The random value that marks this store's headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag(pub(crate) u64);

impl Tag {
    fn bytes(self, end: End) -> [u8; 8] {
        match end {
            End::Head => self.0.to_le_bytes(),
            End::Tail => (!self.0).to_le_bytes(),
        }
    }

    /// Which end could start with these bytes.
    pub(crate) fn end_at(self, bytes: &[u8]) -> Option<End> {
        [End::Head, End::Tail].into_iter().find(|end| bytes.starts_with(&self.bytes(*end)))
    }
}

impl Header {
    /// The header of a put.
    pub(crate) fn put(kind: Kind, hash: Hash, value: &Value, body_bytes: u32) -> Self {
        Self {
            sequence: 0,
            timestamp_ms: value.timestamp_ms,
            body_bytes,
            body_crc: crc32c::crc32c(&value.body),
            batch_index: 0,
            kind,
            operation: Operation::Put,
            codec: value.codec,
            hash,
        }
    }

    /// "All before `sequence` is durable."
    pub(crate) fn marker(sequence: u64) -> Self {
        Self {
            sequence,
            timestamp_ms: 0,
            body_bytes: 0,
            body_crc: 0,
            batch_index: 0,
            kind: Kind::Transaction,
            operation: Operation::Marker,
            codec: 0,
            hash: Hash::new([0; Hash::LEN]),
        }
    }

    /// The first sequence number of the batch that this record was written in.
    pub(crate) fn batch_start(&self) -> u64 {
        self.sequence.saturating_sub(u64::from(self.batch_index))
    }

    /// Bytes of the whole record in the log.
    pub(crate) fn record_bytes(&self) -> u64 {
        match self.operation {
            Operation::Marker => HEADER_BYTES as u64,
            Operation::Put => record_bytes(self.body_bytes as usize) as u64,
        }
    }

    /// The bytes of HEAD or TAIL.
    pub(crate) fn encode(&self, tag: Tag, end: End) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&tag.bytes(end));
        bytes[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.timestamp_ms.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.body_crc.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.batch_index.to_le_bytes());
        bytes[36] = self.kind as u8;
        bytes[37] = self.operation as u8;
        bytes[38] = self.codec;
        bytes[40..104].copy_from_slice(self.hash.as_bytes());
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads HEAD or TAIL; `None` for anything that is not exactly that.
    pub(crate) fn decode(bytes: &[u8], tag: Tag) -> Option<(End, Self)> {
        let bytes: &[u8; HEADER_BYTES] = bytes.get(..HEADER_BYTES)?.try_into().ok()?;
        let end = tag.end_at(bytes)?;
        if crc32c::crc32c(&bytes[..CRC_AT]) != u32_at(bytes, CRC_AT) {
            return None;
        }
        let header = Self {
            sequence: u64_at(bytes, 8),
            timestamp_ms: u64_at(bytes, 16),
            body_bytes: u32_at(bytes, 24),
            body_crc: u32_at(bytes, 28),
            batch_index: u32_at(bytes, 32),
            kind: kind_of(bytes[36])?,
            operation: operation_of(bytes[37])?,
            codec: bytes[38],
            hash: Hash::try_from(&bytes[40..104]).ok()?,
        };
        Some((end, header))
    }
}

/// Bytes in the log of a record whose body has `body` bytes.
pub(crate) const fn record_bytes(body: usize) -> usize {
    2 * HEADER_BYTES + body.next_multiple_of(ALIGN)
}

/// Appends a whole record to `buffer`.
pub(crate) fn append(buffer: &mut Vec<u8>, header: &Header, body: &[u8], tag: Tag) {
    buffer.extend_from_slice(&header.encode(tag, End::Head));
    buffer.extend_from_slice(body);
    buffer.resize(buffer.len().next_multiple_of(ALIGN), 0);
    buffer.extend_from_slice(&header.encode(tag, End::Tail));
}

/// A parsed record: the header that is good, and whether the body fits it.
pub(crate) struct Parsed {
    pub(crate) header: Header,
    pub(crate) intact: bool,
}

/// Parses the bytes of exactly one record.
pub(crate) fn parse(bytes: &[u8], tag: Tag) -> Option<Parsed> {
    let tail_at = bytes.len().checked_sub(HEADER_BYTES)?;
    let header = [(0, End::Head), (tail_at, End::Tail)].into_iter().find_map(|(at, wanted)| {
        Header::decode(&bytes[at..], tag)
            .filter(|(end, _)| *end == wanted)
            .map(|(_, header)| header)
            .filter(|header| header.record_bytes() == bytes.len() as u64)
    })?;
    let body = bytes.get(HEADER_BYTES..HEADER_BYTES + header.body_bytes as usize)?;
    let intact = crc32c::crc32c(body) == header.body_crc;
    Some(Parsed { header, intact })
}

/// The number of a kind in files.
pub(crate) fn kind_of(byte: u8) -> Option<Kind> {
    [Kind::Transaction, Kind::Raw, Kind::AcceptedLoss].into_iter().find(|kind| *kind as u8 == byte)
}

fn operation_of(byte: u8) -> Option<Operation> {
    [Operation::Put, Operation::Marker].into_iter().find(|operation| *operation as u8 == byte)
}

/// The little-endian number at `at`; the caller knows that it is there.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// The little-endian number at `at`; the caller knows that it is there.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}
