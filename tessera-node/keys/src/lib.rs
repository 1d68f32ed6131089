//! Where a node's keys come from.
//!
//! ```text
//! keys.keyData ──► files ──┐
//!                          ├──► tessera_enclave::KeyPair
//! secret store ──► vault ──┘      (when absent, generated here, or adopted by `import`: one check-and-set write)
//! ```
//!
//! Whatever the source, the public key is recomputed from the private key, and a text that held a private key, a password
//! or a token is zeroed when it goes.

pub mod files;
pub mod import;
mod secret;
pub mod text;
pub mod vault;

pub use files::{FileKeyError, KeyConfiguration, KeyData};
pub use import::{ImportError, ImportPart};
pub use secret::SecretText;
pub use vault::{
    KeepSample, KeptSample, Login, Retry, SealBackup, SealedBackup, StoreState, StoredBackup, VaultError,
    VaultKey, VaultKeys, WritePoint,
};
