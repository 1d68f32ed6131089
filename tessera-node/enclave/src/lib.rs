//! The pure core of the transaction manager: keys, payload cryptography and the wire formats.
//!
//! ```text
//!            message ──seal──▶ EncodedPayload ──codec──▶ bytes on the wire or in the store
//!                                │        ▲
//!                    for_recipient        │ merge, own_message, security_hash
//!                                ▼        │
//!            message ◀──open── EncodedPayload ◀──codec── bytes
//! ```
//!
//! Everything here is a function of its arguments (and of the operating system's random source): no async, no sockets,
//! no files. Formats, constants and error texts are those of Java Tessera, because peers and clients see them; where a
//! text has capitals or an odd space, that is why.

pub mod base64;
pub mod codec;
pub mod hash;
pub mod key;
pub mod keyfile;
pub mod keyring;
pub mod merge;
pub mod open;
pub mod own_message;
pub mod payload;
pub mod raw;
pub mod recipients;
pub mod resend;
pub mod seal;
pub mod security_hash;

mod crypto;
mod java;
mod name;
mod secret;
#[cfg(test)]
mod testing;

pub use codec::PayloadCodec;
pub use crypto::CryptoError;
pub use hash::{SecurityHash, TxHash};
pub use key::{KeyPair, MasterKey, Nonce, PrivateKey, PrivateKeyError, PublicKey, SharedKey};
pub use keyring::KeyRing;
pub use name::NameError;
pub use payload::{EncodedPayload, PayloadParts, PrivacyMetadata, PrivacyMode};
pub use raw::RawTransaction;
pub use seal::SealBuffer;
pub use tessera_sys::ArenaError;
