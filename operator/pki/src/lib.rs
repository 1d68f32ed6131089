//! The operator's built-in certificate authorities: issue, inspect, decide. Pure: no Kubernetes types, no IO, no clock.
//!
//! ```text
//!             CaState  (one Secret per network, in the operator's namespace)
//!              │    │
//!     network CA    admin CA
//!       │    │       │     │
//!   node  client  node    operator      LeafSpec ──► Ca::issue ──► Leaf (PEM)
//!   P2P    Q2T    admin   admin                                      │
//!   Q2T  metrics  server  client         policy::must_issue ◄── Certificate::parse
//!   metrics
//! ```
//!
//! The two authorities are strangers: what the network CA signs opens no admin port, and what the admin CA signs is
//! no peer. Which of them an operation uses is the caller's choice and shows in its code.
//!
//! What may not happen here: reading the time or the API server, and printing a private key. Time is a parameter, and
//! [`PrivateKeyPem`] has no `Debug` or `Display`.

mod authority;
mod ca;
mod error;
mod inspect;
mod key;
mod leaf;
pub mod policy;
pub mod renewal;
pub mod rollover;
mod state;
mod usage;

pub use authority::{Authority, Phase, Role, Rollover};
pub use ca::{Ca, CaSpec};
pub use error::CaError;
pub use inspect::{Certificate, InspectError};
pub use key::PrivateKeyPem;
pub use leaf::{Leaf, LeafSpec};
pub use state::{CaState, STATE_VERSION, StateError};
pub use usage::Usage;

/// How far certificates are backdated: a verifier whose clock lags this much still accepts a new one.
pub const BACKDATE: jiff::SignedDuration = jiff::SignedDuration::from_mins(2);
