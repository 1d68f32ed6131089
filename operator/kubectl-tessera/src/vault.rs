//! The little of Vault's HTTP API that a setup needs: read a path, write a path, and say what was refused.
//!
//! Not a client library: those at hand cannot set `alias_name_source` of a Kubernetes role, trust the system's roots
//! beside the given ones, and print the token with their settings.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue, InvalidHeaderValue};
use reqwest::{Client, Method, Response, StatusCode, redirect};
use serde::Deserialize;
use serde_json::Value;
use tessera_node_api::plain_words::root_cause;
use tessera_node_api::tls_client::{self, BundleError};

/// Ends a path whose names are asked for.
pub(crate) const LIST: &str = "?list=true";
const TIMEOUT: Duration = Duration::from_secs(15);

/// Why the store did not do as asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VaultError {
    /// The CA bundle cannot be the client's roots.
    #[error("the CA bundle of the secret store is unusable: {}", root_cause(.0))]
    CaBundle(BundleError),
    /// The token cannot stand in a header.
    #[error("the token for the secret store holds characters that no token has")]
    Token(#[source] InvalidHeaderValue),
    /// The namespace cannot stand in a header.
    #[error("namespace {0:?} of the secret store cannot be sent")]
    Namespace(String),
    /// The address is not https.
    #[error("address {0:?} of the secret store is not https: a token must not travel in clear text")]
    NotHttps(String),
    /// The HTTP library cannot be set up.
    #[error("no HTTP client for the secret store")]
    Http(#[source] reqwest::Error),
    /// It does not answer.
    #[error(
        "cannot reach the secret store at {address}: {cause}. If this machine is outside of the cluster, run `kubectl port-forward` to the store and name its local end with --vault-addr"
    )]
    Unreachable {
        /// Where.
        address: String,
        /// The innermost reason.
        cause: String,
    },
    /// The token lacks a permission.
    #[error(
        "the token may not {verb} {path:?} in the secret store: it needs a policy with capability {capabilities} on that path"
    )]
    Denied {
        /// read or write.
        verb: &'static str,
        /// Which path.
        path: String,
        /// What a policy must grant.
        capabilities: &'static str,
    },
    /// It says no for another reason.
    #[error("the secret store refuses to {verb} {path:?} (HTTP {status}): {errors}")]
    Refused {
        /// read or write.
        verb: &'static str,
        /// Which path.
        path: String,
        /// The HTTP status.
        status: u16,
        /// What it says.
        errors: String,
    },
    /// It is not a Vault, or a very different one.
    #[error("the answer to reading {path:?} is not one of Vault's")]
    Answer {
        /// Which path.
        path: String,
    },
}

/// What the setup steps ask of a store.
pub(crate) trait Store {
    /// The `data` at `path`; `None` if there is nothing.
    async fn read(&self, path: &str) -> Result<Option<Value>, VaultError>;
    /// Writes `body` at `path`.
    async fn write(&self, path: &str, body: &Value) -> Result<(), VaultError>;
}

/// Vault or OpenBao over HTTPS. No `Debug`: it holds the token.
pub(crate) struct Vault {
    http: Client,
    address: String,
}

impl Vault {
    /// A client that trusts `ca_pem` alone and follows no redirect: the token must go nowhere else.
    pub(crate) fn new(
        address: &str,
        namespace: Option<&str>,
        ca_pem: &[u8],
        token: &str,
    ) -> Result<Self, VaultError> {
        if !address.starts_with("https://") {
            return Err(VaultError::NotHttps(address.to_owned()));
        }
        let mut headers = HeaderMap::new();
        let mut token = HeaderValue::from_str(token).map_err(VaultError::Token)?;
        token.set_sensitive(true);
        headers.insert("X-Vault-Token", token);
        headers.insert("X-Vault-Request", HeaderValue::from_static("true"));
        if let Some(namespace) = namespace {
            let value =
                HeaderValue::from_str(namespace).map_err(|_| VaultError::Namespace(namespace.to_owned()))?;
            headers.insert("X-Vault-Namespace", value);
        }
        let roots = tls_client::roots(ca_pem).map_err(VaultError::CaBundle)?;
        let http = Client::builder()
            .tls_backend_preconfigured(tls_client::without_certificate(roots))
            .default_headers(headers)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(TIMEOUT)
            .build()
            .map_err(VaultError::Http)?;
        Ok(Self { http, address: address.trim_end_matches('/').to_owned() })
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Response, VaultError> {
        let mut request = self.http.request(method, format!("{}/v1/{path}", self.address));
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send().await.map_err(|error| VaultError::Unreachable {
            address: self.address.clone(),
            cause: root_cause(&error),
        })
    }
}

impl Store for Vault {
    async fn read(&self, path: &str) -> Result<Option<Value>, VaultError> {
        let answer = self.send(Method::GET, path, None).await?;
        match answer.status() {
            StatusCode::OK => {
                let answer: Option<Answer> = answer.json().await.ok();
                answer.map(|answer| Some(answer.data)).ok_or(VaultError::Answer { path: path.to_owned() })
            }
            StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => Ok(None),
            _ => Err(refusal("read", path, answer).await),
        }
    }

    async fn write(&self, path: &str, body: &Value) -> Result<(), VaultError> {
        let answer = self.send(Method::POST, path, Some(body)).await?;
        if answer.status().is_success() { Ok(()) } else { Err(refusal("write", path, answer).await) }
    }
}

#[derive(Deserialize)]
struct Answer {
    data: Value,
}

#[derive(Deserialize, Default)]
struct Refusal {
    #[serde(default)]
    errors: Vec<String>,
}

async fn refusal(verb: &'static str, path: &str, answer: Response) -> VaultError {
    let status = answer.status();
    let errors = answer.json::<Refusal>().await.unwrap_or_default().errors;
    let path = path.to_owned();
    if status == StatusCode::FORBIDDEN {
        let capabilities = capabilities(verb, &path);
        return VaultError::Denied { verb, path, capabilities };
    }
    let errors = if errors.is_empty() { "no reason given".to_owned() } else { errors.join("; ") };
    VaultError::Refused { verb, path, status: status.as_u16(), errors }
}

/// Enabling an auth method is one of the paths that Vault guards with `sudo` besides.
fn capabilities(verb: &str, path: &str) -> &'static str {
    match verb {
        "read" if path.ends_with(LIST) => "\"list\"",
        "read" => "\"read\"",
        _ if path.starts_with("sys/auth/") => "\"create\", \"update\" and \"sudo\"",
        _ => "\"create\" and \"update\"",
    }
}
