//! Mutual TLS of a node: which certificate it shows, whose certificate it accepts, and for how long.
//!
//! ```text
//! directory ──poll──► load + verify ──publish──► CredentialsReceiver ──┬──► ServerTls ──► handshake ──► Connection
//! tls.crt tls.key ca.crt               (watch)                         └──► ClientTls ──►    │            + guard
//!                                                                                           judge (Trust)    │
//! dynamic configuration ──► AllowedPeers, Partners (watch) ──────────────────────────────────┴──── re-judge ─┘
//! ```
//!
//! - [`reload`] is the only writer: what it publishes has been verified, and a bad file never replaces a good one.
//! - [`trust`] alone decides. A handshake and an open connection ask the same function, so a connection is closed for
//!   exactly the reasons for which it would not be opened.
//! - Roots of a partner and the names that it may speak for are one value ([`Partner`]): P2P alone has any.
//! - A TLS configuration lives for one handshake: nothing can be stale and nothing can be resumed. (A resumed session
//!   would be served without a decision.)

mod certificate;
mod client;
mod config;
mod credentials;
mod guard;
mod partners;
mod refusal;
pub mod reload;
mod roots;
mod server;
pub mod trial;
pub mod trust;

pub use certificate::{Leaf, LeafError};
pub use client::{ClientTls, ConnectError};
pub use config::HANDSHAKE_TIMEOUT;
pub use credentials::{Credentials, CredentialsError, Expectation, Usage};
pub use guard::{CloseReason, ConnectionGuard};
pub use partners::{Partner, Partners, Scope, ScopeError};
pub use refusal::{ChainProblem, Refusal};
pub use reload::{CredentialsPublisher, CredentialsReceiver, ReloadFailure, Snapshot};
pub use roots::{Roots, RootsError};
pub use server::{AcceptError, Connection, ServerTls};
pub use trust::{AllowedPeers, Peer, Trust};
