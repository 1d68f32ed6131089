//! Requests to peers over pooled connections.
//!
//! A request goes out once. Only one that failed on a *reused* connection before its response began is sent a second
//! time, on a new connection: the peer closed an idle connection just when we took it up, which says nothing about the
//! peer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tessera_tls::ClientTls;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::{NodeUrl, VERSIONS};
use crate::tasks::Tasks;

/// Shorter than any server's idle timeout that we know of (Jetty: 30 s).
const IDLE: Duration = Duration::from_secs(15);
/// Idle connections kept per peer.
const KEPT: usize = 16;
/// A peer's answer is a hash, an error or a party list.
const ANSWER_BYTES: usize = 1 << 20;

/// What is sent to a peer.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) path: &'static str,
    pub(super) versions: HeaderValue,
    pub(super) body: Bytes,
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
    Tls(#[from] tessera_tls::ConnectError),
    #[error("connection failed")]
    Http(#[from] hyper::Error),
    #[error("answer cannot be read")]
    Answer(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("not an https address")]
    Scheme,
}

/// Sends calls.
#[derive(Debug)]
pub(super) struct Client {
    tls: ClientTls,
    tasks: Tasks,
    idle: Arc<Pool>,
}

/// Connections that nobody uses, by where they lead.
type Pool = Mutex<HashMap<Authority, Vec<Idle>>>;
type Authority = (String, u16);
type Sender = SendRequest<Full<Bytes>>;

#[derive(Debug)]
struct Idle {
    sender: Sender,
    since: Instant,
}

impl Client {
    pub(super) fn new(tls: ClientTls, tasks: Tasks) -> Self {
        Self { tls, tasks, idle: Arc::default() }
    }

    /// Sends a call and reads the answer, all before `deadline`.
    pub(super) async fn call(
        &self,
        url: &NodeUrl,
        call: &Call,
        deadline: Instant,
    ) -> Result<Answer, CallError> {
        if !url.is_https() {
            return Err(CallError::Scheme);
        }
        timeout_at(deadline, self.call_once_or_twice(url, call)).await.unwrap_or(Err(CallError::Deadline))
    }

    async fn call_once_or_twice(&self, url: &NodeUrl, call: &Call) -> Result<Answer, CallError> {
        let authority = (url.host().to_owned(), url.port());
        if let Some(sender) = self.take(&authority) {
            match self.exchange(sender, &authority, url, call).await {
                Ok(answer) => return Ok(answer),
                Err(Exchange::NoResponse(_)) => {
                    let sender = self.connect(&authority).await?;
                    let answer = self.exchange(sender, &authority, url, call).await?;
                    return Ok(Answer { repeated: true, ..answer });
                }
                Err(broken) => return Err(broken.into()),
            }
        }
        let sender = self.connect(&authority).await?;
        Ok(self.exchange(sender, &authority, url, call).await?)
    }

    async fn exchange(
        &self,
        mut sender: Sender,
        authority: &Authority,
        url: &NodeUrl,
        call: &Call,
    ) -> Result<Answer, Exchange> {
        let response = sender.send_request(request(url, call)).await.map_err(Exchange::NoResponse)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES).collect().await.map_err(Exchange::Broken)?.to_bytes();
        self.give_back(authority, sender);
        Ok(Answer { status: head.status, body, repeated: false })
    }

    async fn connect(&self, (host, port): &Authority) -> Result<Sender, CallError> {
        let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(CallError::Connect)?;
        // A push is one small write that waits for its answer.
        stream.set_nodelay(true).map_err(CallError::Connect)?;
        let tessera_tls::Connection { stream, guard, .. } = self.tls.connect(host, stream).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let (draining, idle) = (self.tasks.draining().clone(), Arc::clone(&self.idle));
        self.tasks.job(async move {
            let drained = async {
                draining.cancelled().await;
                // An idle connection ends with its sender; one in use has as long as a send.
                idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
                tokio::time::sleep(super::push::SEND_DEADLINE).await;
            };
            tokio::select! {
                // How a connection ends is told to whoever used it.
                _ = connection => {}
                reason = guard.closed() => tracing::info!(%reason, "connection to a peer closed"),
                () = drained => {}
            }
        });
        Ok(sender)
    }

    fn take(&self, authority: &Authority) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = idle.get_mut(authority)?;
        while let Some(connection) = connections.pop() {
            if connection.since.elapsed() < IDLE && connection.sender.is_ready() {
                return Some(connection.sender);
            }
        }
        None
    }

    fn give_back(&self, authority: &Authority, sender: Sender) {
        if sender.is_closed() || self.tasks.draining().is_cancelled() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = idle.entry(authority.clone()).or_default();
        connections.retain(|connection| connection.since.elapsed() < IDLE && !connection.sender.is_closed());
        if connections.len() < KEPT {
            connections.push(Idle { sender, since: Instant::now() });
        }
    }
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

fn request(url: &NodeUrl, call: &Call) -> Request<Full<Bytes>> {
    let resource = url.resource(call.path);
    let (authority, path) = split(&resource);
    let mut request = Request::new(Full::new(call.body.clone()));
    *request.method_mut() = http::Method::POST;
    // Both come from a parsed URL.
    *request.uri_mut() = path.parse().unwrap_or_else(|_| http::Uri::from_static("/"));
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_str(authority).unwrap_or(HeaderValue::from_static("")));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(http::header::ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("tessera-node/", env!("CARGO_PKG_VERSION"))));
    headers.insert(VERSIONS, call.versions.clone());
    request
}

/// Authority and path of `https://authority/path`.
fn split(resource: &str) -> (&str, &str) {
    let rest = resource.split_once("://").map_or(resource, |(_, rest)| rest);
    rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash))
}
