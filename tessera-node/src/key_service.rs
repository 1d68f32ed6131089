//! Brings the configured keys into memory, and new versions when the configuration asks for them.
//!
//! ```text
//! dynamic configuration ─► missing versions ─► secret store: read, or generated ─► Keys ─► everybody
//!                               ▲                        │ fails
//!                               └──── backoff, jitter ◄──┘   never ends the node
//! ```
//!
//! The secret store knows which versions there are: versions by schedule stand in no manifest. So the node also loads versions
//! beyond those of its configuration, once for each key, and the operator learns of them from the node's status.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use tessera_enclave::keyring::DefaultKey;
use tessera_enclave::{KeyPair, KeyRing, PublicKey, TxHash};
use tessera_keys::{KeepSample, Retry, VaultError, VaultKey, VaultKeys, WritePoint};
use tessera_node_api::admin::{KeyState, KeyStatus, SampleStatus};
use tessera_node_api::dynamic_config::Key;
use tessera_store::{StoreId, WriteError};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock;
use crate::config::watch::DynamicConfiguration;
use crate::fault::{self, FaultPoint};
use crate::keyring::{Keys, ObservedUse};
use crate::metrics::Metrics;
use crate::readiness::{Readiness, ReadinessGate};
use crate::transaction::Payloads;
use crate::volume::Volume;

/// The first pause after a failure; doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause, while the store may heal by itself.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Keys that live in the secret store.
#[derive(Debug)]
pub(crate) struct KeyService {
    vault: Arc<VaultKeys>,
    configuration: DynamicConfiguration,
    loaded: BTreeMap<Version, Loaded>,
    /// Keys of which every version in the store is loaded.
    searched: BTreeSet<String>,
    keys: watch::Sender<Option<Arc<Keys>>>,
    observed: ObservedUse,
    volume: Volume,
    payloads: Payloads,
    readiness: Readiness,
    metrics: Arc<Metrics>,
    /// Failures that were logged. Log each distinct failure once; retries fail the same way.
    reported: BTreeMap<Version, String>,
}

/// The name of a key, and one of its versions.
type Version = (String, u32);

/// Versions of one key that are searched for in the store: as many as the API allows all keys of a node together.
const MAX_FOUND: u32 = 256;

#[derive(Debug)]
struct Loaded {
    pair: Arc<KeyPair>,
    born_at: String,
    store_path: String,
    payload_store: Option<StoreId>,
    trigger: Option<u32>,
    sample: Option<TxHash>,
}

/// Keeps the sample payload of each new key in the payload store.
pub(crate) fn keep_sample(payloads: Payloads) -> KeepSample {
    Box::new(move |pair| {
        let payloads = payloads.clone();
        Box::pin(async move {
            let kept = payloads.keep_sample(pair).await;
            kept.map(|hash| hash.to_string()).map_err(|error| crate::telemetry::chain(&error))
        })
    })
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
        payloads: Payloads,
        readiness: Readiness,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            vault,
            configuration,
            loaded: BTreeMap::new(),
            searched: BTreeSet::new(),
            keys,
            observed: ObservedUse::default(),
            volume,
            payloads,
            readiness,
            metrics,
            reported: BTreeMap::new(),
        }
    }

    /// Loads what is missing, until the node drains.
    pub(crate) async fn run(mut self) -> Result<(), Infallible> {
        let mut changes = self.configuration.subscribe();
        let mut failures = 0;
        let mut read_samples_at = Instant::now();
        loop {
            let (wanted, accepted) = {
                let dynamic = changes.borrow_and_update();
                let dynamic = dynamic.as_ref();
                let keys = dynamic.map(|dynamic| dynamic.keys.clone()).unwrap_or_default();
                (keys, dynamic.and_then(|dynamic| dynamic.accepted_payload_store))
            };
            let before = self.loaded.len();
            let outcome = self.load(&wanted).await.map_err(|error| error.classify());
            // Before the keys are published: requests are served from then on.
            let checked = self.check_volume(accepted).await;
            self.publish(&wanted);
            // After each rotation, and now and then.
            if self.loaded.len() != before || read_samples_at <= Instant::now() {
                self.read_samples().await;
                read_samples_at = Instant::now() + self.configuration.probe_every();
            }
            let retry = matches!(outcome, Err(Retry::Soon | Retry::Later)) || checked.is_err();
            failures = if retry { failures + 1 } else { 0 };
            let pause = retry.then(|| pause(failures));
            tokio::select! {
                // A configuration without a sender never changes.
                Ok(()) = changes.changed() => {}
                () = sleep_or_wait(pause) => {}
                () = tokio::time::sleep_until(read_samples_at) => {}
            }
        }
    }

    /// Loads every version that is missing, generates those that the configuration asks for, and searches for others. One that
    /// fails does not keep the others out.
    async fn load(&mut self, wanted: &[Key]) -> Result<(), VaultError> {
        let mut first_failure = Ok(());
        for key in wanted {
            for version in 1..=key.versions {
                if self.loaded.contains_key(&(key.name.clone(), version)) {
                    continue;
                }
                match self.vault.ensure_answering(&key.name, version, key.trigger_of(version)).await {
                    Ok(found) => self.take_in(&key.name, version, found),
                    Err(error) => {
                        self.report(&key.name, version, &error);
                        first_failure = first_failure.and(Err(error));
                    }
                }
            }
            if let Err(error) = self.search(key).await {
                first_failure = first_failure.and(Err(error));
            }
        }
        first_failure
    }

    /// Loads the versions of a key that the store has beyond those of the configuration.
    async fn search(&mut self, key: &Key) -> Result<(), VaultError> {
        if self.searched.contains(&key.name) {
            return Ok(());
        }
        for version in key.versions.saturating_add(1)..=MAX_FOUND {
            match self.vault.find(&key.name, version).await {
                Ok(Some(found)) => self.take_in(&key.name, version, found),
                Ok(None) => break,
                Err(error) => {
                    self.report(&key.name, version, &error);
                    return Err(error);
                }
            }
        }
        self.searched.insert(key.name.clone());
        Ok(())
    }

    fn take_in(&mut self, name: &str, version: u32, key: VaultKey) {
        tracing::info!(key = name, version, generated = key.new, public_key = %key.pair.public(), "key in memory");
        // The record was verified when it was read.
        let loaded = Loaded {
            pair: key.pair,
            born_at: clock::rfc3339(key.born_at),
            store_path: key.store_path,
            payload_store: key.payload_store.and_then(|id| id.parse().ok()),
            trigger: key.trigger,
            sample: key.sample.and_then(|hash| hash.parse().ok()),
        };
        let version = (name.to_owned(), version);
        self.reported.remove(&version);
        self.loaded.insert(version, loaded);
    }

    /// Reads the sample payload of each version that has one.
    async fn read_samples(&self) {
        for loaded in self.loaded.values() {
            let Some(hash) = &loaded.sample else { continue };
            let pair = Arc::clone(&loaded.pair);
            let elsewhere = loaded.payload_store.is_some_and(|id| id != self.volume.id());
            let outcome = self.payloads.read_sample(pair, hash, elsewhere).await;
            let sample = SampleStatus { outcome, read_at: clock::now_rfc3339() };
            self.observed.note_sample(loaded.pair.public(), sample);
        }
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
        let is_searched = |key: &Key| self.searched.contains(&key.name);
        let complete = wanted.iter().all(is_searched)
            && versions(wanted).all(|version| self.loaded.contains_key(&version));
        let first = self.keys.borrow().is_none();
        if wanted.is_empty() || (first && !complete) {
            return;
        }
        let Some(default) = self.default_version(wanted) else { return };
        let pairs: Vec<_> = self.in_order(wanted).map(|(_, loaded)| Arc::clone(&loaded.pair)).collect();
        let named = DefaultKey::Named(*self.loaded[&default].pair.public());
        // The default is one of the pairs.
        let Ok(ring) = KeyRing::new(pairs, &named) else { return };
        let archived = archived(wanted, &default);
        let state = |version: &Version| match version {
            version if *version == default => KeyState::Default,
            version if archived.contains(version) => KeyState::Archived,
            _ => KeyState::Receiving,
        };
        let status: Vec<_> =
            self.in_order(wanted).map(|(version, loaded)| loaded.status(&version, state(&version))).collect();
        let archived: BTreeSet<PublicKey> =
            archived.iter().filter_map(|version| Some(*self.loaded.get(version)?.pair.public())).collect();
        // Each publication is announced to all peers, so a retry that brought nothing must not be one.
        if self
            .keys
            .borrow()
            .as_ref()
            .is_some_and(|keys| keys.is_complete() == complete && keys.base_status() == status)
        {
            return;
        }
        self.metrics.set_keys(ring.public_keys().len());
        let keys =
            Keys::new(ring, complete, status).with_archived(archived).with_observed(self.observed.clone());
        self.keys.send_replace(Some(Arc::new(keys)));
        if complete {
            self.readiness.satisfied(ReadinessGate::Keys);
        }
    }

    /// The newest loaded version of the default key that is not archived, or else the newest: sends must go on.
    fn default_version(&self, wanted: &[Key]) -> Option<Version> {
        let default = wanted.iter().find(|key| key.default)?;
        let newest_first = || self.loaded.keys().rev().filter(|(name, _)| *name == default.name);
        let in_use = newest_first().find(|(_, version)| !default.archived.contains(version));
        in_use.or_else(|| newest_first().next()).cloned()
    }

    /// What is loaded: the configured keys in their order, then any that the configuration has dropped, since a stored
    /// payload may need it.
    fn in_order(&self, wanted: &[Key]) -> impl Iterator<Item = (Version, &Loaded)> {
        let place = |name: &str| wanted.iter().position(|key| key.name == name).unwrap_or(usize::MAX);
        let mut all: Vec<_> = self.loaded.iter().map(|(version, loaded)| (version.clone(), loaded)).collect();
        // Stable, so that the versions of a key stay in their order.
        all.sort_by_key(|((name, _), _)| place(name));
        all.into_iter()
    }
}

impl Loaded {
    fn status(&self, (name, version): &Version, state: KeyState) -> KeyStatus {
        KeyStatus {
            name: name.clone(),
            version: *version,
            public_key: self.pair.public().to_string(),
            state,
            born_at: Some(self.born_at.clone()),
            store_path: Some(self.store_path.clone()),
            trigger: self.trigger,
            last_pushed_at: None,
            sample: None,
        }
    }
}

/// The versions that the configuration archives, without the default.
fn archived(wanted: &[Key], default: &Version) -> BTreeSet<Version> {
    let named = wanted.iter().flat_map(|key| key.archived.iter().map(|version| (key.name.clone(), *version)));
    named.filter(|version| version != default).collect()
}

fn versions(wanted: &[Key]) -> impl Iterator<Item = Version> {
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
