//! The part of the node's `logs` that its configuration names.

#[allow(dead_code, missing_docs)]
#[path = "../../src/logs/endpoint.rs"]
mod endpoint;

pub use endpoint::Endpoint;
