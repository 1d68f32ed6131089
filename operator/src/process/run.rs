//! Composition: client, watches, controllers, lease, health server, shutdown.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::runtime::controller::{Action, Config, Controller, Error as ControllerError};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use kube::{Client, Resource};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::sync::watch::Receiver;
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::controller::context::{AdminClients, Context};
use crate::issue::authorities::Authorities;
use crate::kube::events::Events;
use crate::kube::fault::Faults;
use crate::kube::lease;
use crate::kube::writer::Writer;
use crate::memory::backoff::Backoff;
use crate::process::health::{self, Health};
use crate::process::metrics::Metrics;
use crate::process::tasks::{Tasks, UnexpectedEnd};
use crate::watch::caches::Caches;
use crate::{network, node, watch};

pub use crate::report::error::chain;

/// Reconciles of one kind in one namespace at once.
const CONCURRENCY: u16 = 4;
/// Of all kinds in all namespaces.
const SLOTS: usize = 16;
/// The longest request to the API server.
const REQUEST: Duration = Duration::from_secs(30);
/// The longest silence of a watch: longer than kube's own limit for one, and than the pause between two bookmarks.
const WATCH_SILENCE: Duration = Duration::from_secs(320);
/// Changes come in bursts: a bring-up touches an object for each object that it makes.
const DEBOUNCE: Duration = Duration::from_millis(200);
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
pub fn run(args: Args) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::Runtime)?;
    runtime.block_on(operate(args))
}

async fn operate(args: Args) -> Result<(), Error> {
    let stop = CancellationToken::new();
    let mut tasks = Tasks::new(stop.clone());
    stop_on_signal(&mut tasks)?;
    let config = kube::Config::infer().await.map_err(Error::Config)?;
    let clients = Clients { requests: client(&config, REQUEST)?, watches: client(&config, WATCH_SILENCE)? };
    let health = Arc::new(Health::default());
    let metrics = Arc::new(Metrics::default());
    let server =
        health::serve(args.health_bind, Arc::clone(&health), Arc::clone(&metrics), stop.clone()).await;
    tasks.spawn(server.map_err(|error| Error::Health(args.health_bind, error))?);
    if !args.leader_elect {
        manage(&clients, &args, &health, &metrics, &mut tasks);
        return drained(tasks, stop).await;
    }
    // A process that stands by is ready: it can take over.
    health.set_ready();
    let mut leadership = tokio::select! {
        led = lease::lead(lease_client(&config)?, &args.operator_namespace, &args.identity) => led,
        () = stop.cancelled() => return drained(tasks, stop).await,
    };
    manage(&clients, &args, &health, &metrics, &mut tasks);
    let ended = tokio::select! {
        ended = drained(tasks, stop) => ended,
        // What is under way is dropped: nothing that this process knows may be used any longer. A new one stands by.
        why = leadership.lost() => Err(Error::LeaseLost(why)),
    };
    // Only now: another may begin at once.
    leadership.end().await;
    ended
}

/// Ways to the API server. Nothing of either hangs permanently.
struct Clients {
    requests: Client,
    watches: Client,
}

/// A client that waits so long for each piece of an answer.
fn client(config: &kube::Config, patience: Duration) -> Result<Client, Error> {
    let mut config = config.clone();
    config.read_timeout = Some(patience);
    config.reset_reader_on_write = true;
    Client::try_from(config).map_err(Error::Client)
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

fn manage(clients: &Clients, args: &Args, health: &Arc<Health>, metrics: &Arc<Metrics>, tasks: &mut Tasks) {
    let namespaces = args.managed_namespaces();
    tracing::info!(?namespaces, "managing");
    let client = &clients.requests;
    let writer = Arc::new(Writer::new(client.clone(), Faults::new(args.fault_point)));
    let authorities = Arc::new(Authorities::new(client.clone(), args.operator_namespace.clone()));
    let slots = Arc::new(Semaphore::new(SLOTS));
    let mut all_filled = Vec::new();
    for namespace in &namespaces {
        let (caches, queues) = watch::start(&clients.watches, namespace, health, tasks);
        let filled = watch_filling(caches.clone(), tasks);
        let context = Arc::new(Context {
            client: client.clone(),
            writer: Arc::clone(&writer),
            events: Events::new(client.clone(), &args.identity),
            caches,
            authorities: Arc::clone(&authorities),
            admin: Arc::new(AdminClients::default()),
            backoff: Arc::new(Backoff::default()),
            slots: Arc::clone(&slots),
            metrics: Arc::clone(metrics),
            node_statuses: Arc::default(),
            network_statuses: Arc::default(),
            stores: Arc::default(),
            settings: args.settings(),
        });
        spawn_controllers(context, queues, &filled, tasks);
        all_filled.push(filled);
    }
    ready_when_filled(all_filled, Arc::clone(health), tasks);
}

/// Says when the caches are filled. This task alone waits for them: a store wakes only the last of its waiters.
fn watch_filling(caches: Caches, tasks: &mut Tasks) -> Receiver<bool> {
    let (sender, receiver) = tokio::sync::watch::channel(false);
    tasks.spawn_until_stop(async move {
        if caches.wait_until_ready().await.is_err() {
            return "a cache lost its watch".to_owned();
        }
        sender.send_replace(true);
        // The sender lives as long as this task: its end would count as never filled.
        std::future::pending::<()>().await;
        drop(sender);
        String::new()
    });
    receiver
}

fn ready_when_filled(all: Vec<Receiver<bool>>, health: Arc<Health>, tasks: &mut Tasks) {
    tasks.spawn_until_stop(async move {
        for mut filled in all {
            if filled.wait_for(|filled| *filled).await.is_err() {
                return "the caches were never filled".to_owned();
            }
        }
        health.set_ready();
        std::future::pending().await
    });
}

fn spawn_controllers(
    context: Arc<Context>,
    queues: watch::Queues,
    filled: &Receiver<bool>,
    tasks: &mut Tasks,
) {
    let (stop, mut gate) = (tasks.stop().clone(), filled.clone());
    let ctx = Arc::clone(&context);
    tasks.spawn(async move {
        if gate.wait_for(|filled| *filled).await.is_err() {
            return "the caches of networks were never filled".to_owned();
        }
        let controller = controller(ctx.caches.networks.clone(), queues.networks, stop);
        ended(controller.run(network::reconcile, network::error_policy, ctx), "networks").await
    });
    let (stop, mut gate) = (tasks.stop().clone(), filled.clone());
    tasks.spawn(async move {
        if gate.wait_for(|filled| *filled).await.is_err() {
            return "the caches of nodes were never filled".to_owned();
        }
        let controller = controller(context.caches.nodes.clone(), queues.nodes, stop);
        ended(controller.run(node::reconcile, node::error_policy, context), "nodes").await
    });
}

/// A controller that is fed by our own watches alone.
fn controller<K>(
    store: Store<K>,
    queue: impl Stream<Item = ObjectRef<K>> + Send + 'static,
    stop: CancellationToken,
) -> Controller<K>
where
    K: Resource<DynamicType = ()>
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug
        + Send
        + Sync
        + 'static,
{
    let nothing = futures::stream::pending::<Result<K, watcher::Error>>();
    Controller::for_stream(nothing, store)
        .with_config(Config::default().concurrency(CONCURRENCY).debounce(DEBOUNCE))
        .reconcile_on(queue)
        .graceful_shutdown_on(stop.cancelled_owned())
}

async fn ended<K, E>(
    results: impl Stream<Item = Result<(ObjectRef<K>, Action), ControllerError<E, watcher::Error>>>,
    kind: &str,
) -> String
where
    K: Resource,
    E: std::error::Error + 'static,
{
    // Errors of reconciles were logged by their policy; an object that is gone is no error.
    results.for_each(async |_| {}).await;
    format!("the controller of {kind} ended")
}
