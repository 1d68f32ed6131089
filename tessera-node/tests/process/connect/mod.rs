//! `tessera-node connect`: a ledger's sidecar before a real node.

mod bounds;
mod carries;
mod certificates;
mod fails;
mod sidecar;
