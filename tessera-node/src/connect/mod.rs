//! `tessera-node connect`: a ledger's way to its node, for ledgers that cannot do mutual TLS well. A sidecar in the ledger's own
//! pod.
//!
//! ```text
//! ledger ──HTTP──► Unix socket (0660) ──┐
//!                  127.0.0.1 (by flag) ─┴─► connections ─► forward ─► node_client ──mutual TLS──► exactly its node
//!                                           bounded        head       pooled, bounded
//! kubelet ──exec──► probe                   longest idle   bodies     new files: new connections
//!                                           gives way      stream
//! ```
//!
//! - A request passes as it is, but for its hop-by-hop headers and its `Host`. No body is held as a whole, and nothing of a
//!   request is logged but its method: a path holds the hash of a transaction.
//! - A request that may have reached the node is sent again only if it changes nothing ([`node_client`]).

mod activity;
mod config;
mod connections;
mod forward;
mod head;
mod host_network;
mod node_client;
mod pool;
mod problem;
mod server;
mod socket;
mod upload;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tessera_tls::{AllowedPeers, ClientTls, CredentialsReceiver, Expectation, Usage};

pub use self::config::{Config, ConfigError};
pub use self::host_network::SharedNetwork;
pub use self::socket::BindError;

use self::connections::Connections;
use self::forward::Forwarder;
use self::node_client::NodeClient;
use self::server::{Listener, Server};
use self::socket::SocketFile;
use crate::certificate;
use crate::probe::{self, ProbeSocket};
use crate::readiness::{Readiness, ReadinessGate};
use crate::resources::Resources;
use crate::tasks::{Ended, Tasks};

/// For requests in progress when the sidecar must end. A pod has 30 s.
const DRAIN: Duration = Duration::from_secs(20);

/// Why the sidecar ended, or did not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The probe socket.
    #[error(transparent)]
    Probe(#[from] probe::BindError),
    /// The ledger's socket.
    #[error(transparent)]
    Socket(#[from] BindError),
    /// The loopback port.
    #[error("cannot listen on port {port} of 127.0.0.1")]
    Loopback {
        /// Which.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// A part of the sidecar ended by itself.
    #[error(transparent)]
    Ended(#[from] Ended),
    /// Something was still running at the drain's deadline.
    #[error("not everything ended within {} s of the drain", DRAIN.as_secs())]
    Drain,
}

/// Carries requests until `shutdown`.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
    let (tasks, mut watch) = Tasks::new();
    let readiness = Readiness::with([
        (ReadinessGate::Certificate, "no valid certificate yet"),
        (ReadinessGate::Listeners, "the socket is not bound yet"),
    ]);
    let running = async {
        let _socket = start(&config, &tasks, &readiness).await?;
        std::future::pending().await
    };
    // The socket's file goes with `running`, before the drain: a ledger then fails at once, and not in the middle.
    let outcome = tokio::select! {
        outcome = running => outcome,
        ended = watch.ended() => Err(ended.into()),
        () = shutdown => Ok(()),
    };
    tracing::info!("draining");
    readiness.wait_for(ReadinessGate::Running, "the sidecar is shutting down");
    let drained = tasks.drain(DRAIN).await;
    tracing::info!("ended");
    match outcome {
        Ok(()) if !drained => Err(RunError::Drain),
        outcome => outcome,
    }
}

/// Returns when the ledger can connect. What it returns is held until the drain.
async fn start(config: &Config, tasks: &Tasks, readiness: &Readiness) -> Result<SocketFile, RunError> {
    let probe = ProbeSocket::bind(&config.probe_socket)?;
    tasks.observer("probe", probe.run(readiness.clone(), tasks.clone()));
    let expectation = Expectation { identity: config.client.clone(), usage: Usage::Client };
    let credentials = CredentialsReceiver::watch_directory(&config.tls, expectation).await;
    tasks.service("certificate", certificate::follow(credentials.clone(), readiness.clone()));
    let tls = ClientTls::new(credentials.clone(), AllowedPeers::Named(config.node.clone()));
    let node = Arc::new(NodeClient::new(config, tls, tasks.clone()));
    tasks.service("connections to the node", Arc::clone(&node).prune(credentials));

    let resources = Resources::of_process(None, 1);
    let connections = Connections::new(resources.connections(config.max_connections));
    let forwarder = Arc::new(Forwarder::new(node, &config.node_url));
    let serve = |name, listener| {
        let server = Server {
            forwarder: Arc::clone(&forwarder),
            connections: connections.clone(),
            tasks: tasks.clone(),
        };
        tasks.service(name, server.run(listener));
    };
    let (listener, file) = socket::bind(&config.socket)?;
    serve("socket", Listener::Unix(listener));
    if let Some(port) = config.loopback {
        let listener =
            server::bind_loopback(port).await.map_err(|source| RunError::Loopback { port, source })?;
        tracing::warn!(
            port,
            "every process of the pod, and everybody who may port-forward to it, speaks to the node without a certificate"
        );
        serve("loopback port", Listener::Loopback(listener));
    }
    readiness.satisfied(ReadinessGate::Listeners);
    Ok(file)
}
