//! The formats of payloads and party lists, and which of them a peer understands.

pub mod party_info;
pub mod versions;

mod binary;
mod cbor;
mod legacy;

use bytes::Bytes;

use crate::base64::Base64Error;
use crate::name::NameError;
use crate::payload::{EncodedPayload, PayloadError};

/// Items of one list. An item costs more memory than its bytes on the wire, so a list needs a bound of its own.
const MAX_ITEMS: usize = 1 << 14;

/// A format of the encrypted payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PayloadCodec {
    /// Length-prefixed fields. Every version reads it; some exchanges always use it.
    Legacy,
    /// One CBOR map of eleven entries. Read by peers that advertise API version 5.0.
    Cbor,
}

/// Bytes that are not what they should be.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
#[non_exhaustive]
pub enum DecodeError {
    /// A length or a count that Java could not hold.
    #[error("Invalid length {0}")]
    InvalidLength(i64),
    /// The input ends inside a value.
    #[error("input ends early: {needed} bytes announced, {left} left")]
    Truncated {
        /// What the length says.
        needed: usize,
        /// What there is.
        left: usize,
    },
    /// The fields contradict each other.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// Not CBOR, or CBOR of another shape.
    #[error("Unable to decode payload data. {0}")]
    Cbor(String),
    /// An entry that every payload has is not there.
    #[error("Unable to decode payload data. entry '{0}' is missing")]
    Missing(&'static str),
    /// A map key that should be a transaction hash is not base64.
    #[error(transparent)]
    Base64(#[from] Base64Error),
    /// A key or a hash that is longer than any.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A text that is not UTF-8.
    #[error("text is not UTF-8")]
    Utf8,
    /// A list with more items than any payload has.
    #[error("a list has more items than its input can mean, or than any payload has")]
    TooManyItems,
}

impl PayloadCodec {
    /// Writes a payload.
    pub fn encode(self, payload: &EncodedPayload) -> Vec<u8> {
        match self {
            Self::Legacy => legacy::encode(payload),
            Self::Cbor => cbor::encode(payload),
        }
    }

    /// Reads a payload. Its cipher text and boxes are slices of `input`: nothing long is copied.
    pub fn decode(self, input: &Bytes) -> Result<EncodedPayload, DecodeError> {
        match self {
            Self::Legacy => legacy::decode(input),
            Self::Cbor => cbor::decode(input),
        }
    }
}
