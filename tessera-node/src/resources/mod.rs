//! What the process may use, derived once at start: memory from the container's limit, connections from that and from
//! the number of descriptors.
//!
//! ```text
//! memory limit ─┬─ 1/4 the process itself: code, keys, index cache, buffers of the runtime
//!               ├─ 1/4 connections: so many of 128 KiB each, shared evenly by P2P and the Q2T listeners
//!               └─ 1/2 requests and answers: MemoryBudget, of which one kind of listener may hold two thirds
//!
//! descriptors ──┬─ 3/8 connections, shared evenly by P2P and the Q2T listeners
//!               ├─ 1/8 handshakes, shared evenly by all listeners
//!               ├─ 1/4 connections to peers
//!               └─ 1/4 everything else: segments of the payload store, admin, metrics, probe, secret store
//! ```

mod budget;
mod memory_limit;

use rustix::process::{Resource, getrlimit};

pub(crate) use budget::{BudgetError, MemoryBudget, MemoryShare, Permit};

/// What one connection takes beside the budget: TLS and HTTP buffers, and a small request with its answer.
const CONNECTION_BYTES: u64 = 128 << 10;
/// The fewest connections or handshakes of a listener, however little there is.
const FEWEST: usize = 16;
/// Handshakes in progress at a listener, of which those that wait for a slot are a part.
const MAX_HANDSHAKES: usize = 256;
/// Connections to all peers.
const MAX_TO_PEERS: usize = 512;
/// Connections of the admin listener and of the metrics listener: each has one kind of caller.
pub(crate) const OPERATOR_CONNECTIONS: usize = 16;
/// The listeners of [`OPERATOR_CONNECTIONS`].
const OPERATOR_LISTENERS: u64 = 2;

/// What the listeners of the process share.
#[derive(Debug, Clone)]
pub(crate) struct Resources {
    pub(crate) budget: MemoryBudget,
    /// Handshakes in progress at one listener.
    pub(crate) handshakes: usize,
    /// Connections to all peers.
    pub(crate) to_peers: usize,
    /// What may be taken while the node has little to do: all but the process itself.
    pub(crate) spare_bytes: u64,
    connections: usize,
}

impl Resources {
    /// Of this process, with so many listeners for peers and ledger nodes. `configured` bytes of memory take the place of the
    /// container's limit.
    pub(crate) fn of_process(configured: Option<u64>, listeners: usize) -> Self {
        let (memory, source) = memory_limit::find(configured);
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let resources = Self::derive(memory, descriptors, listeners.max(1) as u64);
        tracing::info!(
            memory_bytes = memory,
            source,
            request_bytes = resources.budget.total(),
            connections_per_listener = resources.connections,
            connections_to_peers = resources.to_peers,
            descriptors,
            "resources"
        );
        resources
    }

    fn derive(memory: u64, descriptors: u64, listeners: u64) -> Self {
        let by_memory = memory / 4 / listeners / CONNECTION_BYTES;
        let by_descriptors = descriptors / 8 * 3 / listeners;
        let handshakes = descriptors / 8 / (listeners + OPERATOR_LISTENERS);
        Self {
            budget: MemoryBudget::new(memory / 2),
            connections: count(by_memory.min(by_descriptors)),
            handshakes: count(handshakes).min(MAX_HANDSHAKES),
            to_peers: count(descriptors / 4).min(MAX_TO_PEERS),
            spare_bytes: memory / 4 * 3,
        }
    }

    /// Connections of one listener: as configured, but no more than the process can hold.
    pub(crate) fn connections(&self, configured: usize) -> usize {
        configured.clamp(1, self.connections)
    }
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX).max(FEWEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_container_gets_small_bounds() {
        let small = Resources::derive(128 << 20, 1 << 20, 2);
        assert_eq!((small.budget.total(), small.connections(1024)), (64 << 20, 128));
        let large = Resources::derive(4 << 30, 1 << 20, 2);
        assert_eq!((large.budget.total(), large.connections(1024)), (2 << 30, 1024));
        let listeners = Resources::derive(128 << 20, 1 << 20, 4);
        assert_eq!(listeners.connections(1024), 64, "four listeners share the memory of two");
    }

    #[test]
    fn all_connections_together_leave_descriptors_for_the_rest() {
        for (descriptors, listeners) in [(1024, 2), (1024, 5), (4096, 2), (65_536, 3)] {
            let bounds = Resources::derive(64 << 30, descriptors, listeners);
            let of_each = bounds.connections(usize::MAX) as u64 * listeners;
            let operator = OPERATOR_CONNECTIONS as u64 * OPERATOR_LISTENERS;
            let handshakes = bounds.handshakes as u64 * (listeners + OPERATOR_LISTENERS);
            let taken = of_each + operator + handshakes + bounds.to_peers as u64;
            assert!(taken <= descriptors - descriptors / 4 + operator, "{descriptors}: {bounds:?}");
        }
        let few = Resources::derive(4 << 30, 8, 2);
        assert_eq!((few.connections(1024), few.handshakes, few.to_peers), (FEWEST, FEWEST, FEWEST));
    }
}
