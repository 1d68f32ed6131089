//! Where a node's keys come from.
//!
//! ```text
//! keys.keyData ──► files ──┐
//!                          ├──► tessera_enclave::KeyPair
//! secret store ──► vault ──┘      (generated here when absent: one check-and-set write)
//! ```
//!
//! Whatever the source, the public key is recomputed from the private key, and a text that held a private key, a password
//! or a token is zeroed when it goes.

pub mod files;
mod secret;
pub mod text;
pub mod vault;

pub use files::{FileKeyError, KeyConfiguration, KeyData};
pub use secret::SecretText;
pub use vault::{KeepSample, Login, Retry, StoreState, VaultError, VaultKey, VaultKeys, WritePoint};
