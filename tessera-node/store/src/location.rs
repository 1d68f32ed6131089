//! Where records are in the log, and how far the log goes; as kept in memory and in the index.

use crate::record::{Tag, kind_of, u32_at, u64_at};
use crate::segment::{Identity, SEGMENT_HEADER_BYTES};
use crate::types::{Hash, Kind, Version};

/// The name of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) kind: Kind,
    pub(crate) hash: Hash,
}

impl Key {
    pub(crate) const BYTES: usize = 1 + Hash::LEN;

    pub(crate) fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0] = self.kind as u8;
        bytes[1..].copy_from_slice(self.hash.as_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        Some(Self { kind: kind_of(bytes[0])?, hash: Hash::try_from(&bytes[1..]).ok()? })
    }
}

/// What is known about the record at a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Live = 1,
    /// Its body was damaged when the log was replayed.
    Damaged = 2,
}

/// A position between two records of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
}

/// Where the last version of a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) sequence: u64,
    pub(crate) bytes: u32,
    pub(crate) state: State,
}

impl Location {
    pub(crate) const BYTES: usize = 29;

    pub(crate) fn version(&self) -> Version {
        Version(self.sequence)
    }

    pub(crate) fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.segment.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.offset.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[28] = self.state as u8;
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let state = [State::Live, State::Damaged].into_iter().find(|state| *state as u8 == bytes[28])?;
        Some(Self {
            segment: u64_at(bytes, 0),
            offset: u64_at(bytes, 8),
            sequence: u64_at(bytes, 16),
            bytes: u32_at(bytes, 24),
            state,
        })
    }
}

/// How far the log goes and what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Where the next record goes.
    pub(crate) end: Position,
    /// The next record's sequence number.
    pub(crate) sequence: u64,
    /// Live records, damaged ones included.
    pub(crate) records: u64,
    /// Records of those whose body was found damaged.
    pub(crate) damaged: u64,
    /// Records that are gone with their names.
    pub(crate) unidentified: u64,
}

impl Progress {
    const BYTES: usize = 48;

    /// Nothing written yet.
    pub(crate) const EMPTY: Self = Self {
        end: Position { segment: 1, offset: SEGMENT_HEADER_BYTES },
        sequence: 1,
        records: 0,
        damaged: 0,
        unidentified: 0,
    };

    pub(crate) fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let fields =
            [self.end.segment, self.end.offset, self.sequence, self.records, self.damaged, self.unidentified];
        for (chunk, field) in bytes.chunks_exact_mut(8).zip(fields) {
            chunk.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        Some(Self {
            end: Position { segment: u64_at(bytes, 0), offset: u64_at(bytes, 8) },
            sequence: u64_at(bytes, 16),
            records: u64_at(bytes, 24),
            damaged: u64_at(bytes, 32),
            unidentified: u64_at(bytes, 40),
        })
    }
}

impl Identity {
    const BYTES: usize = 24;

    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..16].copy_from_slice(&self.uuid);
        bytes[16..].copy_from_slice(&self.tag.0.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        Some(Self { uuid: bytes[..16].try_into().ok()?, tag: Tag(u64_at(bytes, 16)) })
    }
}
