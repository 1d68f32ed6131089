//! Follows the dynamic configuration file: verified before use, the last good one kept.
//!
//! The file is read once a second and compared by content, which is simpler than watching (the kubelet replaces a symlink)
//! and cannot miss a change.

use std::collections::HashSet;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tessera_node_api::dynamic_config::PROBE_EVERY_SECONDS;
use tessera_node_api::identity::Identity;
use tessera_tls::Partners;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::dynamic::{self, Dynamic, DynamicError};
use super::partners;
use crate::tasks;

/// Between two readings of the file.
const INTERVAL: Duration = Duration::from_secs(1);

/// The configuration in use, for all that follow it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DynamicConfiguration {
    current: watch::Receiver<Option<Arc<Dynamic>>>,
    clients: watch::Receiver<Arc<HashSet<Identity>>>,
    monitoring: watch::Receiver<Arc<HashSet<Identity>>>,
    partners: watch::Receiver<Arc<Partners>>,
    failure: Arc<Mutex<Option<String>>>,
}

/// Reads the file and publishes what it says.
#[derive(Debug)]
pub struct Watcher {
    path: Arc<Path>,
    current: watch::Sender<Option<Arc<Dynamic>>>,
    clients: watch::Sender<Arc<HashSet<Identity>>>,
    monitoring: watch::Sender<Arc<HashSet<Identity>>>,
    partners: watch::Sender<Arc<Partners>>,
    failure: Arc<Mutex<Option<String>>>,
}

/// Follows the file at `path`. The file has been read once when this returns.
pub async fn follow(path: PathBuf) -> (Watcher, DynamicConfiguration) {
    let current = watch::Sender::new(None);
    let (clients, monitoring) = (watch::Sender::default(), watch::Sender::default());
    let partners = watch::Sender::default();
    let failure = Arc::default();
    let configuration = DynamicConfiguration {
        current: current.subscribe(),
        clients: clients.subscribe(),
        monitoring: monitoring.subscribe(),
        partners: partners.subscribe(),
        failure: Arc::clone(&failure),
    };
    let watcher = Watcher { path: path.into(), current, clients, monitoring, partners, failure };
    watcher.read().await;
    (watcher, configuration)
}

impl DynamicConfiguration {
    /// The last good one; none before the first.
    pub fn current(&self) -> Option<Arc<Dynamic>> {
        self.current.borrow().clone()
    }

    /// Follows [`Self::current`].
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<Dynamic>>> {
        self.current.clone()
    }

    /// Who Q2T serves.
    pub fn clients(&self) -> watch::Receiver<Arc<HashSet<Identity>>> {
        self.clients.clone()
    }

    /// Who the metrics port serves.
    pub fn monitoring(&self) -> watch::Receiver<Arc<HashSet<Identity>>> {
        self.monitoring.clone()
    }

    /// Whose certificates P2P accepts beside those of our own trust domain.
    pub fn partners(&self) -> watch::Receiver<Arc<Partners>> {
        self.partners.clone()
    }

    /// How often the node tries its own listeners and its egress.
    pub fn probe_every(&self) -> Duration {
        let seconds = self.current().and_then(|dynamic| dynamic.probe_every_seconds);
        Duration::from_secs(seconds.unwrap_or(PROBE_EVERY_SECONDS).max(1).into())
    }

    /// Why the file as it stands now is not in use.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Which partners of the configuration in use are disabled, and why. One with an empty bundle is cut off on purpose.
    pub fn disabled_partners(&self) -> Vec<String> {
        let current = self.current();
        let partners = current.iter().flat_map(|dynamic| &dynamic.partners);
        let given = partners.filter(|partner| !partner.ca_bundle.is_empty());
        let why = given.filter_map(|partner| Some((&partner.name, partner.trust.as_ref().err()?)));
        why.map(|(name, why)| format!("partner {name}: {why}")).collect()
    }
}

impl Watcher {
    /// Reads the file again at each interval.
    pub async fn run(self) -> Result<(), Infallible> {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.read().await;
        }
    }

    async fn read(&self) {
        let path = Arc::clone(&self.path);
        match tasks::blocking(move || dynamic::load(&path)).await {
            Some(Ok(dynamic)) => self.publish(dynamic),
            Some(Err(error)) => self.refuse(&error),
            None => {}
        }
    }

    fn publish(&self, dynamic: Dynamic) {
        self.set_failure(None);
        if self.current.borrow().as_ref().is_some_and(|current| current.sha256 == dynamic.sha256) {
            return;
        }
        tracing::info!(sha256 = dynamic.sha256, peers = dynamic.peers.len(), "dynamic configuration in use");
        let set = |list: &[Identity]| Arc::new(list.iter().cloned().collect::<HashSet<_>>());
        publish_changed(&self.clients, set(&dynamic.clients));
        publish_changed(&self.monitoring, set(&dynamic.monitoring));
        publish_changed(&self.partners, Arc::new(partners::trusted(&dynamic.partners)));
        self.current.send_replace(Some(Arc::new(dynamic)));
    }

    fn refuse(&self, error: &DynamicError) {
        let message = crate::telemetry::chain(error);
        if self.set_failure(Some(message.clone())) {
            tracing::warn!(error = message, "dynamic configuration refused; the last good one stays in use");
        }
    }

    /// True if that has changed.
    fn set_failure(&self, failure: Option<String>) -> bool {
        let mut known = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = *known != failure;
        *known = failure;
        changed
    }
}

/// Each publication makes listeners judge their connections again, so only a change is published.
fn publish_changed<T: PartialEq>(sender: &watch::Sender<Arc<T>>, value: Arc<T>) {
    sender.send_if_modified(|known| {
        let changed = *known != value;
        *known = value;
        changed
    });
}
