//! What the process may use, derived once at start: memory from the container's limit, connections from that and from
//! the number of descriptors.
//!
//! ```text
//! memory limit ─┬─ 1/4 the process itself: code, keys, index cache, buffers of the runtime
//!               ├─ 1/4 connections: so many of 128 KiB each, half for P2P and half for Q2T
//!               └─ 1/2 requests and answers: MemoryBudget, of which one kind of listener may hold two thirds
//! ```

mod budget;
mod memory_limit;

use rustix::process::{Resource, getrlimit};

pub(crate) use budget::{BudgetError, MemoryBudget, MemoryShare, Permit};

/// What one connection takes beside the budget: TLS and HTTP buffers, and a small request with its answer.
const CONNECTION_BYTES: u64 = 128 << 10;
/// The fewest connections of a listener, however little memory there is.
const FEWEST_CONNECTIONS: usize = 16;

/// What the listeners of the process share.
#[derive(Debug, Clone)]
pub(crate) struct Resources {
    pub(crate) budget: MemoryBudget,
    connections: usize,
}

impl Resources {
    /// Of this process. `configured` bytes of memory take the place of the container's limit.
    pub(crate) fn of_process(configured: Option<u64>) -> Self {
        let (memory, source) = memory_limit::find(configured);
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let resources = Self::derive(memory, descriptors);
        tracing::info!(
            memory_bytes = memory,
            source,
            request_bytes = resources.budget.total(),
            connections_per_listener = resources.connections,
            descriptors,
            "resources"
        );
        resources
    }

    fn derive(memory: u64, descriptors: u64) -> Self {
        let by_memory = memory / 4 / 2 / CONNECTION_BYTES;
        // The other half is for segments of the payload store, for peers that we call, and for handshakes.
        let by_descriptors = descriptors / 4;
        let connections = usize::try_from(by_memory.min(by_descriptors)).unwrap_or(usize::MAX);
        Self { budget: MemoryBudget::new(memory / 2), connections: connections.max(FEWEST_CONNECTIONS) }
    }

    /// Connections of one listener: as configured, but no more than the process can hold.
    pub(crate) fn connections(&self, configured: usize) -> usize {
        configured.clamp(1, self.connections)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_container_gets_small_bounds() {
        let small = Resources::derive(128 << 20, 1 << 20);
        assert_eq!((small.budget.total(), small.connections(1024)), (64 << 20, 128));
        let large = Resources::derive(4 << 30, 1 << 20);
        assert_eq!((large.budget.total(), large.connections(1024)), (2 << 30, 1024));
    }

    #[test]
    fn descriptors_bound_connections_as_well() {
        let few = Resources::derive(4 << 30, 1024);
        assert_eq!(few.connections(1024), 256);
        assert_eq!(few.connections(usize::MAX), 256);
        assert_eq!(Resources::derive(1 << 20, 8).connections(1024), FEWEST_CONNECTIONS);
    }
}
