//! The kinds, and the types that they are made of.

// The derives copy a `pub struct` into a function, where it is not reachable.
#![allow(unreachable_pub)]
// Doc comments are what `kubectl explain` prints, where backticks are noise.
#![allow(clippy::doc_markdown)]

pub mod attestation;
pub mod checklist;
pub mod client;
pub mod condition;
mod duration;
pub mod exposure;
pub mod images;
pub mod key;
pub mod key_backup;
pub mod logging;
pub mod name;
pub mod network;
pub mod node;
pub mod partner;
pub mod peer;
pub mod pki;
pub mod pod;
pub mod postgres;
mod rules;
mod schema;
pub mod secret_store;

/// The API group of all kinds.
pub const GROUP: &str = "tessera.rs";
/// The only served version.
pub const VERSION: &str = "v1alpha1";
