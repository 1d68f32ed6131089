//! The log records of a process, shipped to a collector as OTLP over HTTP (protobuf) and mutual TLS. Standard output has them
//! all the same. Node and operator both ship theirs.
//!
//! ```text
//! tracing ──► Layer ──► Queue (bounded in records and bytes) ──► Shipper ──batches──► collector
//!             never waits      full: the record is dropped, and counted   ▲   ▲
//!                                                 canary, each minute ────┘   └── Source: which collector, which certificate
//! ```
//!
//! What goes to standard output is searched for credentials ([`search`]), which is no part of the shipping. A panic goes there, too
//! ([`log_panics`]).
//!
//! - A record is accepted when the collector answers 2xx and rejects none of the request. That says nothing of storage: a
//!   collector may pass records on later, or lose them.
//! - Each batch is sent with the certificate that is in use then.
//! - What is filtered from standard output is filtered here, too: the filters stand before both.

mod canary;
mod collector;
mod endpoint;
mod layer;
mod metrics;
mod panics;
mod queue;
mod reports;
pub mod search;
mod shipper;
mod source;

pub use canary::Origin;
pub use endpoint::{Collector, Endpoint};
pub use layer::Layer;
pub use metrics::Metrics;
pub use panics::log_panics;
pub use queue::Queue;
pub use reports::Reports;
pub use search::{LogSearch, Searched};
pub use shipper::Shipper;
pub use source::{Source, Target};
