//! Composition: client, watches, controllers, lease, health server, shutdown.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::client::ClientBuilder;
use prometheus_client::metrics::counter::Counter;
use tessera_crds::{TesseraNetwork, TesseraNetworkStatus, TesseraNode, TesseraNodeStatus};
use tessera_log_shipping::Reports;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tower::util::MapRequestLayer;

use crate::args::Args;
use crate::backup::carry;
use crate::backup::memory::Backups;
use crate::controller::context::{Context, Queues};
use crate::issue::authorities::Authorities;
use crate::issue::leaf::KnownLeaf;
use crate::issue::leftovers::{self, Sweep};
use crate::kube::events::Events;
use crate::kube::fault::Faults;
use crate::kube::lease;
use crate::kube::open_reports::{self, OpenReports};
use crate::kube::watch_clients::WatchClients;
use crate::kube::writer::Writer;
use crate::memory::backoff::Backoff;
use crate::memory::per_object::{PerObject, Registry};
use crate::memory::status_memo::StatusMemo;
use crate::node::observe::known_volume::KnownVolume;
use crate::probe::answers::NodeAnswers;
use crate::probe::cluster_reports::ClusterReports;
use crate::probe::event_reports::EventReports;
use crate::probe::store_reports::StoreReports;
use crate::probe::strangers::StrangerReports;
use crate::process::canary;
use crate::process::health::{self, Health};
use crate::process::logs::{self, OwnLog};
use crate::process::metrics::Metrics;
use crate::process::tasks::{Tasks, UnexpectedEnd};
use crate::watch::caches::Caches;
use crate::watch::client_namespaces::ClientNamespaces;
use crate::{controller, probe, watch};

pub use crate::report::error::chain;

/// Waits of an object that fails.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// The longest request to the API server.
const REQUEST: Duration = Duration::from_secs(30);
/// Pause between two connects to an API server that does not answer when this process starts.
const ASK_AGAIN: Duration = Duration::from_secs(2);
const DRAIN: Duration = Duration::from_secs(20);

/// Why the operator ends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No runtime.
    #[error("no asynchronous runtime")]
    Runtime(#[source] std::io::Error),
    /// No way to the API server is configured.
    #[error("no access to an API server: run in a pod, or set KUBECONFIG")]
    Config(#[source] kube::config::InferConfigError),
    /// The configured way to the API server cannot be used.
    #[error("no client of the API server can be made of the configuration")]
    Client(#[source] kube::Error),
    /// The health port cannot be had.
    #[error("cannot listen on the health address {0}")]
    Health(std::net::SocketAddr, #[source] std::io::Error),
    /// A port of the canary cannot be had.
    #[error("cannot listen on the ports of the canary: {}", crate::checklist::stranger::CLOSED_PORTS.map(|port| port.number.to_string()).join(", "))]
    Canary(#[source] std::io::Error),
    /// Signals cannot be received.
    #[error("cannot receive signals")]
    Signals(#[source] std::io::Error),
    /// This process leads no more, or cannot know that it does.
    #[error("the lease was lost: {0}")]
    LeaseLost(String),
    /// A task ended.
    #[error(transparent)]
    Task(#[from] UnexpectedEnd),
}

/// Runs until SIGTERM or SIGINT.
pub fn run(args: Args, own_log: Option<OwnLog>) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::Runtime)?;
    runtime.block_on(operate(args, own_log))
}

async fn operate(args: Args, own_log: Option<OwnLog>) -> Result<(), Error> {
    let stop = CancellationToken::new();
    let mut tasks = Tasks::new(stop.clone());
    stop_on_signal(&mut tasks)?;
    let config = kube::Config::infer().await.map_err(Error::Config)?;
    let health = Arc::new(Health::default());
    let metrics = Arc::new(Metrics::default());
    let server = health::serve(args.health_bind, Arc::clone(&health), Arc::clone(&metrics), stop.clone());
    tasks.spawn(server.map_err(|error| Error::Health(args.health_bind, error))?);
    // A replica that stands by has a log, too.
    let own_log = own_log.map(|log| logs::start(log, &args.identity, metrics.logs(), &mut tasks));
    if args.canary_host.is_some() {
        canary::start(&mut tasks).map_err(Error::Canary)?;
    }
    health.set_standing_by(args.leader_elect);
    let clients = Clients {
        reconciles: counted_client(&config, metrics.requests())?,
        probes: client(&config, REQUEST)?,
        watches: tokio::select! {
            watches = watch_clients(&config) => watches?,
            () = stop.cancelled() => return drained(tasks, stop).await,
        },
    };
    if !args.leader_elect {
        manage(&clients, &args, own_log, &health, &metrics, &mut tasks)?;
        return drained(tasks, stop).await;
    }
    let mut leadership = tokio::select! {
        led = lease::lead(lease_client(&config)?, &args.operator_namespace, &args.identity) => led,
        () = stop.cancelled() => return drained(tasks, stop).await,
    };
    health.set_standing_by(false);
    let ended = if let Err(error) = manage(&clients, &args, own_log, &health, &metrics, &mut tasks) {
        Err(error)
    } else {
        tokio::select! {
            ended = drained(tasks, stop) => ended,
            // What is under way is dropped: nothing that this process knows may be used any longer. A new one stands by.
            why = leadership.lost() => Err(Error::LeaseLost(why)),
        }
    };
    // Only now: another may begin at once.
    leadership.end().await;
    ended
}

/// Ways to the API server. Nothing of either hangs permanently.
struct Clients {
    reconciles: Client,
    probes: Client,
    watches: WatchClients,
}

/// Waits until the API server answers: watches share connections if it supports HTTP/2.
async fn watch_clients(config: &kube::Config) -> Result<WatchClients, Error> {
    let mut reported = String::new();
    loop {
        match WatchClients::new(config).await {
            Ok(clients) => return Ok(clients),
            Err(error @ (kube::Error::Service(_) | kube::Error::HyperError(_))) => {
                let error = chain(&error);
                if error != reported {
                    tracing::warn!(error, "the API server does not answer; the operator goes on trying");
                    reported = error;
                }
                tokio::time::sleep(ASK_AGAIN).await;
            }
            Err(error) => return Err(Error::Client(error)),
        }
    }
}

/// A client that waits so long for each piece of an answer.
fn client(config: &kube::Config, patience: Duration) -> Result<Client, Error> {
    Client::try_from(patient(config, patience)).map_err(Error::Client)
}

fn patient(config: &kube::Config, patience: Duration) -> kube::Config {
    let mut config = config.clone();
    config.read_timeout = Some(patience);
    config.reset_reader_on_write = true;
    config
}

/// A client of reconciles, whose requests are counted.
fn counted_client(config: &kube::Config, requests: Counter) -> Result<Client, Error> {
    let builder = ClientBuilder::try_from(patient(config, REQUEST)).map_err(Error::Client)?;
    let count = MapRequestLayer::new(move |request: http::Request<kube::client::Body>| {
        requests.inc();
        request
    });
    Ok(builder.with_layer(&count).build())
}

/// A client whose requests end in time for another try.
fn lease_client(config: &kube::Config) -> Result<Client, Error> {
    let mut config = config.clone();
    config.connect_timeout = Some(lease::REQUEST);
    config.default_retry = false;
    client(&config, lease::REQUEST)
}

/// After the stop, reconciles in progress may finish, but not permanently.
async fn drained(tasks: Tasks, stop: CancellationToken) -> Result<(), Error> {
    let too_late = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        ended = tasks.supervise() => Ok(ended?),
        () = too_late => {
            tracing::warn!("reconciles did not end in time");
            Ok(())
        }
    }
}

fn stop_on_signal(tasks: &mut Tasks) -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
    let stop = tasks.stop().clone();
    tasks.spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = stop.cancelled() => {}
        }
        stop.cancel();
        "stopped".to_owned()
    });
    Ok(())
}

fn manage(
    clients: &Clients,
    args: &Args,
    own_log: Option<Reports>,
    health: &Arc<Health>,
    metrics: &Arc<Metrics>,
    tasks: &mut Tasks,
) -> Result<(), Error> {
    let namespaces = args.managed_namespaces();
    tracing::info!(?namespaces, "managing");
    let shared = Shared::new(clients, args, own_log);
    let contexts: Vec<_> =
        namespaces.into_iter().map(|namespace| Arc::new(shared.context(namespace, args, metrics))).collect();
    let sweep = Sweep {
        client: clients.probes.clone(),
        authorities: Arc::clone(&shared.authorities),
        client_namespaces: shared.client_namespaces.clone(),
        managed: contexts.iter().map(|it| (it.namespace.clone(), it.caches.clone())).collect(),
    };
    leftovers::start(sweep, tasks);
    if args.open_reports {
        open_reports::start(&shared.open_reports, tasks);
    }
    watch::start_shared(&clients.watches, &contexts, health, tasks).map_err(Error::Client)?;
    for context in &contexts {
        watch::start(&clients.watches, context, health, tasks).map_err(Error::Client)?;
        probe::nodes::start(context, tasks);
        probe::stores::start(context, tasks);
        probe::strangers::start(context, tasks);
        probe::cluster::start(context, tasks);
        probe::ssh::start(context, tasks);
        probe::events::start(context, tasks);
        carry::start(context, tasks);
        controller::start::<TesseraNetwork>(context, tasks);
        controller::start::<TesseraNode>(context, tasks);
    }
    Ok(())
}

/// What all namespaces have in common.
struct Shared {
    client: Client,
    probes: Client,
    registry: Arc<Registry>,
    authorities: Arc<Authorities>,
    writer: Arc<Writer>,
    open_reports: Arc<OpenReports>,
    leaves: Arc<PerObject<KnownLeaf>>,
    volumes: Arc<PerObject<KnownVolume>>,
    backoff: Arc<Backoff>,
    node_statuses: Arc<StatusMemo<TesseraNodeStatus>>,
    network_statuses: Arc<StatusMemo<TesseraNetworkStatus>>,
    answers: Arc<NodeAnswers>,
    backups: Arc<Backups>,
    stores: Arc<StoreReports>,
    event_reports: Arc<EventReports>,
    strangers: Arc<StrangerReports>,
    cluster: Arc<ClusterReports>,
    client_namespaces: ClientNamespaces,
    own_log: Option<Reports>,
}

impl Shared {
    fn new(clients: &Clients, args: &Args, own_log: Option<Reports>) -> Self {
        let (client, registry) = (&clients.reconciles, Arc::new(Registry::default()));
        // First: what is forgotten first are CA keys.
        let authorities = Authorities::new(client.clone(), args.operator_namespace.clone(), &registry);
        let writer = Arc::new(Writer::new(client.clone(), Faults::new(args.fault_point), &registry));
        Self {
            client: client.clone(),
            probes: clients.probes.clone(),
            authorities: Arc::new(authorities),
            open_reports: Arc::new(OpenReports::new(clients.probes.clone(), Arc::clone(&writer), &registry)),
            writer,
            leaves: registry.per_object(),
            volumes: registry.per_object(),
            backoff: Arc::new(Backoff::new(&registry, FIRST_BACKOFF, LONGEST_BACKOFF)),
            node_statuses: Arc::new(StatusMemo::new(&registry)),
            network_statuses: Arc::new(StatusMemo::new(&registry)),
            answers: Arc::new(NodeAnswers::new(&registry)),
            backups: Arc::new(Backups::new(args.operator_namespace.clone(), &registry)),
            stores: Arc::new(StoreReports::new(&registry)),
            event_reports: Arc::new(EventReports::new(&registry)),
            strangers: Arc::new(StrangerReports::new(&registry, args.canary())),
            cluster: Arc::new(ClusterReports::new(&registry, args.managed_namespaces())),
            client_namespaces: args.client_namespaces(),
            own_log,
            registry,
        }
    }

    fn context(&self, namespace: String, args: &Args, metrics: &Arc<Metrics>) -> Context {
        Context {
            namespace,
            client: self.client.clone(),
            probes: self.probes.clone(),
            writer: Arc::clone(&self.writer),
            events: Events::new(self.client.clone(), &args.identity),
            open_reports: Arc::clone(&self.open_reports),
            caches: Caches::default(),
            client_namespaces: self.client_namespaces.clone(),
            queues: Queues::default(),
            registry: Arc::clone(&self.registry),
            authorities: Arc::clone(&self.authorities),
            leaves: Arc::clone(&self.leaves),
            volumes: Arc::clone(&self.volumes),
            backoff: Arc::clone(&self.backoff),
            metrics: Arc::clone(metrics),
            node_statuses: Arc::clone(&self.node_statuses),
            network_statuses: Arc::clone(&self.network_statuses),
            answers: Arc::clone(&self.answers),
            backups: Arc::clone(&self.backups),
            stores: Arc::clone(&self.stores),
            event_reports: Arc::clone(&self.event_reports),
            strangers: Arc::clone(&self.strangers),
            cluster: Arc::clone(&self.cluster),
            own_log: self.own_log.clone(),
            rollouts: Arc::default(),
            settings: args.settings(),
        }
    }
}
