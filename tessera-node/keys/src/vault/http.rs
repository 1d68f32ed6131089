//! The connection to the store, and what its answers mean before anybody asks what they were for.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect;
use rustify::errors::ClientError as RestError;
use rustls::RootCertStore;
use serde::Deserialize;
use tessera_node_api::plain_words::root_cause;
use tessera_node_api::secret_store::lookup_name;
use tessera_node_api::tls_client;
use url::Url;
use vaultrs::error::ClientError;

use super::client_certificate::ClientCertificate;
use super::error::VaultError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Of a whole request. A store that stores takes milliseconds; a login that asks the API server takes tens of them.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// What a store says about itself is quoted up to here.
const MAX_REASON: usize = 300;

/// `https` only: everything that we send is a secret.
pub(super) fn validate_address(address: &str) -> Result<Url, VaultError> {
    let url = Url::parse(address).ok().filter(|url| {
        url.scheme() == "https" && url.has_host() && url.query().is_none() && url.fragment().is_none()
    });
    url.ok_or_else(|| VaultError::Address { address: address.to_owned() })
}

/// The file with the CA bundle of the store, as it is now.
pub(super) fn read_bundle(path: &str) -> Result<Bundle, VaultError> {
    let pem = fs::read(path)
        .map_err(|error| VaultError::Ca { path: path.to_owned(), problem: root_cause(&error) })?;
    Ok(Bundle { path: path.to_owned(), pem })
}

/// The certificates, in PEM, that may sign the store's.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Bundle {
    path: String,
    pem: Vec<u8>,
}

impl Bundle {
    pub(super) fn roots(&self) -> Result<RootCertStore, VaultError> {
        tls_client::roots(&self.pem)
            .map_err(|error| VaultError::Ca { path: self.path.clone(), problem: root_cause(&error) })
    }
}

/// A client that trusts the store's CA and nothing else (vaultrs by itself would add it to the system's roots), and that
/// carries the token nowhere else: no redirect, no proxy, no search domain.
pub(super) fn client(
    bundle: &Bundle,
    shown: Option<ClientCertificate>,
) -> Result<reqwest::Client, VaultError> {
    let roots = bundle.roots()?;
    let tls = match shown {
        Some(certificate) => tls_client::with_resolver(roots, Arc::new(certificate)),
        None => tls_client::without_certificate(roots),
    };
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .https_only(true)
        .no_proxy()
        .dns_resolver(Arc::new(AbsoluteNames))
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .build()
        .map_err(|error| VaultError::Client { problem: root_cause(&error) })
}

/// Looks names up as [`lookup_name`] says; the TLS client verifies the name that was asked for.
struct AbsoluteNames;

impl Resolve for AbsoluteNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // Absent outside of Linux and of containers: then there is no search domain either.
            let resolv_conf = tokio::fs::read_to_string("/etc/resolv.conf").await.unwrap_or_default();
            let name = lookup_name(name.as_str(), &resolv_conf);
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let found = found.map_err(|error| {
                let why = root_cause(&error);
                io::Error::new(error.kind(), format!("lookup of the absolute name {name}: {why}"))
            })?;
            Ok(Box::new(found.collect::<Vec<_>>().into_iter()) as Addrs)
        })
    }
}

/// A request that did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// No answer.
    Transport(String),
    /// No answer, since the store's certificate does not verify.
    Untrusted(String),
    /// No answer, since the store refuses our client certificate, or that we have none.
    Refused(String),
    /// An answer other than 2xx.
    Status {
        status: u16,
        /// What the store says; none when the body is not the store's way to say it.
        errors: Option<Vec<String>>,
        /// The body says that there was a version, and that it is gone.
        deleted: bool,
    },
    /// 2xx, and not understood.
    Body,
}

impl Failure {
    /// What the failure means: the same for every operation, or what `specific` makes of the rest.
    pub(super) fn explain(self, address: &str, specific: impl FnOnce(Self) -> VaultError) -> VaultError {
        let address = address.to_owned();
        match self {
            Self::Transport(problem) => VaultError::Unreachable { address, problem },
            Self::Untrusted(problem) => VaultError::Untrusted { address, problem },
            Self::Refused(problem) => VaultError::Refused { address, problem },
            Self::Status { status: 503, errors, .. } if says(errors.as_deref(), "sealed") => {
                VaultError::Sealed { address }
            }
            Self::Status { status: status @ (412 | 429 | 472 | 473 | 500..), errors, .. } => {
                VaultError::Unavailable { address, status, reason: quote(errors.as_deref()) }
            }
            other => specific(other),
        }
    }
}

/// Whether one of the store's messages contains `text`.
pub(super) fn says(errors: Option<&[String]>, text: &str) -> bool {
    errors.is_some_and(|errors| errors.iter().any(|error| error.contains(text)))
}

/// The store's messages on one line, bounded, without control characters.
pub(super) fn quote(errors: Option<&[String]>) -> String {
    match errors {
        None => "no message of a secret store".to_owned(),
        Some([]) => "no reason given".to_owned(),
        Some(errors) => {
            let text = errors.join("; ");
            let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
            line.chars().filter(|c| !c.is_control()).take(MAX_REASON).collect()
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::APIError { code, errors } => {
                Self::Status { status: code, errors: Some(errors), deleted: false }
            }
            ClientError::RestClientError { source } => source.into(),
            _ => Self::Body,
        }
    }
}

impl From<RestError> for Failure {
    /// Sources of parse errors are dropped, not shown: they may quote a body with a key in it.
    fn from(error: RestError) -> Self {
        match error {
            RestError::RequestError { source, .. } | RestError::ResponseError { source } => {
                let problem = root_cause(source.as_ref());
                if source.chain().any(is_certificate_error) {
                    Self::Untrusted(problem)
                } else if tls_client::refusal(source.as_ref()).is_some() {
                    Self::Refused(problem)
                } else {
                    Self::Transport(problem)
                }
            }
            RestError::ServerResponseError { code, content } => Self::refused(code, content.as_deref()),
            _ => Self::Body,
        }
    }
}

/// Whether this link of an error's chain is rustls' refusal of a certificate. The content of an `io::Error`, perhaps
/// another one, is no link of the chain.
fn is_certificate_error(error: &(dyn Error + 'static)) -> bool {
    if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        return is_certificate_error(inner);
    }
    matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_)))
}

impl Failure {
    fn refused(status: u16, content: Option<&str>) -> Self {
        let body =
            content.and_then(|content| serde_json::from_str::<Refusal>(content).ok()).unwrap_or_default();
        Self::Status { status, errors: body.errors, deleted: body.data.is_some() }
    }
}

/// The body of a refusal: messages, or, for a version that is gone, its metadata.
#[derive(Default, Deserialize)]
struct Refusal {
    errors: Option<Vec<String>>,
    data: Option<serde::de::IgnoredAny>,
}
