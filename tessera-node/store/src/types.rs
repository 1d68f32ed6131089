//! What callers put in and get out.

use std::fmt;
use std::str::FromStr;

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

/// The identifier of a store: random, made when its first segment is created, and in each of its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoreId([u8; 16]);

impl StoreId {
    pub(crate) const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Under which a record about this store is kept in another one.
    pub(crate) fn record_hash(self) -> Hash {
        let mut bytes = [0; Hash::LEN];
        bytes[..16].copy_from_slice(&self.0);
        Hash::new(bytes)
    }
}

/// 32 lower-case hexadecimal digits.
impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text that is not a store's identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the identifier of a payload store: 32 lower-case hexadecimal digits")]
pub struct InvalidStoreId;

impl FromStr for StoreId {
    type Err = InvalidStoreId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        match u128::from_str_radix(text, 16) {
            Ok(number) if plain && text.len() == 32 => Ok(Self(number.to_be_bytes())),
            _ => Err(InvalidStoreId),
        }
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
    /// Another store whose loss was accepted; see [`Store::accept_loss_of`](crate::Store::accept_loss_of).
    AcceptedLoss = 3,
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

impl Version {
    /// The version that another kind of store numbers so.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The number of [`Self::from_number`].
    pub const fn number(self) -> u64 {
        self.0
    }
}

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
