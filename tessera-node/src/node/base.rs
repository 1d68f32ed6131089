//! The parts of a node, in the order in which they come up.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use tessera_keys::VaultKeys;
use tessera_node_api::admin::{EgressTrials, ListenerTrials, TriedServer};
use tessera_tls::{AllowedPeers, ClientTls, CredentialsReceiver, Expectation, ServerTls, Usage};
use tokio::sync::watch;

use super::{RunError, payload_store};
use crate::admin::{AdminApi, MetricsApi, NodeState, Opened};
use crate::callers::Callers;
use crate::config::watch::{self as dynamic_watch, DynamicConfiguration};
use crate::config::{Config, KeySource, Limits};
use crate::database_trials::Database;
use crate::egress_guard::{self, Egress};
use crate::egress_trials;
use crate::http::client_api::ClientApi;
use crate::http::peer_api::PeerApi;
use crate::http::router::{Api, Router};
use crate::http::server::{Common, Server};
use crate::key_import::{Importer, Imports};
use crate::key_restore::Restorer;
use crate::key_service::{self, KeyService, Sources};
use crate::keyring::Keys;
use crate::listener_trials::{Listener, OwnTrials, Trials};
use crate::logs::{self, OfNode, Reports, Shipper};
use crate::metrics::{Metrics, Port};
use crate::payload_store::PayloadStore;
use crate::peers::{Own, Peers};
use crate::probe::ProbeSocket;
use crate::readiness::{Readiness, ReadinessGate};
use crate::repair::Repairs;
use crate::replicas::{Others, PeerTable, Replicas};
use crate::resources::{OPERATOR_CONNECTIONS, Resources};
use crate::tasks::Tasks;
use crate::transaction::{Payloads, TransactionManager};
use crate::volume::Volume;
use crate::{certificate, clock, key_backups, key_files, server_trials};

/// What exists before keys and listeners do.
pub(super) struct Base {
    pub(super) config: Config,
    pub(super) tasks: Tasks,
    pub(super) started_at: String,
    pub(super) readiness: Readiness,
    pub(super) repairs: Repairs,
    pub(super) metrics: Arc<Metrics>,
    pub(super) resources: Resources,
    pub(super) credentials: CredentialsReceiver,
    pub(super) configuration: DynamicConfiguration,
    pub(super) own_trials: OwnTrials,
    pub(super) callers: Callers,
    pub(super) logs: Reports,
}

impl Base {
    pub(super) async fn build(config: Config, tasks: Tasks) -> Result<Self, RunError> {
        let started_at = clock::now_rfc3339();
        let readiness = Readiness::new();
        let probe = ProbeSocket::bind(&config.probe_socket)?;
        let repairs = Repairs::new(tasks.draining().clone());
        tasks.observer("probe", probe.run_with(readiness.clone(), repairs.clone(), tasks.clone()));
        let metrics = Arc::new(Metrics::new());
        let resources = Resources::of_process(config.memory_bytes, 1 + config.q2t.len());

        let expectation = Expectation { identity: config.identity.clone(), usage: Usage::Both };
        let credentials = CredentialsReceiver::watch_directory(&config.node_tls, expectation).await;
        tasks.service("certificate", certificate::follow(credentials.clone(), readiness.clone()));
        let configuration = dynamic_configuration(&config, &tasks).await;
        let logs = Reports::new(metrics.logs());
        let source = OfNode { configuration: configuration.subscribe(), credentials: credentials.clone() };
        let origin = logs::origin(&config.identity);
        let shipper = Shipper::new(logs::of_process(), source, origin, logs.clone());
        // What happens during the drain is shipped, too.
        tasks.observer("logs", shipper.run());
        Ok(Self {
            config,
            tasks,
            started_at,
            readiness,
            repairs,
            metrics,
            resources,
            credentials,
            configuration,
            own_trials: OwnTrials::default(),
            callers: Callers::default(),
            logs,
        })
    }

    pub(super) fn peers(&self) -> Arc<Peers> {
        let p2p = &self.config.p2p;
        let own = Own {
            identity: self.config.identity.clone(),
            url: p2p.advertised.clone(),
            only_configured: self.config.disable_peer_discovery,
        };
        let tls = ClientTls::new(self.credentials.clone(), self.nodes());
        let connections = self.resources.to_peers;
        Peers::new(
            own,
            tls,
            connections,
            p2p.party_info_interval,
            self.tasks.clone(),
            Arc::clone(&self.metrics),
        )
    }

    /// Whom P2P serves and whom we push to.
    pub(super) fn nodes(&self) -> AllowedPeers {
        AllowedPeers::nodes_and_partners(self.config.identity.trust_domain(), self.configuration.partners())
    }

    /// Opens the payload store, which a database may delay, and makes the parts that depend on its identity.
    pub(super) async fn open_store(&self) -> Result<Opened, RunError> {
        let store = payload_store::open(&self.config.storage, &self.readiness).await?;
        let following = payload_store::follow(store.clone(), self.readiness.clone());
        self.tasks.service("payload store", following);
        self.metrics.add_store(&store);
        let volume = Volume::new(store.clone());
        let vault = self.vault(&store, &volume)?;
        let replicas = match &store {
            PayloadStore::Postgres(database) => Some(Replicas::new(database.clone())),
            PayloadStore::Embedded(_) => None,
        };
        if let Some(replicas) = replicas.clone() {
            self.tasks.service("replicas", replicas.run());
        }
        Ok(Opened { store, since: clock::now_rfc3339(), volume, vault, replicas })
    }

    fn vault(&self, store: &PayloadStore, volume: &Volume) -> Result<Option<Arc<VaultKeys>>, RunError> {
        let KeySource::SecretStore(settings) = &self.config.keys else { return Ok(None) };
        let payloads = Payloads::new(store.clone(), volume.clone());
        let vault = VaultKeys::new((**settings).clone())?
            .with_write_hook(key_service::write_hook)
            .with_payload_store(store.id().to_string())
            .with_samples(key_service::keep_sample(payloads))
            .with_backups(key_backups::seal_new(self.configuration.clone()));
        Ok(Some(Arc::new(vault)))
    }

    /// The listeners that report what the node is waiting for.
    pub(super) async fn early_listeners(&self, mut state: NodeState) -> Result<Vec<Listener>, RunError> {
        let mut bound = Vec::new();
        // Metrics take no bodies, and the operator's are small.
        let share = self.resources.budget.share();
        let limits = Limits { connections: OPERATOR_CONNECTIONS, ..Limits::default() };
        if let Some(admin) = &self.config.admin {
            let expectation = Expectation { identity: self.config.identity.clone(), usage: Usage::Server };
            let credentials = CredentialsReceiver::watch_directory(&admin.tls, expectation).await;
            state.admin_credentials = Some(credentials.clone());
            let tls = ServerTls::new(credentials.clone(), AllowedPeers::Exactly(admin.operator.clone()));
            let router = Router::new(AdminApi(state.clone()), limits.clone(), share.clone());
            let address = self.listen(admin.bind, Port::Admin, tls, router)?;
            let directory = admin.tls.clone();
            bound.push(Listener { port: Port::Admin, address, credentials, directory });
        }
        if let Some(bind) = self.config.metrics {
            let scrapers = AllowedPeers::Clients(self.configuration.monitoring());
            let tls = ServerTls::new(self.credentials.clone(), scrapers);
            let router = Router::new(MetricsApi(state), limits, share);
            bound.push(self.of_node(Port::Metrics, self.listen(bind, Port::Metrics, tls, router)?));
        }
        Ok(bound)
    }

    pub(super) fn late_listeners(
        &self,
        manager: &Arc<TransactionManager>,
    ) -> Result<Vec<Listener>, RunError> {
        let p2p = &self.config.p2p;
        let tls = ServerTls::new(self.credentials.clone(), self.nodes());
        let api = PeerApi::new(Arc::clone(manager), self.config.use_white_list);
        let budget = &self.resources.budget;
        let router = Router::new(api, p2p.limits.clone(), budget.share());
        let mut bound = vec![self.of_node(Port::P2p, self.listen(p2p.bind, Port::P2p, tls, router)?)];
        let share = budget.share();
        for q2t in &self.config.q2t {
            let tls =
                ServerTls::new(self.credentials.clone(), AllowedPeers::Clients(self.configuration.clients()));
            let api = ClientApi::new(Arc::clone(manager));
            let router = Router::new(api, q2t.limits.clone(), share.clone());
            bound.push(self.of_node(Port::Q2t, self.listen(q2t.bind, Port::Q2t, tls, router)?));
        }
        Ok(bound)
    }

    /// A listener that shows the node's certificate.
    fn of_node(&self, port: Port, address: SocketAddr) -> Listener {
        let directory = self.config.node_tls.clone();
        Listener { port, address, credentials: self.credentials.clone(), directory }
    }

    /// Tries `listeners` as clients that they must not serve.
    pub(super) fn try_listeners(
        &self,
        listeners: Vec<Listener>,
        result: watch::Sender<Option<ListenerTrials>>,
    ) {
        let trials = Trials {
            listeners,
            own: self.own_trials.clone(),
            identity: self.config.identity.clone(),
            configuration: self.configuration.clone(),
            result,
        };
        self.tasks.service("trials of listeners", trials.run());
    }

    fn listen<A: Api>(
        &self,
        address: SocketAddr,
        port: Port,
        tls: ServerTls,
        router: Router<A>,
    ) -> Result<SocketAddr, RunError> {
        let common = Common {
            tasks: self.tasks.clone(),
            metrics: Arc::clone(&self.metrics),
            resources: self.resources.clone(),
            own_trials: self.own_trials.clone(),
            callers: self.callers.clone(),
        };
        let failed = |source| RunError::Bind { port: port.as_str(), address, source };
        let server = Server::bind(address, port, tls, router, common).map_err(failed)?;
        let bound = server.address().map_err(failed)?;
        self.tasks.service(port.as_str(), server.run());
        Ok(bound)
    }

    pub(super) async fn close_egress(&self, closed_since: &watch::Sender<Option<String>>) {
        let Some(guard) = &self.config.egress_guard else { return };
        self.readiness.wait_for(ReadinessGate::Egress, "the pod's egress is not closed yet");
        match egress_guard::wait(guard).await {
            Egress::Closed { since } => drop(closed_since.send_replace(Some(since))),
            Egress::Open(reason) => {
                tracing::warn!(reason, "the pod's egress was not seen closed; the node goes on without");
            }
        }
        self.readiness.satisfied(ReadinessGate::Egress);
    }

    /// Tries what the pod must not reach, from now on.
    pub(super) fn try_egress(&self, result: watch::Sender<Option<EgressTrials>>) {
        let Some(guard) = self.config.egress_guard.clone() else { return };
        let trials = egress_trials::Trials { guard, configuration: self.configuration.clone(), result };
        self.tasks.service("trials of egress", trials.run());
    }

    /// Tries whom the servers serve that the node shows its certificate, from now on.
    pub(super) fn try_servers(
        &self,
        opened: &Arc<OnceLock<Opened>>,
        result: watch::Sender<Vec<TriedServer>>,
    ) {
        let store = match &self.config.keys {
            KeySource::SecretStore(store) if store.client_certificate.is_some() => {
                let own = self.config.node_tls.as_path();
                let is_shown_own = store.client_certificate.as_deref().map(Path::new) == Some(own);
                let (opened, address) = (Arc::clone(opened), store.address.clone());
                Some(server_trials::Store { opened, address, is_shown_own })
            }
            _ => None,
        };
        let trials = server_trials::Trials {
            store,
            database: Database::of(&self.config.storage, &self.config.node_tls),
            credentials: self.credentials.clone(),
            identity: self.config.identity.clone(),
            configuration: self.configuration.clone(),
            result,
        };
        self.tasks.service("trials of servers", trials.run());
    }

    /// Learns what the other replicas of this node know of its peers, and keeps learning. None: there can be no others.
    pub(super) async fn meet_others(
        &self,
        opened: &Opened,
        peers: &Arc<Peers>,
        keys: &watch::Sender<Option<Arc<Keys>>>,
    ) -> Option<Others> {
        let replicas = opened.replicas.clone()?;
        let table = PeerTable::new(replicas.database().clone(), Arc::clone(peers), keys.subscribe());
        table.learn_all().await;
        self.tasks.service("peers of replicas", Arc::clone(&table).run());
        Some(Others { replicas, table })
    }

    pub(super) async fn load_keys(
        &self,
        opened: &Opened,
        keys: &watch::Sender<Option<Arc<Keys>>>,
        imports: watch::Sender<Imports>,
        restorer: Restorer,
    ) -> Result<(), RunError> {
        if let Some(vault) = opened.vault.clone() {
            let alive = Arc::clone(&vault);
            self.tasks.service("secret store login", async move { Err::<(), _>(alive.keep_alive().await) });
            let importer = Importer::new(vault, self.resources.spare_bytes, imports);
            let service = KeyService::new(
                Sources { importer, restorer },
                self.configuration.clone(),
                keys.clone(),
                opened,
                self.readiness.clone(),
                Arc::clone(&self.metrics),
            );
            self.tasks.service("keys", service.run());
            // The sender is ours, so the wait ends with the first keys only.
            let _ = keys.subscribe().wait_for(Option::is_some).await;
        } else if let KeySource::Files(files) = &self.config.keys {
            let loaded = key_files::load(Arc::clone(files)).await?;
            self.metrics.set_keys(loaded.ring().public_keys().len());
            if let Some(replicas) = &opened.replicas {
                replicas.declare(loaded.ring().public_keys().copied().collect());
            }
            keys.send_replace(Some(Arc::new(loaded)));
            self.readiness.satisfied(ReadinessGate::Keys);
        }
        Ok(())
    }
}

async fn dynamic_configuration(config: &Config, tasks: &Tasks) -> DynamicConfiguration {
    let (watcher, configuration) = dynamic_watch::follow(config.dynamic_config.clone()).await;
    tasks.service("dynamic configuration", watcher.run());
    configuration
}
