//! The part of the node's `peers` that its configuration names.

#[allow(dead_code, missing_docs)]
#[path = "../../src/peers/node_url.rs"]
mod node_url;

pub use node_url::{NodeUrl, NodeUrlError};
