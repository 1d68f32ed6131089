//! Asks a node how it is: `GET /v1/status` over mTLS, straight to a pod's address.
//!
//! Both ends are of the network's admin CA. The server must be the very node that we mean: its certificate must carry the
//! node's identity, whatever else the admin CA has signed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tessera_node_api::admin::{STATUS_PATH, Status};
use tessera_node_api::identity::Identity;
use tessera_node_api::paths::ADMIN_PORT;
use tessera_node_api::tls_client;
use tessera_pki::{CaError, CaState, Certificate, LeafSpec};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::report::error::chain;

/// The whole exchange.
const TIMEOUT: Duration = Duration::from_secs(5);
const STATUS_LIMIT: usize = 256 * 1024;
/// The operator's own leaf lives in memory only, and a new one costs nothing.
const LEAF_LIFETIME: SignedDuration = SignedDuration::from_hours(1);

/// Why a node could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// No certificate for us.
    #[error("no operator certificate for the admin port")]
    Issue(#[source] CaError),
    /// The pieces of the TLS configuration do not fit.
    #[error("no TLS configuration for the admin port: {0}")]
    Tls(String),
    /// It took too long.
    #[error("the node does not answer on its admin port within {} s", TIMEOUT.as_secs())]
    Timeout,
    /// No connection.
    #[error("cannot connect to the node's admin port")]
    Connect(#[source] std::io::Error),
    /// No TLS session.
    #[error("no mutual TLS with the node's admin port")]
    Handshake(#[source] std::io::Error),
    /// Somebody else answers.
    #[error("the pod answers with the certificate of {found}, not of {expected}")]
    WrongIdentity {
        /// Whom we meant.
        expected: String,
        /// Who answered.
        found: String,
    },
    /// No HTTP answer.
    #[error("the node's admin port breaks off")]
    Http(#[source] hyper::Error),
    /// Another answer than 200.
    #[error("the node's admin port answers HTTP {0}")]
    Code(StatusCode),
    /// No body, or one that is longer than any status.
    #[error("the node's status cannot be received")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Not the status document. What the library says of it names our types.
    #[error(
        "the node's admin port answers with no status that this operator can read (line {line}, column {column}): \
         use a node image of the operator's version"
    )]
    Document {
        /// Where reading ended.
        line: usize,
        /// Where reading ended.
        column: usize,
    },
}

impl From<serde_json::Error> for AdminError {
    fn from(error: serde_json::Error) -> Self {
        Self::Document { line: error.line(), column: error.column() }
    }
}

/// The operator's credentials for the admin ports of one network.
#[derive(Clone)]
pub struct AdminClient {
    tls: Arc<ClientConfig>,
    /// Which authority they are of, and whom they trust.
    authority: [u8; 32],
    renew_at: Timestamp,
}

impl AdminClient {
    /// Credentials issued by `authorities` now.
    pub fn new(authorities: &CaState, trust_domain: &str, now: Timestamp) -> Result<Self, AdminError> {
        let identity =
            Identity::operator(trust_domain).map_err(|error| AdminError::Tls(error.to_string()))?;
        let leaf = authorities
            .admin
            .issue(&LeafSpec::operator(identity, LEAF_LIFETIME), now)
            .map_err(AdminError::Issue)?;
        let tls = tls_config(
            authorities.admin.roots().into_iter().map(|root| root.der().clone()),
            leaf.certificate_pem.as_bytes(),
            leaf.private_key_pem.expose().as_bytes(),
        )?;
        Ok(Self {
            tls: Arc::new(tls),
            authority: authorities.admin.digest(),
            renew_at: now + LEAF_LIFETIME / 2,
        })
    }

    /// Whether these credentials still do for `authorities`.
    pub fn is_current(&self, authorities: &CaState, now: Timestamp) -> bool {
        now < self.renew_at && self.authority == authorities.admin.digest()
    }

    /// The status of `node` in the pod at `address`; `dns_name` is one of the names in the node's certificate.
    pub async fn status(
        &self,
        address: IpAddr,
        dns_name: &str,
        node: &Identity,
    ) -> Result<Status, AdminError> {
        let address = SocketAddr::new(address, ADMIN_PORT);
        let exchange = tokio::time::timeout(TIMEOUT, self.exchange(address, dns_name, node));
        exchange.await.map_err(|_| AdminError::Timeout)?
    }

    async fn exchange(
        &self,
        address: SocketAddr,
        dns_name: &str,
        node: &Identity,
    ) -> Result<Status, AdminError> {
        let server_name =
            ServerName::try_from(dns_name.to_owned()).map_err(|error| AdminError::Tls(error.to_string()))?;
        let tcp = TcpStream::connect(address).await.map_err(AdminError::Connect)?;
        let tls = TlsConnector::from(Arc::clone(&self.tls)).connect(server_name, tcp).await;
        let tls = tls.map_err(AdminError::Handshake)?;
        check_identity(&tls, node)?;
        fetch(tls, dns_name).await
    }
}

async fn fetch(tls: TlsStream<TcpStream>, host: &str) -> Result<Status, AdminError> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.map_err(AdminError::Http)?;
    let request = Request::get(STATUS_PATH)
        .header(header::HOST, host)
        .body(Empty::<Bytes>::new())
        .map_err(|error| AdminError::Tls(error.to_string()))?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(AdminError::Http)?;
        if answer.status() != StatusCode::OK {
            return Err(AdminError::Code(answer.status()));
        }
        let body = Limited::new(answer.into_body(), STATUS_LIMIT).collect().await;
        let body = body.map_err(AdminError::Body)?.to_bytes();
        Ok(serde_json::from_slice(&body)?)
    };
    // The connection makes progress on this task beside the request. When it ends, the request knows; so only the
    // request decides.
    let drive = async {
        let ended = connection.await;
        tracing::trace!(?ended, "admin connection ended");
        std::future::pending::<std::convert::Infallible>().await
    };
    tokio::select! {
        biased;
        answer = answer => answer,
        never = drive => match never {},
    }
}

fn check_identity(tls: &TlsStream<TcpStream>, expected: &Identity) -> Result<(), AdminError> {
    let (_, session) = tls.get_ref();
    let der = session.peer_certificates().and_then(<[_]>::first);
    let found = der.and_then(identity_of);
    if found.as_ref() == Some(expected) {
        return Ok(());
    }
    let found = found.map_or_else(|| "no identity of ours".to_owned(), |identity| identity.to_string());
    Err(AdminError::WrongIdentity { expected: expected.to_string(), found })
}

fn identity_of(der: &CertificateDer<'_>) -> Option<Identity> {
    Certificate::from_der(der).ok()?.identity().cloned()
}

fn tls_config(
    trusted: impl Iterator<Item = CertificateDer<'static>>,
    certificate_pem: &[u8],
    key_pem: &[u8],
) -> Result<ClientConfig, AdminError> {
    let tls = |error: rustls::Error| AdminError::Tls(chain(&error));
    let pem = |_: rustls_pki_types::pem::Error| AdminError::Tls("it is not PEM".to_owned());
    let mut roots = RootCertStore::empty();
    for root in trusted {
        roots.add(root).map_err(tls)?;
    }
    let chain =
        CertificateDer::pem_slice_iter(certificate_pem).collect::<Result<Vec<_>, _>>().map_err(pem)?;
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(pem)?;
    tls_client::with_certificate(roots, chain, key).map_err(tls)
}
