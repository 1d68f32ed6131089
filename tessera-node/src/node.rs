//! Puts a node together and runs it.
//!
//! ```text
//! probe ─► store ─► certificates, dynamic configuration ─► admin, metrics ─► egress closed ─► keys ─► P2P, Q2T ─► ready
//!                                                          (the operator sees from here on what is awaited)
//! SIGTERM ─► stop accepting ─► finish what is in flight, to a deadline ─► give up the store's login ─► end
//! ```

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tessera_keys::{VaultError, VaultKeys};
use tessera_node_api::identity::Identity;
use tessera_store::{OpenError, Store};
use tessera_tls::{AllowedPeers, ClientTls, CredentialsReceiver, Expectation, ServerTls, Trust, Usage};
use tokio::sync::watch;

use crate::admin::{AdminApi, Board, MetricsApi};
use crate::config::dynamic::Dynamic;
use crate::config::watch::{self as dynamic_watch, DynamicConfiguration};
use crate::config::{Config, Limits};
use crate::egress_guard::{self, Egress};
use crate::http::client_api::ClientApi;
use crate::http::peer_api::PeerApi;
use crate::http::server::{Api, Server};
use crate::key_service::{self, KeyService};
use crate::keyring::Keys;
use crate::metrics::{Metrics, Port};
use crate::peers::{Directory, NodeUrl, Peers};
use crate::probe::{self, ProbeSocket};
use crate::readiness::{Need, Readiness};
use crate::tasks::{Ended, Tasks};
use crate::transaction::{Payloads, TransactionManager};
use crate::{certificate, clock, tasks, transaction};

/// For what is in flight when the node is told to end. A pod has 30 s.
const DRAIN: Duration = Duration::from_secs(20);
/// For giving up the store's login.
const REVOKE: Duration = Duration::from_secs(3);

/// Why a node ended, or did not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The probe socket.
    #[error(transparent)]
    Probe(#[from] probe::BindError),
    /// The payload store.
    #[error("payload store in {directory} cannot be opened")]
    Store {
        /// Where.
        directory: PathBuf,
        /// Why.
        source: OpenError,
    },
    /// Opening the payload store panicked.
    #[error("opening the payload store panicked")]
    StorePanic,
    /// A port.
    #[error("{port} cannot listen on {address}")]
    Bind {
        /// Which.
        port: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The secret store's configuration.
    #[error("secret store cannot be used")]
    SecretStore(#[from] VaultError),
    /// Key files.
    #[error("keys cannot be loaded: {0}")]
    Keys(String),
    /// A part of the node ended by itself.
    #[error(transparent)]
    Ended(#[from] Ended),
    /// Something was still running at the drain's deadline.
    #[error("not everything ended within {} s of the drain", DRAIN.as_secs())]
    Drain,
}

/// Runs a node until `shutdown`.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
    let (tasks, mut watch) = Tasks::new();
    let mut closing = Closing::default();
    let running = async {
        let _node = start(config, &tasks, &mut closing).await?;
        Err(RunError::from(watch.ended().await))
    };
    let outcome = tokio::select! {
        outcome = running => outcome,
        () = shutdown => Ok(()),
    };
    tracing::info!("draining");
    let drained = tasks.drain(DRAIN).await;
    closing.close().await;
    tracing::info!("ended");
    match outcome {
        Ok(()) if !drained => Err(RunError::Drain),
        outcome => outcome,
    }
}

/// What is closed when nothing uses it any more.
#[derive(Default)]
struct Closing {
    vault: Option<Arc<VaultKeys>>,
    store: Option<Store>,
}

impl Closing {
    async fn close(self) {
        if let Some(vault) = self.vault {
            give_up_login(&vault).await;
        }
        if let Some(store) = self.store
            && tasks::blocking(move || store.close()).await.is_none()
        {
            tracing::error!("closing the payload store panicked; its log is replayed at the next start");
        }
    }
}

async fn give_up_login(vault: &VaultKeys) {
    match tokio::time::timeout(REVOKE, vault.revoke()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(%error, "the secret store's token could not be revoked; it ends by itself");
        }
        Err(_) => tracing::warn!("the secret store's token could not be revoked in time; it ends by itself"),
    }
}

/// Returns when the node serves. What it returns is held until the drain.
async fn start(
    config: Config,
    tasks: &Tasks,
    closing: &mut Closing,
) -> Result<Arc<TransactionManager>, RunError> {
    let base = Base::build(config, tasks.clone()).await?;
    closing.store = Some(base.store.clone());
    let vault = base.vault()?;
    closing.vault.clone_from(&vault);
    let keys = watch::Sender::new(None);
    let egress_closed_since = watch::Sender::new(None);
    let peers = base.peers();
    base.early_ports(Board {
        identity: base.config.identity.to_string(),
        started_at: base.started_at.clone(),
        database_since: base.database_since.clone(),
        readiness: base.readiness.clone(),
        keys: keys.subscribe(),
        vault: vault.clone(),
        credentials: base.credentials.clone(),
        admin_credentials: None,
        p2p_trust: Trust::new(base.credentials.clone(), base.nodes()),
        configuration: base.configuration.clone(),
        egress_closed_since: egress_closed_since.subscribe(),
        peers: Arc::clone(&peers),
        metrics: Arc::clone(&base.metrics),
    })
    .await?;
    base.close_egress(&egress_closed_since).await;
    base.load_keys(vault, &keys).await?;

    let payloads = Payloads::new(base.store.clone());
    let manager =
        TransactionManager::new(keys.subscribe(), payloads, Arc::clone(&peers), base.config.policy.clone());
    base.late_ports(&manager).await?;
    let announcing = announce_changes(
        Arc::clone(&peers),
        keys.subscribe(),
        base.configuration.clone(),
        base.config.peers.clone(),
    );
    base.tasks.service("announcing", announcing);
    base.tasks.service("discovery", peers.discover());
    base.readiness.met(Need::Listeners);
    Ok(manager)
}

/// What is there before keys and ports are.
struct Base {
    config: Config,
    tasks: Tasks,
    started_at: String,
    readiness: Readiness,
    store: Store,
    database_since: String,
    metrics: Arc<Metrics>,
    credentials: CredentialsReceiver,
    configuration: DynamicConfiguration,
}

impl Base {
    async fn build(config: Config, tasks: Tasks) -> Result<Self, RunError> {
        let started_at = clock::now_rfc3339();
        let readiness = Readiness::new();
        let probe = ProbeSocket::bind(config.extension.probe_socket.as_ref())?;
        tasks.service("probe", probe.run(readiness.clone(), tasks.clone()));
        let store = open_store(&config).await?;
        let database_since = clock::now_rfc3339();
        readiness.met(Need::Database);
        let fatal = store.fatal();
        tasks.service("payload store", async move { Err::<(), _>(fatal.reason().await) });
        let metrics = Arc::new(Metrics::new(Some(&store)));

        let expectation = Expectation { identity: config.identity.clone(), usage: Usage::Both };
        let credentials = CredentialsReceiver::watch_directory(&config.extension.node_tls, expectation).await;
        tasks.service("certificate", certificate::follow(credentials.clone(), readiness.clone()));
        let configuration = dynamic_configuration(&config, &tasks).await;
        Ok(Self {
            config,
            tasks,
            started_at,
            readiness,
            store,
            database_since,
            metrics,
            credentials,
            configuration,
        })
    }

    fn peers(&self) -> Arc<Peers> {
        let p2p = &self.config.p2p;
        let directory = Directory::new(p2p.advertised.clone(), self.config.disable_peer_discovery);
        let tls = ClientTls::new(self.credentials.clone(), self.nodes());
        Peers::new(directory, tls, p2p.party_info_interval, self.tasks.clone(), Arc::clone(&self.metrics))
    }

    /// Whom P2P serves and whom we push to.
    fn nodes(&self) -> AllowedPeers {
        AllowedPeers::own_nodes(self.config.identity.trust_domain())
    }

    fn vault(&self) -> Result<Option<Arc<VaultKeys>>, RunError> {
        let Some(store) = &self.config.extension.secret_store else { return Ok(None) };
        let vault = VaultKeys::new(store.clone(), &self.config.extension.identity.network_uid)?
            .with_write_hook(key_service::write_hook);
        Ok(Some(Arc::new(vault)))
    }

    /// The ports that tell what the node is waiting for.
    async fn early_ports(&self, mut board: Board) -> Result<(), RunError> {
        if let Some(admin) = &self.config.extension.admin {
            let expectation = Expectation { identity: self.config.identity.clone(), usage: Usage::Server };
            let credentials = CredentialsReceiver::watch_directory(&admin.tls, expectation).await;
            board.admin_credentials = Some(credentials.clone());
            let operator = Identity::operator(self.config.identity.trust_domain());
            // The trust domain is already part of an identity.
            let Ok(operator) = operator else { return Ok(()) };
            let tls = ServerTls::new(credentials, AllowedPeers::Exactly(operator));
            self.listen(&admin.bind, Port::Admin, tls, AdminApi(board.clone()), Limits::default()).await?;
        }
        if let Some(metrics) = &self.config.extension.metrics {
            let scrapers = AllowedPeers::Clients(self.configuration.monitoring());
            let tls = ServerTls::new(self.credentials.clone(), scrapers);
            self.listen(&metrics.bind, Port::Metrics, tls, MetricsApi(board), Limits::default()).await?;
        }
        Ok(())
    }

    async fn late_ports(&self, manager: &Arc<TransactionManager>) -> Result<(), RunError> {
        let p2p = &self.config.p2p;
        let tls = ServerTls::new(self.credentials.clone(), self.nodes());
        let api = PeerApi::new(Arc::clone(manager), p2p.limits.clone(), self.config.use_white_list);
        self.serve(p2p.bind, Port::P2p, tls, api, p2p.limits.clone()).await?;
        for q2t in &self.config.q2t {
            let tls =
                ServerTls::new(self.credentials.clone(), AllowedPeers::Clients(self.configuration.clients()));
            let api = ClientApi::new(Arc::clone(manager), q2t.limits.clone());
            self.serve(q2t.bind, Port::Q2t, tls, api, q2t.limits.clone()).await?;
        }
        Ok(())
    }

    async fn listen(
        &self,
        bind: &str,
        port: Port,
        tls: ServerTls,
        api: impl Api,
        limits: Limits,
    ) -> Result<(), RunError> {
        // Checked with the configuration.
        let Ok(address) = bind.parse() else { return Ok(()) };
        self.serve(address, port, tls, api, limits).await
    }

    async fn serve(
        &self,
        address: SocketAddr,
        port: Port,
        tls: ServerTls,
        api: impl Api,
        limits: Limits,
    ) -> Result<(), RunError> {
        let (tasks, metrics) = (self.tasks.clone(), Arc::clone(&self.metrics));
        let server = Server::bind(address, port, tls, api, limits, tasks, metrics)
            .await
            .map_err(|source| RunError::Bind { port: port.as_str(), address, source })?;
        self.tasks.service(port.as_str(), server.run());
        Ok(())
    }

    async fn close_egress(&self, closed_since: &watch::Sender<Option<String>>) {
        let Some(guard) = &self.config.extension.egress_guard else { return };
        self.readiness.await_(Need::Egress, "the pod's egress is not closed yet");
        match egress_guard::wait(guard).await {
            Egress::Closed { since } => drop(closed_since.send_replace(Some(since))),
            Egress::Open(reason) => {
                tracing::warn!(reason, "the pod's egress was not seen closed; going on without");
            }
        }
        self.readiness.met(Need::Egress);
    }

    async fn load_keys(
        &self,
        vault: Option<Arc<VaultKeys>>,
        keys: &watch::Sender<Option<Arc<Keys>>>,
    ) -> Result<(), RunError> {
        if let Some(vault) = vault {
            let alive = Arc::clone(&vault);
            self.tasks.service("secret store login", async move { Err::<(), _>(alive.keep_alive().await) });
            let service = KeyService::new(
                vault,
                self.configuration.clone(),
                keys.clone(),
                self.readiness.clone(),
                Arc::clone(&self.metrics),
            );
            self.tasks.service("keys", service.run());
            // The sender is ours, so the wait ends with the first keys only.
            let _ = keys.subscribe().wait_for(Option::is_some).await;
        } else if let Some(files) = &self.config.key_files {
            let loaded = key_service::load_files(Arc::clone(files)).await.map_err(RunError::Keys)?;
            self.metrics.set_keys(loaded.ring().public_keys().len());
            keys.send_replace(Some(Arc::new(loaded)));
            self.readiness.met(Need::Keys);
        }
        Ok(())
    }
}

async fn open_store(config: &Config) -> Result<Store, RunError> {
    let directory = PathBuf::from(&config.extension.storage.directory);
    let options = tessera_store::Options::new(&directory).max_body_bytes(transaction::MAX_RECORD_BYTES);
    tasks::blocking(move || options.open())
        .await
        .ok_or(RunError::StorePanic)?
        .map_err(|source| RunError::Store { directory, source })
}

/// The dynamic file, or what stands in the configuration itself for a node without one.
async fn dynamic_configuration(config: &Config, tasks: &Tasks) -> DynamicConfiguration {
    let Some(path) = &config.extension.dynamic_config else {
        return DynamicConfiguration::fixed(Dynamic::default());
    };
    let (watcher, configuration) = dynamic_watch::follow(path.into()).await;
    tasks.service("dynamic configuration", watcher.run());
    configuration
}

/// Keeps our own announcement and the list of peers right as keys and configuration change.
async fn announce_changes(
    peers: Arc<Peers>,
    mut keys: watch::Receiver<Option<Arc<Keys>>>,
    configuration: DynamicConfiguration,
    fixed: Vec<NodeUrl>,
) -> Result<(), Infallible> {
    let mut changes = configuration.subscribe();
    loop {
        let dynamic = changes.borrow_and_update().clone();
        let own: Vec<_> = keys
            .borrow_and_update()
            .iter()
            .flat_map(|keys| keys.ring().public_keys().cloned().collect::<Vec<_>>())
            .collect();
        let configured = dynamic.iter().flat_map(|dynamic| dynamic.peers.clone()).chain(fixed.clone());
        {
            let mut directory = peers.directory();
            directory.set_own_keys(own);
            directory.configure(configured);
        }
        peers.announce();
        tokio::select! {
            Ok(()) = changes.changed() => {}
            Ok(()) = keys.changed() => {}
            // Neither can change any more.
            else => std::future::pending().await,
        }
    }
}
