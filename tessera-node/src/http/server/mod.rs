//! One listener: accepts, bounds, and ends connections.
//!
//! ```text
//! accept ─► handshake ────────► slot ───────────► requests, one at a time ─► closed by: the peer · idle · an answer left
//!           bounded, fair,      of the listener   panic → 500                unread or read too slowly · its
//!           3 s, mutual TLS     and of the        one Host                   certificate's end · lost trust · the drain
//!           handshakes.rs       identity: slots.rs
//! ```

mod handshakes;
mod listen;
mod slots;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use http::request::Parts;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tessera_node_api::identity::Identity;
use tessera_tls::{AcceptError, Connection, ConnectionGuard, ServerTls};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::server::TlsStream;

use self::handshakes::{Handshake, Handshakes};
use self::slots::{Slot, Slots};
use super::caller::Caller;
use super::problem::Problem;
use super::reply::Reply;
use super::router::{Answer, Api, Router};
use crate::callers::Callers;
use crate::listener_trials::OwnTrials;
use crate::log_limiter::LogLimiter;
use crate::metrics::{Metrics, Port};
use crate::resources::Resources;
use crate::tasks::Tasks;

/// Of a request's head. Larger ones are answered with 431, as in Java.
const HEAD_BYTES: usize = 8 << 10;
/// A connection that must close lets its request finish for so long.
const CLOSE_GRACE: Duration = Duration::from_secs(3);
/// How long an accepted peer waits for a slot.
const SLOT_WAIT: Duration = Duration::from_secs(30);
/// Before the next try to accept, when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound port and everything that a connection to it needs.
pub(crate) struct Server<A> {
    listener: TcpListener,
    shared: Arc<Shared<A>>,
}

struct Shared<A> {
    port: Port,
    tls: ServerTls,
    router: Router<A>,
    handshakes: Handshakes,
    slots: Slots,
    tasks: Tasks,
    metrics: Arc<Metrics>,
    own_trials: OwnTrials,
    /// None: who is served here is not remembered.
    callers: Option<Callers>,
    refused_identities: LogLimiter<(Identity, &'static str)>,
    refused_strangers: LogLimiter<(IpAddr, &'static str)>,
}

/// What the listeners of a node have in common.
#[derive(Clone)]
pub(crate) struct Common {
    pub(crate) tasks: Tasks,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) resources: Resources,
    pub(crate) own_trials: OwnTrials,
    pub(crate) callers: Callers,
}

impl<A: Api> Server<A> {
    /// Binds `address`. Nothing is accepted before [`Self::run`]. `share` is the memory for its requests.
    pub(crate) fn bind(
        address: SocketAddr,
        port: Port,
        tls: ServerTls,
        router: Router<A>,
        common: Common,
    ) -> io::Result<Self> {
        let listener = listen::bind(address)?;
        let Common { tasks, metrics, resources, own_trials, callers } = common;
        let connections = resources.connections(router.limits().connections);
        let shared = Shared {
            port,
            tls,
            router,
            handshakes: Handshakes::new(resources.handshakes),
            slots: Slots::new(connections),
            tasks,
            metrics,
            own_trials,
            callers: matches!(port, Port::Q2t | Port::Metrics).then_some(callers),
            refused_identities: LogLimiter::default(),
            refused_strangers: LogLimiter::default(),
        };
        Ok(Self { listener, shared: Arc::new(shared) })
    }

    /// Where it is bound.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts until the node drains.
    pub(crate) async fn run(self) -> Result<(), Infallible> {
        let draining = self.shared.tasks.draining().clone();
        loop {
            let accepted = tokio::select! {
                () = draining.cancelled() => return Ok(()),
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => {
                    let handshake = self.shared.handshakes.begin(address.ip());
                    self.shared.tasks.job(Arc::clone(&self.shared).connection(stream, address, handshake));
                }
                Err(error) => {
                    tracing::warn!(port = self.shared.port.as_str(), %error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl<A: Api> Shared<A> {
    async fn connection(self: Arc<Self>, stream: TcpStream, address: SocketAddr, handshake: Handshake) {
        let admitted = tokio::select! {
            admitted = self.admit(stream, address) => admitted,
            () = handshake.superseded() => {
                self.metrics.refused(self.port, "Superseded");
                None
            }
            () = self.tasks.draining().cancelled() => None,
        };
        drop(handshake);
        let Some((connection, _slot)) = admitted else { return };
        let chain = connection.stream.get_ref().1.peer_certificates().unwrap_or_default();
        let Some(certificate) = chain.first().map(|leaf| leaf.clone().into_owned()) else { return };
        let peer = connection.peer;
        let _open = self.callers.as_ref().and_then(|callers| callers.opened(&peer.identity, &peer.issuer));
        let caller = Arc::new(Caller::new(peer, certificate));
        self.metrics.connection_opened(self.port);
        let mut stream = TimeoutStream::new(connection.stream);
        // A client that stops reading must release its slot; a slow but steady reader may keep it.
        stream.set_write_timeout(Some(self.router.limits().idle));
        self.serve(TokioIo::new(Box::pin(stream)), caller, connection.guard).await;
        self.metrics.connection_closed(self.port);
    }

    /// A connection whose peer is served here, and its slot.
    async fn admit(
        &self,
        stream: TcpStream,
        address: SocketAddr,
    ) -> Option<(Connection<TlsStream<TcpStream>>, Slot)> {
        // Answers are small and awaited.
        stream.set_nodelay(true).ok()?;
        // Asked before the handshake: the trial ends with its refusal.
        let is_own_trial = self.own_trials.has(address);
        let refused = |error| {
            if !is_own_trial {
                self.refused(&error, address.ip());
            }
        };
        let connection = self.tls.accept(stream).await.map_err(refused).ok()?;
        let holder = slots::holder(&connection.peer);
        let slot = self.slots.take(&holder);
        let Ok(slot) = tokio::time::timeout(SLOT_WAIT, slot).await else {
            self.metrics.refused(self.port, "NoSlot");
            return None;
        };
        Some((connection, slot?))
    }

    async fn serve<S>(self: &Arc<Self>, stream: TokioIo<S>, caller: Arc<Caller>, guard: ConnectionGuard)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(|request| {
            let (shared, caller) = (Arc::clone(self), Arc::clone(&caller));
            async move { Ok::<_, Infallible>(shared.request(request, &caller).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.router.limits().idle)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(stream, service);
        tokio::pin!(connection);
        tokio::select! {
            // Callers end their connections as they like.
            _ = &mut connection => return,
            reason = guard.closed() => {
                tracing::info!(port = self.port.as_str(), caller = %caller.identity, %reason, "connection closed");
                connection.as_mut().graceful_shutdown();
                let _ = tokio::time::timeout(CLOSE_GRACE, connection).await;
                return;
            }
            () = caller.overdue() => {
                tracing::debug!(port = self.port.as_str(), caller = %caller.identity, "an answer is read too slowly");
                self.metrics.refused(self.port, "SlowReader");
                return;
            }
            () = self.tasks.draining().cancelled() => connection.as_mut().graceful_shutdown(),
        }
        // The drain's own deadline ends this.
        let _ = connection.await;
    }

    async fn request(&self, request: http::Request<Incoming>, caller: &Caller) -> Reply {
        let started = Instant::now();
        let (parts, body) = request.into_parts();
        let answer = async {
            match check_host(&parts) {
                Ok(()) => self.router.answer(&parts, body, caller).await,
                Err(problem) => Answer::new("unknown", problem.into_reply(&parts)),
            }
        };
        // A defect that one request meets is that request's: the connection and the node go on.
        let answered = AssertUnwindSafe(answer).catch_unwind().await;
        let Answer { route, reply } = answered.unwrap_or_else(|_| {
            tracing::error!(port = self.port.as_str(), "a request panicked");
            Answer::new("panicked", Problem::unexplained().into_reply(&parts))
        });
        self.metrics.answered(self.port, route, reply.status(), started.elapsed());
        tracing::debug!(
            port = self.port.as_str(),
            method = %parts.method,
            path = parts.uri.path(),
            status = reply.status().as_u16(),
            caller = %caller.identity,
            "answered"
        );
        reply
    }

    /// An auditor wants each identity that was refused, once; a port scan must not fill the log.
    fn refused(&self, error: &AcceptError, address: IpAddr) {
        let (reason, identity) = match error {
            AcceptError::Refused(refusal) => (refusal.reason(), refusal.identity()),
            AcceptError::Handshake(_) => ("Handshake", None),
            AcceptError::Timeout => ("Timeout", None),
            AcceptError::Configuration(_) => ("Configuration", None),
        };
        self.metrics.refused(self.port, reason);
        let admitted = match identity {
            Some(identity) => self.refused_identities.admit((identity.clone(), reason)),
            None => self.refused_strangers.admit((address.to_canonical(), reason)),
        };
        if let Some(suppressed) = admitted {
            let error = crate::telemetry::chain(error);
            tracing::info!(port = self.port.as_str(), %address, reason, error, suppressed, "connection refused");
        }
    }
}

/// HTTP/1.1 has exactly one `Host`, and older requests at most one.
fn check_host(request: &Parts) -> Result<(), Problem> {
    match request.headers.get_all(http::header::HOST).iter().count() {
        1 => Ok(()),
        0 if request.version < http::Version::HTTP_11 => Ok(()),
        0 => Err(Problem::bad_host("No Host")),
        _ => Err(Problem::bad_host("Duplicate Host Header")),
    }
}

#[cfg(test)]
mod tests;
