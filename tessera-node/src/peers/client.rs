//! Requests to peers over pooled connections.
//!
//! A request goes out once. Only one that failed on a *reused* connection before its response began is sent a second
//! time, on a new connection: the peer closed an idle connection just when we took it up, which says nothing about the
//! peer. (A peer stores a push that it gets twice once.)
//!
//! A connection whose peer is trusted no more, or whose certificate has ended, takes no further request; the one in progress has a
//! few seconds to finish.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tessera_node_api::identity::Identity;
use tessera_tls::{ClientTls, ConnectError, ConnectionGuard, Credentials, Refusal};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use super::VERSIONS;
use super::endpoint::{Endpoint, Resource};
use super::pool::{Authority, Closed, Connection, Pool, Slot};
use crate::tasks::Tasks;

/// A peer's answer is a hash, an error or a party list, if it is no payload.
pub(super) const ANSWER_BYTES: usize = 1 << 20;

/// A connection that must close lets its request finish for so long.
const CLOSE_GRACE: Duration = Duration::from_secs(3);

/// What is sent to a peer.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) resource: Resource,
    pub(super) versions: HeaderValue,
    pub(super) body: Bytes,
    /// A larger answer is not read to its end.
    pub(super) largest_answer: usize,
}

/// What a peer answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
    /// The request went out twice.
    pub(super) repeated: bool,
}

/// Why there is no answer. All of these mean: the node is offline for us.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("deadline passed")]
    Deadline,
    #[error("cannot connect")]
    Connect(#[source] std::io::Error),
    #[error(transparent)]
    Tls(#[from] ConnectError),
    #[error("the node at this address is {found}")]
    OtherNode { found: Identity },
    #[error("connection failed")]
    Http(#[from] hyper::Error),
    #[error("answer cannot be read")]
    Answer(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("not an https address")]
    Scheme,
    #[error("the node ends")]
    Ending,
}

/// Sends calls.
#[derive(Debug)]
pub(super) struct Client {
    tls: ClientTls,
    tasks: Tasks,
    pool: Arc<Pool>,
}

impl Client {
    /// Keeps at most `connections` open.
    pub(super) fn new(tls: ClientTls, connections: usize, tasks: Tasks) -> Self {
        Self { tls, tasks, pool: Arc::new(Pool::new(connections)) }
    }

    /// Sends a call and reads the answer, all before `deadline`. `node`: the only node that may have it; else any node of
    /// the network that has this address.
    pub(super) async fn call(
        &self,
        endpoint: &Endpoint,
        node: Option<&Identity>,
        call: &Call,
        deadline: Instant,
    ) -> Result<Answer, CallError> {
        if !endpoint.url.is_https() {
            return Err(CallError::Scheme);
        }
        timeout_at(deadline, self.call_once_or_twice(endpoint, node, call))
            .await
            .unwrap_or(Err(CallError::Deadline))
    }

    /// Closes connections that were idle for too long.
    pub(super) fn prune(&self) {
        self.pool.prune(self.credentials().as_ref());
    }

    fn credentials(&self) -> Option<Arc<Credentials>> {
        self.tls.trust().credentials().current()
    }

    async fn call_once_or_twice(
        &self,
        endpoint: &Endpoint,
        node: Option<&Identity>,
        call: &Call,
    ) -> Result<Answer, CallError> {
        let authority = (endpoint.url.host().to_owned(), endpoint.url.port());
        let slot = self.pool.slot(&authority).await?;
        let mut repeated = false;
        if let Some(connection) = slot.take(node, self.credentials().as_ref()) {
            match exchange(connection, endpoint, call).await {
                Ok(done) => return Ok(self.answered(slot, done, repeated)),
                Err(Exchange::NoResponse(_)) => repeated = true,
                Err(broken) => return Err(broken.into()),
            }
        }
        let connection = self.connect(&slot, &authority, node).await?;
        let done = exchange(connection, endpoint, call).await?;
        Ok(self.answered(slot, done, repeated))
    }

    fn answered(&self, slot: Slot<'_>, (status, body, connection): Done, repeated: bool) -> Answer {
        if !self.tasks.draining().is_cancelled() {
            slot.give_back(connection);
        }
        Answer { status, body, repeated }
    }

    async fn connect(
        &self,
        slot: &Slot<'_>,
        authority: &Authority,
        node: Option<&Identity>,
    ) -> Result<Connection, CallError> {
        let permit = slot.permit().await?;
        // Read before the handshake: if the certificate changes meanwhile, the connection counts as one of the old.
        let shown = self.credentials().ok_or(ConnectError::Refused(Refusal::NotReady))?;
        let (host, port) = authority;
        let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(CallError::Connect)?;
        // A push is one small write that waits for its answer.
        stream.set_nodelay(true).map_err(CallError::Connect)?;
        let tessera_tls::Connection { stream, peer, guard } = self.tls.connect(host, stream).await?;
        if node.is_some_and(|node| !peer.may_be(node)) {
            return Err(CallError::OtherNode { found: peer.identity });
        }
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let retired = CancellationToken::new();
        self.drive(connection, guard, retired.clone());
        Ok(permit.used_for(sender, peer, shown, retired))
    }

    /// Runs the connection to its end.
    fn drive(&self, connection: Http, guard: ConnectionGuard, retired: CancellationToken) {
        let (draining, pool) = (self.tasks.draining().clone(), Arc::clone(&self.pool));
        let credentials = self.tls.trust().credentials().clone();
        self.tasks.job(async move {
            tokio::pin!(connection);
            tokio::select! {
                // The request that uses the connection learns how it ends.
                _ = &mut connection => {}
                reason = guard.closed() => {
                    tracing::info!(%reason, "connection to a peer closed");
                    retired.cancel();
                    // An idle connection ends with its sender, one in use with its request.
                    pool.prune(credentials.current().as_ref());
                    let _ = timeout(CLOSE_GRACE, connection).await;
                }
                () = draining.cancelled() => {
                    pool.clear();
                    let _ = connection.await;
                }
            }
        });
    }
}

type Http = http1::Connection<TokioIo<TlsStream<TcpStream>>, Full<Bytes>>;
type Done = (StatusCode, Bytes, Connection);

async fn exchange(mut connection: Connection, endpoint: &Endpoint, call: &Call) -> Result<Done, Exchange> {
    let sent = connection.sender.send_request(request(endpoint, call));
    let (head, body) = sent.await.map_err(Exchange::NoResponse)?.into_parts();
    let body = Limited::new(body, call.largest_answer).collect().await.map_err(Exchange::Broken)?.to_bytes();
    Ok((head.status, body, connection))
}

enum Exchange {
    NoResponse(hyper::Error),
    Broken(Box<dyn std::error::Error + Send + Sync>),
}

impl From<Exchange> for CallError {
    fn from(error: Exchange) -> Self {
        match error {
            Exchange::NoResponse(error) => Self::Http(error),
            Exchange::Broken(error) => Self::Answer(error),
        }
    }
}

impl From<Closed> for CallError {
    fn from(_: Closed) -> Self {
        Self::Ending
    }
}

fn request(endpoint: &Endpoint, call: &Call) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(call.body.clone()));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = endpoint.uri(call.resource).clone();
    let headers = request.headers_mut();
    headers.insert(HOST, endpoint.host.clone());
    headers.insert(CONTENT_TYPE, call.resource.content_type());
    headers.insert(http::header::ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("tessera-node/", env!("CARGO_PKG_VERSION"))));
    headers.insert(VERSIONS, call.versions.clone());
    request
}
