//! Brings the configured keys into memory, and new versions when the configuration asks for them.
//!
//! ```text
//! dynamic configuration ─► missing versions ─► secret store: read, or generated ─► Keys ─► everybody
//!                               ▲                        │ fails
//!                               └──── backoff, jitter ◄──┘   never ends the node
//! ```

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use tessera_enclave::keyring::{DefaultKey, KeyRingError};
use tessera_enclave::{KeyPair, KeyRing};
use tessera_keys::{FileKeyError, KeyConfiguration, Retry, VaultError, VaultKeys, WritePoint};
use tessera_node_api::admin::{KeyState, KeyStatus};
use tessera_node_api::dynamic_config::Key;
use tessera_store::{StoreId, WriteError};
use tokio::sync::watch;

use crate::config::watch::DynamicConfiguration;
use crate::fault::{self, FaultPoint};
use crate::keyring::Keys;
use crate::metrics::Metrics;
use crate::readiness::{Readiness, ReadinessGate};
use crate::volume::Volume;
use crate::{clock, tasks};

/// The first pause after a failure; doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause, while the store may heal by itself.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Keys that live in the secret store.
#[derive(Debug)]
pub(crate) struct KeyService {
    vault: Arc<VaultKeys>,
    configuration: DynamicConfiguration,
    loaded: BTreeMap<(String, u32), Loaded>,
    keys: watch::Sender<Option<Arc<Keys>>>,
    volume: Volume,
    readiness: Readiness,
    metrics: Arc<Metrics>,
    /// Failures that were logged. Log each distinct failure once; retries fail the same way.
    reported: BTreeMap<(String, u32), String>,
}

#[derive(Debug)]
struct Loaded {
    pair: Arc<KeyPair>,
    born_at: String,
    store_path: String,
    payload_store: Option<StoreId>,
}

/// The hook that lets crash tests die around the write of a key.
pub(crate) fn write_hook(point: WritePoint) {
    fault::reach(match point {
        WritePoint::Before => FaultPoint::BeforeKeyWrite,
        WritePoint::After => FaultPoint::AfterKeyWrite,
    });
}

impl KeyService {
    /// A service that has loaded nothing yet, and publishes to `keys`.
    pub(crate) fn new(
        vault: Arc<VaultKeys>,
        configuration: DynamicConfiguration,
        keys: watch::Sender<Option<Arc<Keys>>>,
        volume: Volume,
        readiness: Readiness,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            vault,
            configuration,
            loaded: BTreeMap::new(),
            keys,
            volume,
            readiness,
            metrics,
            reported: BTreeMap::new(),
        }
    }

    /// Loads what is missing, until the node drains.
    pub(crate) async fn run(mut self) -> Result<(), Infallible> {
        let mut changes = self.configuration.subscribe();
        let mut failures = 0;
        loop {
            let (wanted, accepted) = {
                let dynamic = changes.borrow_and_update();
                let dynamic = dynamic.as_ref();
                let keys = dynamic.map(|dynamic| dynamic.keys.clone()).unwrap_or_default();
                (keys, dynamic.and_then(|dynamic| dynamic.accepted_payload_store))
            };
            let outcome = self.load(&wanted).await.map_err(|error| error.classify());
            // Before the keys are published: requests are served from then on.
            let checked = self.check_volume(accepted).await;
            self.publish(&wanted);
            let retry = matches!(outcome, Err(Retry::Soon | Retry::Later)) || checked.is_err();
            failures = if retry { failures + 1 } else { 0 };
            let pause = retry.then(|| pause(failures));
            tokio::select! {
                // A configuration without a sender never changes.
                Ok(()) = changes.changed() => {}
                () = sleep_or_wait(pause) => {}
            }
        }
    }

    /// Loads every version that is missing. One that fails does not keep the others out.
    async fn load(&mut self, wanted: &[Key]) -> Result<(), VaultError> {
        let mut first_failure = Ok(());
        for (name, version) in versions(wanted) {
            if self.loaded.contains_key(&(name.clone(), version)) {
                continue;
            }
            match self.vault.ensure(&name, version).await {
                Ok(key) => {
                    tracing::info!(key = name, version, generated = key.new, public_key = %key.pair.public(), "key in memory");
                    let loaded = Loaded {
                        pair: Arc::new(key.pair),
                        born_at: clock::rfc3339(key.born_at),
                        store_path: key.store_path,
                        // The record was verified when it was read.
                        payload_store: key.payload_store.and_then(|id| id.parse().ok()),
                    };
                    self.reported.remove(&(name.clone(), version));
                    self.loaded.insert((name, version), loaded);
                }
                Err(error) => {
                    self.report(&name, version, &error);
                    first_failure = first_failure.and(Err(error));
                }
            }
        }
        first_failure
    }

    async fn check_volume(&self, accepted: Option<StoreId>) -> Result<(), WriteError> {
        let named = self.loaded.values().filter_map(|loaded| loaded.payload_store).collect();
        let checked = self.volume.check(&named, accepted).await;
        if let Err(error) = &checked {
            tracing::warn!(%error, "the acceptance of a loss cannot be stored; retrying");
        }
        checked
    }

    fn report(&mut self, name: &str, version: u32, error: &VaultError) {
        let failure = format!("key {name} version {version}: {}", crate::telemetry::chain(error));
        if self.keys.borrow().is_none() {
            self.readiness.wait_for(ReadinessGate::Keys, failure.clone());
        }
        let known = self.reported.insert((name.to_owned(), version), failure.clone());
        if known.as_ref() != Some(&failure) {
            tracing::warn!(
                error = failure,
                "key cannot be loaded from the secret store; the node tries again"
            );
        }
    }

    /// Replaces the keys in use. Before the first complete set nothing is published: the node must not serve with a part.
    fn publish(&self, wanted: &[Key]) {
        let complete = versions(wanted).all(|version| self.loaded.contains_key(&version));
        let first = self.keys.borrow().is_none();
        if wanted.is_empty() || (first && !complete) {
            return;
        }
        let Some(default) = self.default_version(wanted) else { return };
        let pairs: Vec<_> = self.in_order(wanted).map(|(_, loaded)| Arc::clone(&loaded.pair)).collect();
        let named = DefaultKey::Named(*self.loaded[&default].pair.public());
        // The default is one of the pairs.
        let Ok(ring) = KeyRing::new(pairs, &named) else { return };
        let status: Vec<_> = self
            .in_order(wanted)
            .map(|(version, loaded)| loaded.status(&version, version == default))
            .collect();
        // Each publication is announced to all peers, so a retry that brought nothing must not be one.
        if self
            .keys
            .borrow()
            .as_ref()
            .is_some_and(|keys| keys.is_complete() == complete && keys.status() == status)
        {
            return;
        }
        self.metrics.set_keys(ring.public_keys().len());
        self.keys.send_replace(Some(Arc::new(Keys::new(ring, complete, status))));
        if complete {
            self.readiness.satisfied(ReadinessGate::Keys);
        }
    }

    /// The newest loaded version of the default key.
    fn default_version(&self, wanted: &[Key]) -> Option<(String, u32)> {
        let default = wanted.iter().find(|key| key.default)?;
        let newest = (1..=default.versions).rev().map(|version| (default.name.clone(), version));
        newest.into_iter().find(|version| self.loaded.contains_key(version))
    }

    /// What is loaded: the configured keys in their order, then any that the configuration has dropped, since a stored
    /// payload may need it.
    fn in_order(&self, wanted: &[Key]) -> impl Iterator<Item = ((String, u32), &Loaded)> {
        let configured: Vec<_> = versions(wanted).collect();
        let dropped: Vec<_> =
            self.loaded.keys().filter(|version| !configured.contains(version)).cloned().collect();
        let all = configured.into_iter().chain(dropped);
        all.filter_map(|version| Some((version.clone(), self.loaded.get(&version)?)))
    }
}

impl Loaded {
    fn status(&self, (name, version): &(String, u32), default: bool) -> KeyStatus {
        KeyStatus {
            name: name.clone(),
            version: *version,
            public_key: self.pair.public().to_string(),
            state: if default { KeyState::Default } else { KeyState::Receiving },
            born_at: Some(self.born_at.clone()),
            store_path: Some(self.store_path.clone()),
        }
    }
}

/// Why the keys of files are not in memory.
#[derive(Debug, thiserror::Error)]
pub enum KeyFilesError {
    /// A file, or what is in it.
    #[error(transparent)]
    Files(#[from] FileKeyError),
    /// The keys are no key ring.
    #[error(transparent)]
    Ring(#[from] KeyRingError),
    /// A defect.
    #[error("unlocking the keys panicked")]
    Panicked,
}

/// The keys of files: all of them, once.
pub(crate) async fn load_files(configuration: Arc<KeyConfiguration>) -> Result<Keys, KeyFilesError> {
    let loaded = tasks::blocking(move || configuration.load()).await;
    let pairs = loaded.ok_or(KeyFilesError::Panicked)??;
    let ring = KeyRing::new(pairs.into_iter().map(Arc::new), &DefaultKey::AsJava)?;
    let status = ring.public_keys().enumerate().map(|(index, public)| KeyStatus {
        name: format!("key-{index}"),
        version: 1,
        public_key: public.to_string(),
        state: if public == ring.default_key() { KeyState::Default } else { KeyState::Receiving },
        born_at: None,
        store_path: None,
    });
    let status = status.collect();
    tracing::info!(default = %ring.default_key(), "keys in memory");
    Ok(Keys::new(ring, true, status))
}

fn versions(wanted: &[Key]) -> impl Iterator<Item = (String, u32)> {
    wanted.iter().flat_map(|key| (1..=key.versions).map(|version| (key.name.clone(), version)))
}

/// Doubles up to the longest, then a random half of it is taken off: a fleet must not ask in step.
fn pause(failures: u32) -> Duration {
    let longest = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(LONGEST_PAUSE);
    longest.mul_f64(rand::rng().random_range(0.5..1.0))
}

async fn sleep_or_wait(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}
