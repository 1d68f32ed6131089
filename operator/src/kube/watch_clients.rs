//! Clients for watches: those of one namespace share one connection.
//!
//! A watch is a request whose answer does not end. Over HTTP/1.1 each watch needs a connection of its own: memory at both ends, and a
//! TLS handshake at each start and after each restart of the API server. Fifty namespaces make more than a thousand handshakes at once,
//! and the renewal of the lease is late beside them. For the same reason few watches start at a time: an API server answers a thousand
//! requests at once with 429, and the lease's among them.
//!
//! ```text
//! namespace a ── 22 watches ──► one HTTP/2 connection ──┐
//! namespace b ── 22 watches ──► one HTTP/2 connection ──┴──► API server
//! ```
//!
//! One connection for all namespaces is not enough: an API server accepts 100 concurrent requests on each (its default for
//! `--http2-max-streams-per-connection`), and further watches would wait permanently.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use kube::client::retry::RetryPolicy;
use kube::client::{Body, ClientBuilder, ConfigExt};
use kube::{Client, Config};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::retry::RetryLayer;
use tower::timeout::TimeoutLayer;
use tower::{BoxError, ServiceBuilder, service_fn};
use tower_http::timeout::ResponseBodyTimeoutLayer;

const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";
/// The longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(30);
/// Interval of HTTP/2 pings.
const PING: Duration = Duration::from_secs(30);
/// A connection whose ping is not answered within this time is closed.
const PONG: Duration = Duration::from_secs(20);
/// The longest wait for an answer's head: longer than the API server's own limit for a request that is no watch.
const HEAD: Duration = Duration::from_secs(70);
/// The longest silence in an answer's body: longer than kube's own limit for a watch, and than the pause between two bookmarks.
const SILENCE: Duration = Duration::from_secs(320);
/// Requests of all watches that may wait for the head of an answer: a watch has it once it has begun.
const STARTS: usize = 16;
/// Flow-control window of one watch, in bytes.
const STREAM_WINDOW: u32 = 128 * 1024;
/// Flow-control window of one connection, in bytes: 32 watches whose answers are not read do not block another one.
const CONNECTION_WINDOW: u32 = 33 * STREAM_WINDOW;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("no connection to the API server {0} within {seconds} s", seconds = CONNECT.as_secs())]
    TooLate(String),
    #[error("cannot connect to the API server {0}")]
    Failed(String, #[source] std::io::Error),
}

/// Makes clients for watches.
pub struct WatchClients {
    config: Config,
    /// Each client is one connection. False: the API server, or a proxy before it, does not support HTTP/2, and each watch is one.
    share: bool,
    starts: GlobalConcurrencyLimitLayer,
}

impl WatchClients {
    /// Connects once, and keeps the version of HTTP that the API server chooses.
    ///
    /// # Errors
    /// `kube::Error::Service` without a connection; another of a configuration of which no client can be made.
    pub async fn new(config: &Config) -> kube::Result<Self> {
        let starts = GlobalConcurrencyLimitLayer::new(STARTS);
        let mut config = config.clone();
        config.read_timeout = Some(SILENCE);
        if config.cluster_url.scheme_str() == Some("https") && config.proxy_url.is_none() {
            let stream = Server::new(&config, &[HTTP2, HTTP1])?
                .connect()
                .await
                .map_err(|error| kube::Error::Service(error.into()))?;
            if stream.get_ref().1.alpn_protocol() == Some(HTTP2) {
                return Ok(Self { config, share: true, starts });
            }
        }
        tracing::info!("there is no HTTP/2 to the API server: each watch has a connection of its own");
        Ok(Self { config, share: false, starts })
    }

    /// A client for the watches of one namespace.
    ///
    /// # Errors
    /// If none can be made of the configuration.
    pub fn client(&self) -> kube::Result<Client> {
        if !self.share {
            return Ok(ClientBuilder::try_from(self.config.clone())?.with_layer(&self.starts).build());
        }
        let config = &self.config;
        let connection =
            Arc::new(Connection { server: Server::new(config, &[HTTP2])?, open: Mutex::default() });
        let service = ServiceBuilder::new()
            .layer(config.base_uri_layer())
            .option_layer(config.auth_layer()?)
            .layer(config.extra_headers_layer()?)
            .layer(ResponseBodyTimeoutLayer::new(SILENCE))
            .layer(self.starts.clone())
            .layer(RetryLayer::new(RetryPolicy::server_retry()))
            .layer(TimeoutLayer::new(HEAD))
            .service(service_fn(move |request| {
                let connection = Arc::clone(&connection);
                async move { connection.send(request).await }
            }));
        Ok(ClientBuilder::new(service, config.default_namespace.clone()).build())
    }
}

/// One connection, opened by the first request and after each loss.
struct Connection {
    server: Server,
    /// The lock is held while a connection is opened: requests that arrive meanwhile wait for that connection.
    open: Mutex<Option<SendRequest<Body>>>,
}

impl Connection {
    async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, BoxError> {
        let mut sender = self.sender_in_time().await?;
        let mut refused = match sender.try_send_request(request).await {
            Ok(answer) => return Ok(answer),
            Err(refused) => refused,
        };
        // The server had closed the connection: nothing of the request was sent.
        let Some(request) = refused.take_message() else { return Err(refused.into_error().into()) };
        let mut sender = self.sender_in_time().await?;
        Ok(sender.send_request(request).await?)
    }

    /// A request also waits for a connection that another request opens.
    async fn sender_in_time(&self) -> Result<SendRequest<Body>, BoxError> {
        let sender = timeout(CONNECT, self.sender()).await;
        sender.unwrap_or_else(|_| Err(ConnectError::TooLate(self.server.to_string()).into()))
    }

    async fn sender(&self) -> Result<SendRequest<Body>, BoxError> {
        let mut open = self.open.lock().await;
        if let Some(sender) = open.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let stream = self.server.connect().await?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            .handshake(TokioIo::new(stream))
            .await?;
        // The task ends with the connection; each watch reports why its stream ended.
        tokio::spawn(connection);
        *open = Some(sender.clone());
        Ok(sender)
    }
}

/// The API server's address, and the trust that its certificate is verified against.
struct Server {
    host: String,
    port: u16,
    name: ServerName<'static>,
    tls: TlsConnector,
}

impl Server {
    fn new(config: &Config, protocols: &[&[u8]]) -> kube::Result<Self> {
        let url = &config.cluster_url;
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = config.tls_server_name.clone().unwrap_or_else(|| host.clone());
        let name = ServerName::try_from(name).map_err(|error| kube::Error::Service(error.into()))?;
        let mut tls = config.rustls_client_config()?;
        tls.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Self { host, port: url.port_u16().unwrap_or(443), name, tls: TlsConnector::from(Arc::new(tls)) })
    }

    async fn connect(&self) -> Result<TlsStream<TcpStream>, ConnectError> {
        let connect = async {
            let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
            tcp.set_nodelay(true)?;
            self.tls.connect(self.name.clone(), tcp).await
        };
        let connected =
            timeout(CONNECT, connect).await.map_err(|_| ConnectError::TooLate(self.to_string()))?;
        connected.map_err(|error| ConnectError::Failed(self.to_string(), error))
    }
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, port {}", self.host, self.port)
    }
}
