//! Asks a node how it is, and carries backups of keys: HTTP over mTLS, straight to a pod's address.
//!
//! Both ends are of the network's admin CA. The server must be the very node that we mean: its certificate must carry the
//! node's identity, whatever else the admin CA has signed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tessera_node_api::admin::{STATUS_PATH, Status};
use tessera_node_api::identity::Identity;
use tessera_node_api::key_backup::{
    BACKUPS_PATH, CheckResult, CustodyProof, PROOFS_PATH, RESTORES_PATH, RestoredKeys, SealedKeys,
};
use tessera_node_api::paths::ADMIN_PORT;
use tessera_node_api::tls_client;
use tessera_pki::{CaError, CaState, Certificate, LeafSpec};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::report::error::chain;

/// The whole exchange.
const TIMEOUT: Duration = Duration::from_secs(5);
const STATUS_LIMIT: usize = 512 << 10;
/// 256 versions, each sealed to 16 custodians.
const BACKUPS_LIMIT: usize = 2 << 20;
const CHECK_RESULT_LIMIT: usize = 64 << 10;
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
    /// No body, or one that is too long.
    #[error("the node's answer cannot be received")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Not the status document. What the library says of it names our types.
    #[error(
        "the node's admin port answers with nothing that this operator can read (line {line}, column {column}): \
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

/// Which node is meant, and where it is.
#[derive(Debug, Clone)]
pub struct Target {
    /// The pod's address.
    pub address: IpAddr,
    /// One of the names in the node's certificate.
    pub dns_name: String,
    /// The identity in the node's certificate.
    pub node: Identity,
}

/// One request.
struct Ask {
    method: Method,
    path: &'static str,
    body: Bytes,
    /// The longest answer.
    limit: usize,
}

impl Ask {
    fn get(path: &'static str, limit: usize) -> Self {
        Self { method: Method::GET, path, body: Bytes::new(), limit }
    }

    fn post(path: &'static str, document: &impl Serialize) -> Self {
        let body = serde_json::to_vec(document).expect("documents with string keys serialise").into();
        Self { method: Method::POST, path, body, limit: CHECK_RESULT_LIMIT }
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

    /// How the node is.
    pub async fn status(&self, target: &Target) -> Result<Status, AdminError> {
        self.ask(target, Ask::get(STATUS_PATH, STATUS_LIMIT)).await
    }

    /// Its keys, sealed to the custodians.
    pub async fn key_backups(&self, target: &Target) -> Result<SealedKeys, AdminError> {
        self.ask(target, Ask::get(BACKUPS_PATH, BACKUPS_LIMIT)).await
    }

    /// What it says of a custodian's proof.
    pub async fn judge_proof(
        &self,
        target: &Target,
        proof: &CustodyProof,
    ) -> Result<CheckResult, AdminError> {
        self.ask(target, Ask::post(PROOFS_PATH, proof)).await
    }

    /// What it says of keys that come back.
    pub async fn restore_keys(
        &self,
        target: &Target,
        keys: &RestoredKeys,
    ) -> Result<CheckResult, AdminError> {
        self.ask(target, Ask::post(RESTORES_PATH, keys)).await
    }

    async fn ask<T: DeserializeOwned>(&self, target: &Target, ask: Ask) -> Result<T, AdminError> {
        let exchange = tokio::time::timeout(TIMEOUT, self.exchange(target, ask));
        exchange.await.map_err(|_| AdminError::Timeout)?
    }

    async fn exchange<T: DeserializeOwned>(&self, target: &Target, ask: Ask) -> Result<T, AdminError> {
        let server_name = ServerName::try_from(target.dns_name.clone())
            .map_err(|error| AdminError::Tls(error.to_string()))?;
        let address = SocketAddr::new(target.address, ADMIN_PORT);
        let tcp = TcpStream::connect(address).await.map_err(AdminError::Connect)?;
        let tls = TlsConnector::from(Arc::clone(&self.tls)).connect(server_name, tcp).await;
        let tls = tls.map_err(AdminError::Handshake)?;
        check_identity(&tls, &target.node)?;
        fetch(tls, &target.dns_name, ask).await
    }
}

async fn fetch<T: DeserializeOwned>(
    tls: TlsStream<TcpStream>,
    host: &str,
    ask: Ask,
) -> Result<T, AdminError> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.map_err(AdminError::Http)?;
    let mut request = Request::builder().method(ask.method.clone()).uri(ask.path).header(header::HOST, host);
    if ask.method == Method::POST {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let request = request.body(Full::new(ask.body)).map_err(|error| AdminError::Tls(error.to_string()))?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(AdminError::Http)?;
        if answer.status() != StatusCode::OK {
            return Err(AdminError::Code(answer.status()));
        }
        let body = Limited::new(answer.into_body(), ask.limit).collect().await;
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
