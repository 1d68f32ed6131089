//! What callers put in and get out.

use std::fmt;

/// The hash that names a payload: SHA3-512 of its cipher text, as Tessera computes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; 64]);

impl Hash {
    /// Bytes of a hash.
    pub const LEN: usize = 64;

    /// Takes the bytes as they are.
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl From<[u8; 64]> for Hash {
    fn from(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }
}

impl TryFrom<&[u8]> for Hash {
    type Error = std::array::TryFromSliceError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self)
    }
}

/// The first bytes in hexadecimal: enough to find it in a log line.
impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8].iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("…")
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The name spaces of the store: one hash can name one record of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// An encoded payload that was distributed.
    Transaction = 1,
    /// A payload of `/storeraw` whose transaction has not been sent yet.
    Raw = 2,
}

/// What a record holds. The store does not interpret it.
#[derive(Clone, PartialEq, Eq)]
pub struct Value {
    /// Which codec wrote `body`; 0 where that has no meaning.
    pub codec: u8,
    /// When the payload was made, in milliseconds since the epoch, as the caller says.
    pub timestamp_ms: u64,
    /// The bytes to keep.
    pub body: Vec<u8>,
}

/// Sizes only: a body is a private payload.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value")
            .field("codec", &self.codec)
            .field("timestamp_ms", &self.timestamp_ms)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// A version of a record, for [`Store::compare_and_replace`](crate::Store::compare_and_replace).
///
/// Versions of one record only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub(crate) u64);

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What was put in.
    pub value: Value,
    /// Which version of the record this is.
    pub version: Version,
}

/// How an insert ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertOutcome {
    /// The record is new and durable.
    Inserted(Version),
    /// There is a record with this hash; it is durable and unchanged.
    AlreadyExists(Version),
}

/// How a compare-and-replace ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplaceOutcome {
    /// The new version is durable.
    Replaced(Version),
    /// Another write came first: read again and merge again.
    Changed {
        /// The version that is there.
        current: Version,
    },
    /// There is no such record.
    Absent,
}
