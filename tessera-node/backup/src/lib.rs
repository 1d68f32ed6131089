//! Offline backups of keys: sealed to custodians, proven, and brought back.
//!
//! ```text
//! KeyPair ──seal──► age file for all custodians ──► backup file, kept offline
//!                                                        │ open, with a custodian's identity
//!    verify ◄── HMAC of the challenge ◄──────answer──────┤
//!    KeyPair ◄──open── age file for the node alone ◄─seal┘
//! ```
//!
//! `seal`, `open` and `answer` run in the node and in `kubectl tessera`: both sides of a backup are this crate. Everything here is a
//! function of its arguments (and of the operating system's random source). No error holds a byte of a key.

pub mod custody;
pub mod file;
pub mod identity;
pub mod recipients;
pub mod sealed;

pub use custody::{answer, verify};
pub use file::BackupFile;
pub use identity::{Identity, IdentityError};
pub use recipients::{RecipientError, Recipients};
pub use sealed::{SealedError, open, seal};
