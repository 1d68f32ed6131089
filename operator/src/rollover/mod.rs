//! The change of a network's CAs: what was seen of all parties, and the next state of the authorities (crate `tessera-pki`
//! decides when a phase ends and makes the keys).
//!
//! ```text
//! spec.pki.ca, nodes, answers, Secrets ──► facts ──► next ──► the Secret with the CA state, by compare-and-swap
//!                                          [read]    [pure but for randomness]
//! ```

pub mod facts;
pub mod next;
pub mod status;
