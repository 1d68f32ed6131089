//! The security checklist: fourteen lines, one file each, judged from facts. Pure.
//!
//! ```text
//! observe, probes ──► facts ──► lines of a node ──────► evidence ──► TesseraNode status
//!                          └──► lines of a network ───► evidence ──► TesseraNetwork status
//!                                     ▲ the worst of its nodes
//! ```
//!
//! No line says more than its facts: what nobody observed is at most Enforced, and a fact that is missing, too old or
//! contradicted makes a line Unknown or Violated, never Verified.

pub mod clear_text;
pub mod cluster;
pub mod enforce;
pub mod evidence;
pub mod facts;
pub mod finding;
mod fresh;
pub mod machines;
mod nodes;
pub mod nodes_proxy;
pub mod ssh;
pub mod statements;
pub mod store_facts;
pub mod store_paths;
pub mod stranger;
pub mod summary;

pub mod central_logging;
mod hardware_keys;
mod host_firewall;
mod immutable_upgrades;
mod key_rotation;
mod mutual_tls;
mod network_segment;
pub mod no_clear_text_credentials;
mod no_core_dumps;
mod no_remote_root;
mod offline_key_backup;
mod secret_store_access;
mod secret_store_isolation;
mod secret_store_tenancy;

use jiff::{SignedDuration, Timestamp};
use tessera_crds::checklist::Line;

use facts::{NetworkFacts, NodeFacts};
use finding::Finding;

/// How long evidence lasts, unless a line says otherwise.
const EVIDENCE_LASTS: SignedDuration = SignedDuration::from_hours(1);

/// A line that speaks of a node.
pub struct NodeLine {
    /// Which.
    pub id: Line,
    /// How long its evidence lasts.
    pub evidence_lasts: SignedDuration,
    /// What follows from the facts.
    pub judge: fn(&NodeFacts, Timestamp) -> Finding,
}

/// A line of a network: of its secret store, its namespace, or of all of its nodes.
pub struct NetworkLine {
    /// Which.
    pub id: Line,
    /// How long its evidence lasts.
    pub evidence_lasts: SignedDuration,
    /// What follows from the facts.
    pub judge: fn(&NetworkFacts<'_>, Timestamp) -> Finding,
}

/// The lines that speak of a node, in the checklist's order.
pub const NODE_LINES: [NodeLine; 8] = [
    network_segment::OF_NODE,
    mutual_tls::OF_NODE,
    key_rotation::OF_NODE,
    no_clear_text_credentials::OF_NODE,
    host_firewall::OF_NODE,
    central_logging::OF_NODE,
    no_core_dumps::OF_NODE,
    immutable_upgrades::OF_NODE,
];

/// All fourteen, in the checklist's order.
pub const NETWORK_LINES: [NetworkLine; 14] = [
    network_segment::OF_NETWORK,
    mutual_tls::OF_NETWORK,
    hardware_keys::OF_NETWORK,
    key_rotation::OF_NETWORK,
    offline_key_backup::OF_NETWORK,
    secret_store_isolation::OF_NETWORK,
    no_clear_text_credentials::OF_NETWORK,
    secret_store_tenancy::OF_NETWORK,
    host_firewall::OF_NETWORK,
    secret_store_access::OF_NETWORK,
    no_remote_root::OF_NETWORK,
    central_logging::OF_NETWORK,
    no_core_dumps::OF_NETWORK,
    immutable_upgrades::OF_NETWORK,
];

#[cfg(test)]
mod tests;
