//! What comes in: routes, wire formats, limits. No decision about a transaction is made here.
//!
//! ```text
//! accept ─► TLS ─► connection ─► router ─► client_api ─┐                     ┌─► reply
//! server.rs        limits,       a table   peer_api   ─┼─► transaction ──────┤
//!                  guard, panic  per API   admin, …   ─┘    Error ─► problem ┘
//! ```
//!
//! [`problem`] is the only place that knows an error's status.

pub(crate) mod body;
pub(crate) mod caller;
pub(crate) mod client_api;
pub(crate) mod common;
pub(crate) mod media;
pub(crate) mod members;
pub(crate) mod path;
pub(crate) mod peer_api;
pub(crate) mod problem;
pub(crate) mod reply;
pub(crate) mod resend_request;
pub(crate) mod router;
pub mod server;
pub(crate) mod wire;
