//! The node's log records, shipped to the network's collector as OTLP over HTTP (protobuf) and mutual TLS. Standard output has
//! them all the same.
//!
//! ```text
//! tracing ──► Layer ──► Queue (bounded in records and bytes) ──► Shipper ──batches──► collector
//!             never waits      full: the record is dropped, and counted       ▲
//!                                                            canary, each minute
//! ```
//!
//! - A record is accepted when the collector answers 2xx and rejects none of the request. That says nothing of storage: a
//!   collector may pass records on later, or lose them.
//! - The certificate is the node's own. Each batch is sent with the certificate that is in use then.
//! - What is filtered from standard output is filtered here, too: the filters stand before both.

mod canary;
mod collector;
mod endpoint;
mod layer;
mod queue;
mod reports;
mod shipper;

pub use endpoint::Endpoint;
pub(crate) use layer::Layer;
pub(crate) use queue::Queue;
pub(crate) use reports::Reports;
pub(crate) use shipper::Shipper;

use std::sync::{Arc, LazyLock};

/// The records of this process: there is one subscriber of `tracing`, whatever the number of nodes in it.
pub(crate) fn of_process() -> Arc<Queue> {
    static QUEUE: LazyLock<Arc<Queue>> = LazyLock::new(Arc::default);
    Arc::clone(&QUEUE)
}
