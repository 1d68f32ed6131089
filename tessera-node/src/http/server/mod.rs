//! One listener: accepts, bounds, and ends connections.
//!
//! ```text
//! accept (bounded) ─► handshake ─► requests, one at a time ─► closed by: the peer · idle · an answer left unread ·
//!                     mutual TLS    panic → 500               its certificate's end · lost trust · the drain
//! ```

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use tessera_node_api::identity::Identity;
use tessera_tls::{AcceptError, ConnectionGuard, ServerTls};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_io_timeout::TimeoutStream;

use super::problem::Problem;
use super::reply::Reply;
use super::router::{Api, Router};
use crate::config::Limits;
use crate::metrics::{Metrics, Port};
use crate::tasks::Tasks;

/// Of a request's head. Larger ones are answered with 431, as in Java.
const HEAD_BYTES: usize = 8 << 10;
/// A connection that must close lets its request finish for so long.
const CLOSE_GRACE: Duration = Duration::from_secs(3);
/// Before the next try to accept, when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An answer, and the name of the route for metrics.
#[derive(Debug)]
pub(crate) struct Answer {
    route: &'static str,
    reply: Reply,
}

impl Answer {
    pub(crate) fn new(route: &'static str, reply: Reply) -> Self {
        Self { route, reply }
    }
}

/// Who is at the other end.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) identity: Identity,
    pub(crate) address: IpAddr,
    certificate: CertificateDer<'static>,
}

impl Caller {
    /// Whether the caller's certificate is for `host`, a DNS name or an IP address.
    pub(crate) fn speaks_for(&self, host: &str) -> bool {
        let Ok(name) = ServerName::try_from(host) else { return false };
        ParsedCertificate::try_from(&self.certificate)
            .is_ok_and(|certificate| verify_server_name(&certificate, &name).is_ok())
    }
}

/// A bound port and everything that a connection to it needs.
pub(crate) struct Server<A> {
    listener: TcpListener,
    shared: Arc<Shared<A>>,
}

struct Shared<A> {
    port: Port,
    tls: ServerTls,
    router: Router<A>,
    tasks: Tasks,
    metrics: Arc<Metrics>,
}

impl<A: Api> Server<A> {
    /// Binds `address`. Nothing is accepted before [`Self::run`].
    pub(crate) async fn bind(
        address: SocketAddr,
        port: Port,
        tls: ServerTls,
        api: A,
        limits: Limits,
        tasks: Tasks,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let router = Router::new(api, limits);
        Ok(Self { listener, shared: Arc::new(Shared { port, tls, router, tasks, metrics }) })
    }

    /// Accepts until the node drains.
    pub(crate) async fn run(self) -> Result<(), Infallible> {
        let slots = Arc::new(Semaphore::new(self.shared.router.limits().connections));
        let draining = self.shared.tasks.draining().clone();
        loop {
            let accepted = tokio::select! {
                () = draining.cancelled() => return Ok(()),
                accepted = accept(&self.listener, &slots) => accepted,
            };
            match accepted {
                Ok((stream, address, slot)) => {
                    let shared = Arc::clone(&self.shared);
                    self.shared.tasks.job(async move {
                        shared.connection(stream, address).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(port = self.shared.port.as_str(), %error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    // The slot first: a caller beyond the bound waits in the kernel's queue.
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, address) = listener.accept().await?;
    Ok((stream, address, slot))
}

impl<A: Api> Shared<A> {
    async fn connection(self: Arc<Self>, stream: TcpStream, address: SocketAddr) {
        // Answers are small and awaited.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let connection = match self.tls.accept(stream).await {
            Ok(connection) => connection,
            Err(error) => return self.refused(&error, address),
        };
        let chain = connection.stream.get_ref().1.peer_certificates().unwrap_or_default();
        let Some(certificate) = chain.first().map(|leaf| leaf.clone().into_owned()) else { return };
        let caller =
            Arc::new(Caller { identity: connection.peer.identity, address: address.ip(), certificate });
        self.metrics.connection_opened(self.port);
        let mut stream = TimeoutStream::new(connection.stream);
        // A client that stops reading must release its slot; a slow but steady reader may keep it.
        stream.set_write_timeout(Some(self.router.limits().idle));
        self.serve(TokioIo::new(Box::pin(stream)), caller, connection.guard).await;
        self.metrics.connection_closed(self.port);
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
            () = self.tasks.draining().cancelled() => connection.as_mut().graceful_shutdown(),
        }
        // The drain's own deadline ends this.
        let _ = connection.await;
    }

    async fn request(&self, request: http::Request<Incoming>, caller: &Caller) -> Reply {
        let started = Instant::now();
        let (parts, body) = request.into_parts();
        // A defect that one request meets is that request's: the connection and the node go on.
        let answered = AssertUnwindSafe(self.router.answer(&parts, body, caller)).catch_unwind().await;
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

    fn refused(&self, error: &AcceptError, address: SocketAddr) {
        let reason = match error {
            AcceptError::Refused(refusal) => refusal.reason(),
            AcceptError::Handshake(_) => "Handshake",
            AcceptError::Timeout => "Timeout",
            AcceptError::Configuration(_) => "Configuration",
        };
        if self.metrics.refused(self.port, reason) {
            let error = crate::telemetry::chain(error);
            tracing::info!(port = self.port.as_str(), %address, reason, error, "connection refused");
        }
    }
}

#[cfg(test)]
mod tests;
