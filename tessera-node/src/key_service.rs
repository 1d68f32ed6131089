//! Brings the configured keys into memory, and new versions when the configuration asks for them.
//!
//! ```text
//! dynamic configuration ─► missing versions ─► secret store: read, generated, imported or restored ─► Keys ─► everybody
//!                               ▲                        │ fails
//!                               └──── backoff, jitter ◄──┘   never ends the node
//! ```
//!
//! The secret store knows which versions there are: versions by schedule stand in no manifest. So the node also loads versions
//! beyond those of its configuration, once for each key, and the operator learns of them from the node's status.

mod publish;
mod restore;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use tessera_backup::Recipients;
use tessera_keys::{KeepSample, Retry, VaultError, VaultKey, VaultKeys, WritePoint};
use tessera_node_api::admin::{ImportState, SampleStatus};
use tessera_node_api::dynamic_config::{Key, KeyImport};
use tessera_store::StoreId;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::admin::Opened;
use crate::clock;
use crate::config::dynamic::Dynamic;
use crate::config::watch::DynamicConfiguration;
use crate::fault::{self, FaultPoint};
use crate::key_backups::Sealer;
use crate::key_import::{self, IMPORTED_VERSION, Importer, NotImported};
use crate::key_restore::{self, Restorer};
use crate::keyring::{Keys, ObservedUse};
use crate::loaded_keys::{LoadedKeys, Version};
use crate::metrics::Metrics;
use crate::payload_store::StoreError;
use crate::readiness::{Readiness, ReadinessGate};
use crate::replicas::{InUse, Replicas};
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
    importer: Importer,
    restorer: Restorer,
    sealer: Sealer,
    configuration: DynamicConfiguration,
    loaded: LoadedKeys,
    /// Keys of which every version in the store is loaded.
    searched: BTreeSet<String>,
    keys: watch::Sender<Option<Arc<Keys>>>,
    observed: ObservedUse,
    volume: Volume,
    payloads: Payloads,
    readiness: Readiness,
    metrics: Arc<Metrics>,
    /// Of a node with a database.
    replicas: Option<Replicas>,
    /// Failures that were logged. Log each distinct failure once; retries fail the same way.
    reported: BTreeMap<Version, String>,
    /// Keys whose version 1 is not imported because their files, or what the store has, rule that out.
    ruled_out: BTreeMap<String, (ImportState, String)>,
}

/// Where keys come from that the node does not generate.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) importer: Importer,
    pub(crate) restorer: Restorer,
}

/// What the configuration says of keys.
struct Asked {
    keys: Vec<Key>,
    accepted: Option<StoreId>,
    recipients: Option<Arc<Recipients>>,
}

/// Versions of one key that are searched for in the store: as many as the API allows all keys of a node together.
const MAX_FOUND: u32 = 256;

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
        Sources { importer, restorer }: Sources,
        configuration: DynamicConfiguration,
        keys: watch::Sender<Option<Arc<Keys>>>,
        opened: &Opened,
        readiness: Readiness,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            vault: importer.vault(),
            importer,
            restorer,
            sealer: Sealer::default(),
            configuration,
            loaded: LoadedKeys::default(),
            searched: BTreeSet::new(),
            keys,
            observed: ObservedUse::default(),
            volume: opened.volume.clone(),
            payloads: opened.payloads(),
            readiness,
            metrics,
            replicas: opened.replicas.clone(),
            reported: BTreeMap::new(),
            ruled_out: BTreeMap::new(),
        }
    }

    /// Loads what is missing, until the node drains.
    pub(crate) async fn run(mut self) -> Result<(), Infallible> {
        let mut changes = self.configuration.subscribe();
        let mut in_use = self.replicas.as_ref().map(Replicas::in_use);
        let mut tries = 0;
        let mut read_samples_at = Instant::now();
        loop {
            let asked = Asked::of(&mut changes);
            let wanted = &asked.keys;
            let before = self.loaded.len();
            if let Some(in_use) = &mut in_use {
                in_use.mark_unchanged();
            }
            let outcome = self.load(wanted).await;
            self.declare();
            self.report_imports(wanted);
            self.restorer.report(wanted, &self.loaded);
            // Before the keys are published: requests are served from then on.
            let checked = self.check_volume(asked.accepted).await;
            let sealed = self.sealer.seal(&self.loaded, asked.recipients).await;
            let failures = self.reported.values().chain(self.sealer.failures());
            self.observed.set_failures(failures.cloned().collect());
            self.publish(wanted);
            // After each rotation, and now and then.
            if self.loaded.len() != before || read_samples_at <= Instant::now() {
                self.read_samples().await;
                read_samples_at = Instant::now() + self.configuration.probe_every();
            }
            let retry =
                matches!(outcome, Err(Retry::Soon | Retry::Later)) || checked.is_err() || sealed.is_err();
            tries = if retry { tries + 1 } else { 0 };
            let pause = retry.then(|| pause(tries));
            tokio::select! {
                // A configuration without a sender never changes.
                Ok(()) = changes.changed() => {}
                Some(()) = changed(&mut in_use) => {}
                request = self.restorer.next() => {
                    let result = self.restore(request.keys, wanted).await;
                    // The caller may have gone.
                    let _ = request.result.send(result);
                }
                () = sleep_or_wait(pause) => {}
                () = tokio::time::sleep_until(read_samples_at) => {}
            }
        }
    }

    /// Loads every version that is missing, generates those that the configuration asks for, and searches for others. One that
    /// fails does not keep the others out.
    async fn load(&mut self, wanted: &[Key]) -> Result<(), Retry> {
        let mut first_failure = Ok(());
        self.restorer.keep_only(wanted);
        for key in wanted {
            let mut is_whole = true;
            for version in 1..=key.versions {
                if self.loaded.contains(&(key.name.clone(), version)) {
                    continue;
                }
                let outcome = match key_restore::expected(key, version) {
                    Some(expected) => self.find_restored(&key.name, version, &expected).await,
                    // The versions after an imported one follow it, and so do those after restored ones.
                    None if !is_whole => break,
                    None => self.load_version(key, version).await,
                };
                if let Err(retry) = outcome {
                    first_failure = first_failure.and(Err(retry));
                    is_whole &=
                        key.restore.is_none() && (key.import.is_none() || version != IMPORTED_VERSION);
                }
            }
            if let Err(error) = self.search(key).await {
                first_failure = first_failure.and(Err(error.classify()));
            }
        }
        if let (Some(reason), None) = (self.restorer.awaits(), &*self.keys.borrow()) {
            self.readiness.wait_for(ReadinessGate::Keys, reason);
        }
        first_failure
    }

    async fn load_version(&mut self, key: &Key, version: u32) -> Result<(), Retry> {
        let import = key.import.as_ref().filter(|_| version == IMPORTED_VERSION);
        let found = if let Some(import) = import {
            self.importer.ensure(key, import).await
        } else {
            let ensured = self.vault.ensure_answering(&key.name, version, key.trigger_of(version)).await;
            ensured.map_err(NotImported::Store)
        };
        match found {
            Ok(found) => {
                self.take_in(&key.name, version, found);
                Ok(())
            }
            Err(error) => {
                self.report(&key.name, version, &error.text());
                let retry = error.retry();
                if let NotImported::Ruled { state, why } = error {
                    self.ruled_out.insert(key.name.clone(), (state, why));
                }
                Err(retry)
            }
        }
    }

    /// Says what became of each import, also of one that came too late.
    fn report_imports(&mut self, wanted: &[Key]) {
        let outcome = |key: &Key, import: &KeyImport| {
            let Some(loaded) = self.loaded.get(&(key.name.clone(), IMPORTED_VERSION)) else {
                let ruled_out = self.ruled_out.get(&key.name).cloned();
                return ruled_out.unwrap_or((ImportState::Awaited, String::new()));
            };
            let public = loaded.pair.public();
            match key_import::check(&key.name, import, loaded.imported, public, &loaded.store_path) {
                Ok(()) => (ImportState::Adopted, String::new()),
                Err(error) => (ImportState::Failed, error.text()),
            }
        };
        self.importer.report(wanted, outcome);
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
                    self.report(&key.name, version, &crate::telemetry::chain(&error));
                    return Err(error);
                }
            }
        }
        self.searched.insert(key.name.clone());
        Ok(())
    }

    fn take_in(&mut self, name: &str, version: u32, mut key: VaultKey) {
        tracing::info!(key = name, version, new = key.new, imported = key.imported, public_key = %key.pair.public(), "key in memory");
        if version == IMPORTED_VERSION {
            self.ruled_out.remove(name);
        }
        let version = (name.to_owned(), version);
        self.reported.remove(&version);
        self.restorer.note_loaded(&version);
        if let Some(backup) = key.backup.take() {
            self.sealer.take_over(version.clone(), key.pair.public(), backup);
        }
        self.loaded.insert(version, key.into());
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

    async fn check_volume(&self, accepted: Option<StoreId>) -> Result<(), StoreError> {
        let named = self.loaded.values().filter_map(|loaded| loaded.payload_store).collect();
        let checked = self.volume.check(&named, accepted).await;
        if let Err(error) = &checked {
            tracing::warn!(%error, "whether a payload store is lost cannot be read or written; retrying");
        }
        checked
    }

    fn report(&mut self, name: &str, version: u32, why: &str) {
        let failure = self.note(name, version, why);
        // What custodians must bring is said instead.
        if self.keys.borrow().is_none() && self.restorer.awaits().is_none() {
            self.readiness.wait_for(ReadinessGate::Keys, failure);
        }
    }

    fn note(&mut self, name: &str, version: u32, why: &str) -> String {
        let failure = format!("key {name} version {version}: {why}");
        let known = self.reported.insert((name.to_owned(), version), failure.clone());
        if known.as_ref() != Some(&failure) {
            tracing::warn!(error = failure, "key cannot be loaded; the node tries again");
        }
        failure
    }
}

impl Asked {
    fn of(changes: &mut watch::Receiver<Option<Arc<Dynamic>>>) -> Self {
        let dynamic = changes.borrow_and_update();
        let dynamic = dynamic.as_ref();
        Self {
            keys: dynamic.map(|dynamic| dynamic.keys.clone()).unwrap_or_default(),
            accepted: dynamic.and_then(|dynamic| dynamic.accepted_payload_store),
            recipients: dynamic.and_then(|dynamic| dynamic.backup_recipients.clone()),
        }
    }
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

/// Resolves when the replicas may use other keys, and never without replicas.
async fn changed(in_use: &mut Option<watch::Receiver<InUse>>) -> Option<()> {
    in_use.as_mut()?.changed().await.ok()
}
