//! What the node's tests have for their collector.

#![allow(dead_code, unreachable_pub, missing_docs)] // Its other users use more of it.

#[path = "../../../tessera-node/tests/support/ca.rs"]
pub mod ca;
#[path = "../../../tessera-node/tests/support/port.rs"]
pub mod port;

pub use port::Port;
