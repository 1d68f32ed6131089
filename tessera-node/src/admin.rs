//! The operator's `GET /v1/status`, its requests about backups and restores of keys, and a scraper's `GET /metrics`. Each has a port and trusted roots of its own.

use std::sync::{Arc, OnceLock};

use futures::FutureExt;
use futures::future::ready;
use tessera_keys::VaultKeys;
use tessera_log_shipping::LogSearch;
use tessera_node_api::admin::{
    CertificateStatus, DependencyStatus, EgressTrials, Hardening, ListenerTrials, PROTOCOL, STATUS_PATH,
    SeenCaller, Status, TriedServer,
};
use tessera_node_api::key_backup::{BACKUPS_PATH, MAX_BODY_BYTES, PROOFS_PATH, RESTORES_PATH};
use tessera_tls::{Credentials, CredentialsReceiver, Trust};
use tokio::sync::watch;

use crate::callers::Callers;
use crate::clock;
use crate::config::watch::DynamicConfiguration;
use crate::http::common::VERSION;
use crate::http::problem::Problem;
use crate::http::reply::{self, Reply};
use crate::http::router::{Api, Route};
use crate::key_import::Imports;
use crate::key_restore::Restores;
use crate::keyring::Keys;
use crate::logs::Reports;
use crate::metrics::Metrics;
use crate::payload_store::PayloadStore;
use crate::peers::Peers;
use crate::readiness::Readiness;
use crate::replicas::Replicas;
use crate::transaction::Payloads;
use crate::volume::Volume;

/// The open payload store, and the parts of the node that depend on its identity.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) store: PayloadStore,
    /// When the store was opened (RFC 3339).
    pub(crate) since: String,
    pub(crate) volume: Volume,
    /// The store of keys; none: keys are in files.
    pub(crate) vault: Option<Arc<VaultKeys>>,
    /// The replicas of this node; none: the payload store is its own.
    pub(crate) replicas: Option<Replicas>,
}

impl Opened {
    /// The payload store, in terms of payloads.
    pub(crate) fn payloads(&self) -> Payloads {
        Payloads::new(self.store.clone(), self.volume.clone())
    }
}

/// Everything that the status reports. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct NodeState {
    pub(crate) identity: String,
    pub(crate) started_at: String,
    /// Set once the payload store is open, which a database may delay.
    pub(crate) opened: Arc<OnceLock<Opened>>,
    pub(crate) readiness: Readiness,
    pub(crate) keys: watch::Receiver<Option<Arc<Keys>>>,
    pub(crate) imports: watch::Receiver<Imports>,
    pub(crate) restores: Restores,
    pub(crate) credentials: CredentialsReceiver,
    pub(crate) admin_credentials: Option<CredentialsReceiver>,
    pub(crate) p2p_trust: Trust,
    pub(crate) configuration: DynamicConfiguration,
    pub(crate) egress_closed_since: watch::Receiver<Option<String>>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) listener_trials: watch::Receiver<Option<ListenerTrials>>,
    pub(crate) egress_trials: watch::Receiver<Option<EgressTrials>>,
    pub(crate) server_trials: watch::Receiver<Vec<TriedServer>>,
    pub(crate) logs: Reports,
    pub(crate) callers: Callers,
}

impl NodeState {
    fn status(&self) -> Status {
        let current = self.credentials.current();
        let admin = self.admin_credentials.as_ref().and_then(CredentialsReceiver::current);
        Status {
            protocol: PROTOCOL,
            node_version: VERSION.to_owned(),
            identity: self.identity.clone(),
            started_at: self.started_at.clone(),
            ready: self.readiness.is_ready(),
            awaiting: self.readiness.awaiting(),
            keys: self.keys.borrow().as_ref().map(|keys| keys.status()).unwrap_or_default(),
            key_failures: self.keys.borrow().as_ref().map(|keys| keys.failures()).unwrap_or_default(),
            imports: self.imports.borrow().status(),
            restores: self.restores.status(),
            secret_store: self.vault().map(|vault| self.secret_store(vault)),
            database: self.database(),
            payload_store: self.opened.get().map(|opened| opened.volume.status()),
            certificate: current.as_deref().map(certificate),
            trust_fingerprints: self.p2p_trust.fingerprints(),
            admin_certificate: admin.as_deref().map(certificate),
            admin_trust_fingerprints: admin
                .map(|admin| admin.roots().fingerprints().to_vec())
                .unwrap_or_default(),
            callers: self.callers(current.as_deref()),
            reload_errors: self.reload_errors(),
            dynamic_config_sha256: self.configuration.current().map(|dynamic| dynamic.sha256.clone()),
            egress_closed_since: self.egress_closed_since.borrow().clone(),
            peers_reached: self.peers.reached(),
            hardening: hardening(),
            listener_trials: self.listener_trials.borrow().clone(),
            built_on: BUILT_ON.filter(|day| !day.is_empty()).map(str::to_owned),
            logging: self.logs.status(),
            log_search: Some(LogSearch::of_process().status()),
            egress_trials: self.egress_trials.borrow().clone(),
            server_trials: self.server_trials.borrow().clone(),
            now: Some(clock::now().to_string()),
        }
    }

    fn vault(&self) -> Option<&VaultKeys> {
        self.opened.get()?.vault.as_deref()
    }

    /// `awaiting` says why a store is not open yet.
    fn database(&self) -> DependencyStatus {
        match self.opened.get() {
            Some(opened) => opened.store.status(&opened.since),
            None => DependencyStatus {
                available: false,
                message: "the payload store is not open yet".into(),
                since: self.started_at.clone(),
            },
        }
    }

    /// Only a rollover of the authority asks for these.
    fn callers(&self, current: Option<&Credentials>) -> Vec<SeenCaller> {
        let roots = current.map_or(0, |current| current.roots().fingerprints().len());
        if roots > 1 { self.callers.seen() } else { Vec::new() }
    }

    fn secret_store(&self, vault: &VaultKeys) -> DependencyStatus {
        match vault.state().borrow().clone() {
            None => DependencyStatus {
                available: false,
                message: "not asked yet".into(),
                since: self.started_at.clone(),
            },
            Some(state) => DependencyStatus {
                available: state.failure.is_none(),
                message: state.failure.or_else(|| vault.unused_bundle()).unwrap_or_default(),
                since: clock::rfc3339(state.since),
            },
        }
    }

    fn reload_errors(&self) -> Vec<String> {
        let credentials = [Some(&self.credentials), self.admin_credentials.as_ref()];
        let failures = credentials.into_iter().flatten().filter_map(|receiver| receiver.snapshot().failure);
        let failures =
            failures.map(|failure| format!("{} (since {})", failure.message, clock::rfc3339(failure.since)));
        let of_configuration = self.configuration.failure().into_iter();
        failures.chain(of_configuration).chain(self.configuration.disabled_partners()).collect()
    }

    /// Sets the gauges that follow the status.
    fn refresh_gauges(&self) {
        self.metrics.set_ready(self.readiness.is_ready());
        self.metrics.set_peers_reached(self.peers.reached().len());
        if let Some(credentials) = self.credentials.current() {
            self.metrics.set_certificate_not_after(credentials.leaf().not_after().as_second());
        }
        if let Some(vault) = self.vault() {
            self.metrics.set_secret_store(self.secret_store(vault).available);
        }
    }
}

fn certificate(credentials: &Credentials) -> CertificateStatus {
    let leaf = credentials.leaf();
    CertificateStatus {
        serial: leaf.serial().to_owned(),
        not_after: clock::rfc3339(leaf.not_after()),
        fingerprint: leaf.fingerprint().to_owned(),
        issuer: Some(leaf.issuer().to_owned()),
        chained: credentials.chained(),
    }
}

/// The day of the source, which `hack/image` gives to the compiler.
const BUILT_ON: Option<&str> = option_env!("TESSERA_BUILT_ON");

/// As the kernel has it now, whatever was set at boot. What cannot be read is not said.
fn hardening() -> Option<Hardening> {
    let found = tessera_sys::read_back();
    let found =
        found.inspect_err(|error| tracing::debug!(%error, "the hardening cannot be read back")).ok()?;
    Some(Hardening {
        core_soft_limit: found.core_soft_limit,
        core_hard_limit: found.core_hard_limit,
        dumpable: found.dumpable,
        locked_kib: found.locked_kib,
        swap_kib: found.swap_kib,
        core_pattern: found.core_pattern,
    })
}

/// The operator's API.
#[derive(Debug)]
pub(crate) struct AdminApi(pub(crate) NodeState);

impl Api for AdminApi {
    const LARGEST_BODY: u64 = MAX_BODY_BYTES as u64;

    fn routes() -> Vec<Route<Self>> {
        vec![
            Route::get(STATUS_PATH, "status", |api: &Self, _| ready(api.status()).boxed()),
            Route::get(BACKUPS_PATH, "key_backups", |api: &Self, call| api.key_backups(call).boxed()),
            Route::post(PROOFS_PATH, "key_backup_proofs", |api: &Self, call| api.prove_custody(call).boxed()),
            Route::post(RESTORES_PATH, "key_restores", |api: &Self, call| api.restore_keys(call).boxed()),
        ]
    }
}

impl AdminApi {
    fn status(&self) -> Result<Reply, Problem> {
        let status = serde_json::to_string(&self.0.status());
        let status = status.map_err(|error| Problem::internal(error.to_string()))?;
        Ok(reply::ok("application/json", status))
    }
}

/// The scrapers' API.
#[derive(Debug)]
pub(crate) struct MetricsApi(pub(crate) NodeState);

impl Api for MetricsApi {
    fn routes() -> Vec<Route<Self>> {
        vec![Route::get("/metrics", "metrics", |api: &Self, _| ready(Ok(api.metrics())).boxed())]
    }
}

impl MetricsApi {
    fn metrics(&self) -> Reply {
        self.0.refresh_gauges();
        reply::ok("application/openmetrics-text; version=1.0.0; charset=utf-8", self.0.metrics.text())
    }
}
