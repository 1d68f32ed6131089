//! Transaction hashes and security hashes.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha3::{Digest, Sha3_512};

use crate::base64;
use crate::name::{Name, NameError};

/// Length of SHA3-512. A name of fewer bytes is one that a peer invented, or of another digest.
const HASH_LEN: usize = 64;

/// A transaction's name: SHA3-512 of its cipher text. Decoded ones may be shorter; none of those is stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxHash(Name<HASH_LEN>);

impl TxHash {
    /// The name of a cipher text.
    pub fn of(cipher_text: &[u8]) -> Self {
        Self(<[u8; HASH_LEN]>::from(Sha3_512::digest(cipher_text)).into())
    }

    /// A hash received or stored: of at most 64 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NameError> {
        Name::new(bytes).map(Self).ok_or(NameError::LongHash(bytes.len()))
    }

    /// The hash as it is on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl FromStr for TxHash {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::from_bytes(&base64::decode_strict(text)?)
    }
}

impl fmt::Display for TxHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for TxHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for TxHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TxHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What binds a transaction to one that it affects; see [`crate::security_hash`].
#[derive(Clone, PartialEq, Eq)]
pub struct SecurityHash(Bytes);

impl SecurityHash {
    /// A hash received or stored.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }

    /// The hash as it is on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecurityHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&base64::display(&self.0), f)
    }
}
