//! The formats of payloads, party lists and privacy groups, and which of them a peer understands.

pub mod party_info;
pub mod privacy_group;
pub mod versions;

mod binary;
mod cbor;
mod legacy;

use bytes::Bytes;

use crate::base64::Base64Error;
use crate::payload::{EncodedPayload, PayloadError};

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
    /// A map key that should be a transaction hash is not base64.
    #[error(transparent)]
    Base64(#[from] Base64Error),
    /// A text that is not UTF-8.
    #[error("text is not UTF-8")]
    Utf8,
    /// A name that the format does not have. Java's text.
    #[error("No enum constant {0}")]
    UnknownName(String),
}

impl PayloadCodec {
    /// The name that databases hold.
    pub fn name(self) -> &'static str {
        match self {
            Self::Legacy => "LEGACY",
            Self::Cbor => "CBOR",
        }
    }

    /// The codec of a database row; rows older than the column have none and are legacy.
    pub fn from_name(name: Option<&str>) -> Result<Self, DecodeError> {
        match name {
            None | Some("LEGACY") => Ok(Self::Legacy),
            Some("CBOR") => Ok(Self::Cbor),
            Some(other) => Err(DecodeError::UnknownName(format!(
                "com.quorum.tessera.enclave.EncodedPayloadCodec.{other}"
            ))),
        }
    }

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
