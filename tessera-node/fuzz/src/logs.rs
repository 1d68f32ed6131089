//! The part of the node's `logs` that its configuration names.

#[allow(dead_code, missing_docs)]
#[path = "../../log-shipping/src/endpoint.rs"]
mod endpoint;

pub use endpoint::{Collector, Endpoint};
