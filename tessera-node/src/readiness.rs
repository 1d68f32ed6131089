//! What the node still awaits, one sentence each, with since when. Ready is: nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::clock;

/// Something that the node cannot serve without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
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
}

/// The open needs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Readiness {
    open: Arc<Mutex<BTreeMap<Need, Awaited>>>,
    ready: watch::Sender<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Awaited {
    what: String,
    since: String,
}

impl Readiness {
    /// Awaits everything that a node needs.
    pub fn new() -> Self {
        let since = clock::now_rfc3339();
        let open = [
            (Need::Database, "the payload store is being opened"),
            (Need::Certificate, "no valid certificate yet"),
            (Need::Keys, "keys are not loaded yet"),
            (Need::Listeners, "ports are not bound yet"),
        ];
        let open = open.map(|(need, what)| (need, Awaited { what: what.to_owned(), since: since.clone() }));
        Self { open: Arc::new(Mutex::new(open.into())), ready: watch::Sender::new(false) }
    }

    /// The node awaits `what`. Told again with other words, the time stays.
    pub fn await_(&self, need: Need, what: impl Into<String>) {
        let what = what.into();
        let mut open = self.lock();
        match open.get_mut(&need) {
            Some(awaited) if awaited.what == what => return,
            Some(awaited) => awaited.what.clone_from(&what),
            None => drop(open.insert(need, Awaited { what: what.clone(), since: clock::now_rfc3339() })),
        }
        drop(open);
        tracing::info!(?need, what, "awaiting");
        self.publish();
    }

    /// The need is met.
    pub fn met(&self, need: Need) {
        if self.lock().remove(&need).is_some() {
            tracing::info!(?need, "met");
            self.publish();
        }
    }

    /// Whether nothing is awaited.
    pub fn is_ready(&self) -> bool {
        self.lock().is_empty()
    }

    /// Follows [`Self::is_ready`].
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// One sentence for each open need.
    pub fn awaiting(&self) -> Vec<String> {
        self.lock().values().map(|awaited| format!("{} (since {})", awaited.what, awaited.since)).collect()
    }

    fn publish(&self) {
        let ready = self.is_ready();
        let changed = self.ready.send_if_modified(|known| std::mem::replace(known, ready) != ready);
        if changed && ready {
            tracing::info!("ready");
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Need, Awaited>> {
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
    fn ready_when_every_need_is_met_and_no_longer_when_one_returns() {
        let readiness = Readiness::new();
        for need in [Need::Database, Need::Certificate, Need::Keys] {
            readiness.met(need);
        }
        assert!(!readiness.is_ready());
        assert!(readiness.awaiting()[0].starts_with("ports are not bound yet (since "));
        readiness.met(Need::Listeners);
        assert!(*readiness.watch().borrow());
        readiness.await_(Need::Certificate, "it has expired");
        assert!(!readiness.is_ready());
    }
}
