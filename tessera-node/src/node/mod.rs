//! Puts a node together and runs it.
//!
//! ```text
//! probe ─► certificates, dynamic configuration ─► admin, metrics ─► egress closed ─► payload store ─► keys ─► peers of replicas ─► P2P, Q2T ─► ready
//!                                                 (the operator sees from here on what is awaited)
//! SIGTERM ─► not ready ─► of several replicas: serve on for a moment ─► stop accepting ─► finish what is in flight, to a deadline ─► give up the store's login ─► end
//! ```

mod base;
mod payload_store;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tessera_keys::{VaultError, VaultKeys};
use tessera_store::OpenError;
use tessera_tls::Trust;
use tokio::sync::watch;

use self::base::Base;
use crate::admin::NodeState;
use crate::config::watch::DynamicConfiguration;
use crate::config::{Config, Storage};
use crate::key_files::KeyFilesError;
use crate::keyring::Keys;
use crate::payload_store::PayloadStore;
use crate::peers::{NodeUrl, Peers};
use crate::readiness::{Readiness, ReadinessGate};
use crate::replicas::Replicas;
use crate::tasks::{Ended, Tasks};
use crate::transaction::TransactionManager;
use crate::{key_restore, probe, tasks};

/// For requests in progress when the node must end. A pod has 30 s.
const DRAIN: Duration = Duration::from_secs(20);
/// For giving up the store's login.
const REVOKE: Duration = Duration::from_secs(3);
/// Until the cluster sends no more connections to a pod that ends. With one pod there is nobody else to send them to.
const LINGER: Duration = Duration::from_secs(4);

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
    #[error("keys cannot be loaded")]
    Keys(#[from] KeyFilesError),
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
        std::future::pending().await
    };
    let outcome = tokio::select! {
        outcome = running => outcome,
        ended = watch.ended() => Err(ended.into()),
        () = shutdown => Ok(()),
    };
    tracing::info!("draining");
    if let Some(readiness) = &closing.readiness {
        readiness.wait_for(ReadinessGate::Running, "the node is shutting down");
    }
    if outcome.is_ok() && closing.replicas.as_ref().is_some_and(Replicas::are_several) {
        tokio::time::sleep(LINGER).await;
    }
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
    readiness: Option<Readiness>,
    vault: Option<Arc<VaultKeys>>,
    store: Option<PayloadStore>,
    replicas: Option<Replicas>,
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
    closing.readiness = Some(base.readiness.clone());
    let opened = Arc::new(OnceLock::new());
    let keys = watch::Sender::new(None);
    let imports = watch::Sender::default();
    let (restores, taker) = key_restore::channel();
    let egress_closed_since = watch::Sender::new(None);
    let listener_trials = watch::Sender::new(None);
    let egress_trials = watch::Sender::new(None);
    let server_trials = watch::Sender::new(Vec::new());
    let peers = base.peers();
    let mut listeners = base
        .early_listeners(NodeState {
            identity: base.config.identity.to_string(),
            started_at: base.started_at.clone(),
            opened: Arc::clone(&opened),
            readiness: base.readiness.clone(),
            keys: keys.subscribe(),
            imports: imports.subscribe(),
            restores,
            credentials: base.credentials.clone(),
            admin_credentials: None,
            p2p_trust: Trust::new(base.credentials.clone(), base.nodes()),
            configuration: base.configuration.clone(),
            egress_closed_since: egress_closed_since.subscribe(),
            peers: Arc::clone(&peers),
            metrics: Arc::clone(&base.metrics),
            listener_trials: listener_trials.subscribe(),
            egress_trials: egress_trials.subscribe(),
            server_trials: server_trials.subscribe(),
            logs: base.logs.clone(),
            callers: base.callers.clone(),
        })
        .await?;
    base.close_egress(&egress_closed_since).await;
    base.try_egress(egress_trials);
    let has_database = matches!(base.config.storage, Storage::Postgres(_));
    if has_database {
        // Before it is open: whom its servers accept, and partners' servers, are known also while it is away.
        base.try_servers(&opened, server_trials.clone());
    }
    let found = base.open_store().await?;
    closing.store = Some(found.store.clone());
    closing.vault.clone_from(&found.vault);
    closing.replicas.clone_from(&found.replicas);
    let in_place = Arc::clone(&opened);
    let opened = in_place.get_or_init(|| found);
    if !has_database {
        base.try_servers(&in_place, server_trials);
    }
    base.load_keys(opened, &keys, imports, taker).await?;

    let others = base.meet_others(opened, &peers, &keys).await;
    let payloads = opened.payloads();
    let manager = TransactionManager::new(
        keys.subscribe(),
        payloads,
        Arc::clone(&peers),
        base.config.policy.clone(),
        base.resources.budget.share(),
        base.tasks.clone(),
        others,
    );
    listeners.extend(base.late_listeners(&manager)?);
    base.try_listeners(listeners, listener_trials);
    let announcing = announce_changes(
        Arc::clone(&peers),
        keys.subscribe(),
        base.configuration.clone(),
        base.config.peers.clone(),
    );
    base.tasks.service("announcing", announcing);
    base.tasks.service("discovery", peers.discover());
    base.repairs.serve(&manager);
    base.readiness.satisfied(ReadinessGate::Listeners);
    Ok(manager)
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
            .flat_map(|keys| keys.advertised().copied().collect::<Vec<_>>())
            .collect();
        let partners = dynamic.iter().flat_map(|dynamic| &dynamic.partners);
        // A partner whose bundle cannot be used is not known.
        let partners = partners.filter(|partner| partner.trust.is_ok());
        let of_partners = partners.flat_map(|partner| partner.urls.clone());
        let configured = dynamic.iter().flat_map(|dynamic| dynamic.peers.clone()).chain(fixed.clone());
        let trusted = Arc::clone(&configuration.partners().borrow());
        peers.configure(own, configured.chain(of_partners), trusted);
        tokio::select! {
            Ok(()) = changes.changed() => {}
            Ok(()) = keys.changed() => {}
            // Neither can change any more.
            else => std::future::pending().await,
        }
    }
}
