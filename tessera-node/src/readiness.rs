//! The gates that the node has not passed yet: one sentence for each, and since when. A node without one is ready.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::clock;

/// Something that the node cannot serve without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReadinessGate {
    /// The payload store.
    Database,
    /// A certificate that is ours and valid.
    Certificate,
    /// The dynamic configuration, which names the keys.
    DynamicConfiguration,
    /// A closed egress.
    Egress,
    /// All keys in memory.
    Keys,
    /// Bound ports.
    Listeners,
    /// Not satisfied again once the node drains.
    Running,
}

/// The gates that are not satisfied. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Readiness {
    open: Arc<Mutex<BTreeMap<ReadinessGate, Pending>>>,
    ready: watch::Sender<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pending {
    reason: String,
    since: String,
}

impl Readiness {
    /// Of a node that has just started.
    pub fn new() -> Self {
        Self::with([
            (ReadinessGate::Database, "the payload store is being opened"),
            (ReadinessGate::Certificate, "no valid certificate yet"),
            (ReadinessGate::Keys, "keys are not loaded yet"),
            (ReadinessGate::Listeners, "ports are not bound yet"),
        ])
    }

    /// Of a process that has just started and needs these gates.
    pub(crate) fn with<const N: usize>(gates: [(ReadinessGate, &str); N]) -> Self {
        let since = clock::now_rfc3339();
        let pending = |reason: &str| Pending { reason: reason.to_owned(), since: since.clone() };
        let open = gates.map(|(gate, reason)| (gate, pending(reason)));
        Self { open: Arc::new(Mutex::new(open.into())), ready: watch::Sender::new(false) }
    }

    /// The gate is not satisfied, for this reason. A new reason for the same gate keeps its time.
    pub fn wait_for(&self, gate: ReadinessGate, reason: impl Into<String>) {
        let reason = reason.into();
        let mut open = self.lock();
        match open.get_mut(&gate) {
            Some(pending) if pending.reason == reason => return,
            Some(pending) => pending.reason.clone_from(&reason),
            None => {
                open.insert(gate, Pending { reason: reason.clone(), since: clock::now_rfc3339() });
            }
        }
        drop(open);
        tracing::info!(?gate, reason, "readiness gate is not satisfied");
        self.publish();
    }

    /// The gate is satisfied.
    pub fn satisfied(&self, gate: ReadinessGate) {
        if self.lock().remove(&gate).is_some() {
            tracing::info!(?gate, "readiness gate is satisfied");
            self.publish();
        }
    }

    /// Whether all gates are satisfied.
    pub fn is_ready(&self) -> bool {
        self.lock().is_empty()
    }

    /// Follows [`Self::is_ready`].
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// One sentence for each gate that is not satisfied.
    pub fn awaiting(&self) -> Vec<String> {
        self.lock().values().map(|gate| format!("{} (since {})", gate.reason, gate.since)).collect()
    }

    fn publish(&self) {
        let ready = self.is_ready();
        let changed = self.ready.send_if_modified(|known| std::mem::replace(known, ready) != ready);
        if changed && ready {
            tracing::info!("ready");
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ReadinessGate, Pending>> {
        // One insert or remove at a time: a panic elsewhere does not spoil it.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_ready_when_every_gate_is_satisfied_and_only_then() {
        let readiness = Readiness::new();
        for gate in [ReadinessGate::Database, ReadinessGate::Certificate, ReadinessGate::Keys] {
            readiness.satisfied(gate);
        }
        assert!(!readiness.is_ready());
        assert!(readiness.awaiting()[0].starts_with("ports are not bound yet (since "));
        readiness.satisfied(ReadinessGate::Listeners);
        assert!(*readiness.watch().borrow());
        readiness.wait_for(ReadinessGate::Certificate, "it has expired");
        assert!(!readiness.is_ready());
    }
}
