//! Requests to the node over mutual TLS.
//!
//! A request goes out once. It goes out a second time, on a new connection, in two cases only: nothing of it was sent, since the
//! node had closed the idle connection that was to carry it; or it has a safe method (GET, HEAD, OPTIONS) and no body.
//!
//! A connection belongs to the certificate that it was opened with. After a change of the files the next request opens a new
//! one; a request in progress ends on its own. If the node is trusted no more, it has a few seconds for that.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tessera_node_api::identity::Identity;
use tessera_tls::{ClientTls, ConnectError, Connection, ConnectionGuard, Credentials, CredentialsReceiver};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use super::activity::Activity;
use super::config::Config;
use super::pool::{self, Lease, Link, Pool};
use super::problem::Problem;
use super::upload::Upload;
use crate::clock;
use crate::peers::NodeUrl;
use crate::tasks::Tasks;

/// For a connection with its handshake: a ledger gives a request up after 5 s.
const CONNECT: Duration = Duration::from_secs(4);
/// For a connection while all are in use.
const SLOT: Duration = Duration::from_secs(4);
/// For the next part of a request or of its answer. A node gives its peers up long before.
pub(super) const QUIET: Duration = Duration::from_mins(1);
/// A connection that must close lets its request finish for so long.
const CLOSE_GRACE: Duration = Duration::from_secs(3);
/// The most that is read ahead of an answer, and the largest head.
const READ_BYTES: usize = 64 << 10;

/// Sends requests to one node.
#[derive(Debug)]
pub(super) struct NodeClient {
    host: String,
    port: u16,
    identity: Identity,
    client: Identity,
    tls: ClientTls,
    tasks: Tasks,
    pool: Arc<Pool>,
}

/// Why there is no answer, and the request if it is still here.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) problem: Problem,
    pub(super) unsent: Option<Request<Upload>>,
}

impl NodeClient {
    pub(super) fn new(config: &Config, tls: ClientTls, tasks: Tasks) -> Self {
        Self {
            host: config.node_url.host().to_owned(),
            port: config.node_url.port(),
            identity: config.node.clone(),
            client: config.client.clone(),
            tls,
            tasks,
            pool: Pool::new(),
        }
    }

    /// The node's name.
    pub(super) fn name(&self) -> &str {
        self.identity.name()
    }

    /// The request's answer, and the connection that it comes on.
    pub(super) async fn send(
        &self,
        request: Request<Upload>,
        activity: &Activity,
    ) -> Result<(Response<Incoming>, Lease), Failed> {
        let credentials = match self.credentials() {
            Ok(credentials) => credentials,
            Err(problem) => return Err(Failed { problem, unsent: Some(request) }),
        };
        let Ok(Some(slot)) = timeout(SLOT, self.pool.slot()).await else {
            return Err(Failed { problem: Problem::Busy, unsent: Some(request) });
        };
        let request = match slot.take(&credentials) {
            None => request,
            Some(link) => match exchange(link, request, activity).await {
                Ok((response, link)) => return Ok((response, Lease { link, slot })),
                Err(Broken { again: Some(request), .. }) => request,
                Err(Broken { problem, .. }) => return Err(Failed { problem, unsent: None }),
            },
        };
        let link = match self.connect(credentials).await {
            Ok(link) => link,
            Err(problem) => return Err(Failed { problem, unsent: Some(request) }),
        };
        match exchange(link, request, activity).await {
            Ok((response, link)) => Ok((response, Lease { link, slot })),
            Err(Broken { problem, .. }) => Err(Failed { problem, unsent: None }),
        }
    }

    /// Closes idle connections that would take no further request, as soon as that is so.
    pub(super) async fn prune(
        self: Arc<Self>,
        mut credentials: CredentialsReceiver,
    ) -> Result<(), Infallible> {
        loop {
            // A change or the time: either way the loop looks.
            let _ = timeout(pool::IDLE, credentials.changed()).await;
            self.pool.prune(credentials.current().as_ref());
        }
    }

    fn credentials(&self) -> Result<Arc<Credentials>, Problem> {
        let current = self.tls.trust().credentials().current();
        // The node would refuse it after the request was sent.
        current
            .filter(|current| current.is_valid(clock::now()))
            .ok_or(Problem::NoCertificate(self.client.clone()))
    }

    async fn connect(&self, shown: Arc<Credentials>) -> Result<Link, Problem> {
        let connected = timeout(CONNECT, self.handshake()).await;
        let Connection { stream, peer, guard } = connected.unwrap_or(Err(Problem::Timeout(CONNECT)))?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(READ_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(Problem::Broken)?;
        let retired = CancellationToken::new();
        self.drive(connection, guard, retired.clone());
        let until = peer.not_after.min(shown.leaf().not_after());
        Ok(Link { sender, shown, until, retired })
    }

    async fn handshake(&self) -> Result<Connection<TlsStream<TcpStream>>, Problem> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(Problem::Connect)?;
        // Requests are small and awaited.
        stream.set_nodelay(true).map_err(Problem::Connect)?;
        self.tls.connect(&self.host, stream).await.map_err(|error| match error {
            ConnectError::Timeout => Problem::Timeout(tessera_tls::HANDSHAKE_TIMEOUT),
            error => Problem::Tls(error),
        })
    }

    /// Runs the connection to its end.
    fn drive(
        &self,
        connection: http1::Connection<TokioIo<TlsStream<TcpStream>>, Upload>,
        guard: ConnectionGuard,
        retired: CancellationToken,
    ) {
        let (draining, pool) = (self.tasks.draining().clone(), Arc::clone(&self.pool));
        let credentials = self.tls.trust().credentials().clone();
        self.tasks.job(async move {
            tokio::pin!(connection);
            tokio::select! {
                // The request that uses the connection learns how it ends.
                _ = &mut connection => {}
                reason = guard.closed() => {
                    tracing::info!(%reason, "connection to the node closed");
                    retired.cancel();
                    pool.prune(credentials.current().as_ref());
                    let _ = timeout(CLOSE_GRACE, connection).await;
                }
                () = draining.cancelled() => {
                    // An idle connection ends with its sender, one in use with its request.
                    retired.cancel();
                    pool.clear();
                    let _ = connection.await;
                }
            }
        });
    }
}

/// Why an exchange failed, and the request if it may be sent again.
struct Broken {
    problem: Problem,
    again: Option<Request<Upload>>,
}

async fn exchange(
    mut link: Link,
    request: Request<Upload>,
    activity: &Activity,
) -> Result<(Response<Incoming>, Link), Broken> {
    let copy = copy_of_safe(&request);
    let sent = tokio::select! {
        sent = link.sender.try_send_request(request) => sent,
        () = activity.quiet_for(QUIET) => {
            return Err(Broken { problem: Problem::Quiet(QUIET), again: None });
        }
    };
    match sent {
        Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            Err(Broken { problem: Problem::Protocol, again: None })
        }
        Ok(response) => Ok((response, link)),
        Err(mut error) => {
            let unsent = error.take_message();
            Err(Broken { problem: Problem::Broken(error.into_error()), again: unsent.or(copy) })
        }
    }
}

/// Of a request that changes nothing and has no body.
fn copy_of_safe(request: &Request<Upload>) -> Option<Request<Upload>> {
    let body = request.body().copy_of_none().filter(|_| request.method().is_safe())?;
    let mut copy = Request::new(body);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    Some(copy)
}

/// The `Host` of `url`.
pub(super) fn host_header(url: &NodeUrl) -> HeaderValue {
    HeaderValue::from_str(url.authority()).expect("a configuration holds no URL whose authority is no header")
}

/// A request of these parts.
pub(super) fn request(head: Parts, body: Incoming, activity: Activity) -> Request<Upload> {
    Request::from_parts(head, Upload::new(body, activity))
}
