//! HashiCorp Vault and OpenBao over HTTPS.

mod auditor;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Response, StatusCode, redirect};
use rustls::sign::CertifiedKey;
use serde::Deserialize;
use serde_json::json;
use tessera_crds::api::secret_store::VaultStore;
use tessera_node_api::plain_words::root_cause;
use tessera_node_api::secret_store::{lookup_name, require_audience};
use tessera_node_api::tls_client::{self, BundleError};
use zeroize::Zeroizing;

use super::store::StoreState;

const TIMEOUT: Duration = Duration::from_secs(5);
/// Answers of Vault are small; whatever sends more is none.
const ANSWER_LIMIT: usize = 64 * 1024;

/// Why no client for the store can be made.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The CA bundle cannot be the client's roots.
    #[error("the CA bundle of the secret store is unusable")]
    CaBundle(#[source] BundleError),
    /// The HTTP library cannot be set up.
    #[error("no HTTP client for the secret store")]
    Http(#[source] reqwest::Error),
}

/// A client of one store.
pub struct Vault {
    http: Client,
    address: String,
    namespace: Option<String>,
    auth_mount: String,
    role: String,
}

impl Vault {
    /// A client that trusts `ca_pem` alone, follows no redirect and uses no proxy and no search domain: a token must go
    /// nowhere else. `shown`: its client certificate, if it has one.
    pub fn new(
        store: &VaultStore,
        ca_pem: &[u8],
        shown: Option<Arc<CertifiedKey>>,
    ) -> Result<Self, VaultError> {
        let roots = tls_client::roots(ca_pem).map_err(VaultError::CaBundle)?;
        let tls = match shown {
            Some(certificate) => tls_client::with_certified_key(roots, certificate),
            None => tls_client::without_certificate(roots),
        };
        let http = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(AbsoluteNames))
            .timeout(TIMEOUT)
            .build()
            .map_err(VaultError::Http)?;
        Ok(Self {
            http,
            address: store.address.to_string(),
            namespace: store.namespace.as_ref().map(ToString::to_string),
            auth_mount: store.auth.mount.to_string(),
            role: store.auth.role.to_string(),
        })
    }

    /// Whether the store answers and is open. `None`: it is.
    pub async fn health(&self) -> Option<StoreState> {
        // Not in a namespace: the health of the server is no tenant's.
        let url = format!("{}/v1/sys/health?standbyok=true&perfstandbyok=true", self.address);
        // One late answer is a busy machine's, two in a row are the store's: a condition must not flip at each.
        let answer = match self.http.get(&url).send().await {
            Err(error) if error.is_timeout() => self.http.get(&url).send().await,
            first => first,
        };
        match answer {
            Ok(answer) => match answer.status().as_u16() {
                200 | 429 | 472 | 473 => None,
                501 => Some(StoreState::Sealed("the secret store is not initialised".into())),
                503 => Some(StoreState::Sealed("the secret store is sealed".into())),
                code => {
                    Some(StoreState::Unreachable(format!("the secret store's health answers HTTP {code}")))
                }
            },
            Err(error) => Some(self.no_answer("reach", &error)),
        }
    }

    /// What unseals the store, by its own words; `None`: it does not say. Anyone may ask.
    pub async fn seal_type(&self) -> Option<String> {
        let answer = self.http.get(format!("{}/v1/sys/seal-status", self.address)).send().await.ok()?;
        if !answer.status().is_success() {
            return None;
        }
        seal_of(&bounded(answer).await)
    }

    /// Logs in with `token` and gives the login back at once.
    pub async fn try_login(&self, token: &str) -> StoreState {
        let (status, body) = match self.login(&self.role, token).await {
            Ok(answer) => answer,
            Err(state) => return state,
        };
        if !status.is_success() {
            return self.refusal(status, &errors(&body));
        }
        match serde_json::from_slice::<Login>(&body) {
            Ok(login) => {
                self.revoke(&Zeroizing::new(login.auth.client_token)).await;
                StoreState::Ready
            }
            Err(_) => {
                StoreState::Unreachable(format!("{} does not answer a login as Vault does", self.address))
            }
        }
    }

    /// Sends a login with `role`; what the store answers.
    async fn login(&self, role: &str, token: &str) -> Result<(StatusCode, Zeroizing<Vec<u8>>), StoreState> {
        if let Err(problem) = require_audience(token, &self.address) {
            return Err(StoreState::LoginDenied(format!("the operator's token {problem}")));
        }
        let url = format!("{}/v1/auth/{}/login", self.address, self.auth_mount);
        let body = json!({"role": role, "jwt": token});
        let login = || self.in_namespace(self.http.post(&url)).json(&body).send();
        let first = login().await;
        // As with its health.
        let answer = match first {
            Err(error) if error.is_timeout() => login().await,
            first => first,
        };
        let answer = answer.map_err(|error| self.no_answer("log in to", &error))?;
        Ok((answer.status(), bounded(answer).await))
    }

    /// Vault says "role could not be found" with 400, an unknown mount with 404 or, to strangers, with 403 and "no
    /// handler"; anything else that it refuses is a matter of the login itself.
    fn refusal(&self, status: StatusCode, errors: &str) -> StoreState {
        let (role, mount) = (&self.role, &self.auth_mount);
        let lower = errors.to_lowercase();
        if status == StatusCode::NOT_FOUND
            || lower.contains("no handler")
            || lower.contains("unsupported path")
        {
            StoreState::NotProvisioned(format!("the secret store has no auth method at {mount:?}"))
        } else if lower.contains("could not be found") || lower.contains("invalid role name") {
            StoreState::NotProvisioned(format!("the secret store has no role {role:?} at auth/{mount}"))
        } else if status.is_server_error() {
            StoreState::Unreachable(format!(
                "the secret store answers a login with HTTP {}: {errors}",
                status.as_u16()
            ))
        } else {
            StoreState::LoginDenied(format!(
                "the secret store refuses the login with role {role:?}: {errors}"
            ))
        }
    }

    /// A token that is not revoked ends by itself soon; so a failure is only logged.
    async fn revoke(&self, token: &str) {
        let url = format!("{}/v1/auth/token/revoke-self", self.address);
        let answer = self.in_namespace(self.http.post(url)).header("X-Vault-Token", token).send().await;
        match answer.map(|answer| answer.status()) {
            Ok(status) if status.is_success() => {}
            Ok(status) => tracing::warn!(%status, "the login to the secret store could not be revoked"),
            Err(error) => {
                tracing::warn!(
                    error = root_cause(&error),
                    "the login to the secret store could not be revoked"
                );
            }
        }
    }

    fn in_namespace(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.namespace {
            Some(namespace) => request.header("X-Vault-Namespace", namespace),
            None => request,
        }
    }

    fn no_answer(&self, verb: &str, error: &reqwest::Error) -> StoreState {
        match tls_client::refusal(error) {
            Some(alert) => StoreState::ClientRefused(format!("{alert:?}")),
            None => StoreState::Unreachable(self.cannot(verb, error)),
        }
    }

    fn cannot(&self, verb: &str, error: &reqwest::Error) -> String {
        format!("cannot {verb} the secret store at {}: {}", self.address, root_cause(error))
    }
}

/// Looks names up as [`lookup_name`] says, as the nodes do; the TLS client verifies the name that was asked for.
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
                std::io::Error::new(error.kind(), format!("lookup of the absolute name {name}: {why}"))
            })?;
            Ok(Box::new(found.collect::<Vec<_>>().into_iter()) as Addrs)
        })
    }
}

#[derive(Deserialize)]
struct Login {
    auth: LoginAuth,
}

#[derive(Deserialize)]
struct LoginAuth {
    client_token: String,
    #[serde(default)]
    token_policies: Vec<String>,
}

#[derive(Deserialize)]
struct SealStatus {
    #[serde(rename = "type")]
    seal_type: String,
    #[serde(default)]
    recovery_seal: bool,
    recovery_seal_type: Option<String>,
}

/// What unseals a store that opens by itself and does not name its seal.
const UNNAMED: &str = "unnamed-auto-seal";

/// What unseals the store that gave this answer.
fn seal_of(answer: &[u8]) -> Option<String> {
    let status = serde_json::from_slice::<SealStatus>(answer).ok()?;
    // Up to Vault 1.15, and in OpenBao, the type is that of the recovery keys once the store is open (hashicorp/vault#23022).
    if status.recovery_seal && status.seal_type == "shamir" && status.recovery_seal_type.is_none() {
        return Some(UNNAMED.to_owned());
    }
    // It ends in a status: one short word, or none.
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    Some(status.seal_type).filter(|seal| (1..=32).contains(&seal.len()) && seal.chars().all(is_word))
}

#[derive(Deserialize)]
struct Refusal {
    errors: Vec<String>,
}

/// What Vault says, on one line and bounded: it ends in a condition.
fn errors(body: &[u8]) -> String {
    let text = serde_json::from_slice::<Refusal>(body).map(|refusal| refusal.errors.join("; "));
    let text = text.unwrap_or_else(|_| "no reason given".to_owned());
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect()
}

async fn bounded(mut answer: Response) -> Zeroizing<Vec<u8>> {
    let mut body = Zeroizing::new(Vec::new());
    while let Ok(Some(chunk)) = answer.chunk().await {
        if body.len() + chunk.len() > ANSWER_LIMIT {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault() -> Vault {
        let store: VaultStore = serde_json::from_value(json!({
            "address": "https://127.0.0.1:1", "caBundleRef": {"name": "ca"},
            "auth": {"role": "r"}, "kv": {"pathPrefix": "p"},
        }))
        .unwrap();
        let now = jiff::Timestamp::now();
        let state = tessera_pki::CaState::generate("n", jiff::SignedDuration::from_hours(1), now).unwrap();
        Vault::new(&store, state.network.roots_pem().as_bytes(), None).unwrap()
    }

    #[test]
    fn refusals_are_told_apart() {
        let vault = vault();
        let refusal = |code, text| vault.refusal(StatusCode::from_u16(code).unwrap(), text);
        assert!(matches!(refusal(400, "invalid role name \"r\""), StoreState::NotProvisioned(_)));
        assert!(matches!(refusal(404, ""), StoreState::NotProvisioned(_)));
        assert!(matches!(refusal(403, "permission denied"), StoreState::LoginDenied(_)));
        assert!(matches!(refusal(400, "invalid audience (aud) claim"), StoreState::LoginDenied(_)));
        assert!(matches!(refusal(503, "Vault is sealed"), StoreState::Unreachable(_)));
    }

    #[tokio::test]
    async fn a_closed_port_is_unreachable_and_named() {
        let Some(StoreState::Unreachable(message)) = vault().health().await else { panic!("reachable") };
        assert!(message.contains("https://127.0.0.1:1"), "{message}");
    }

    #[tokio::test]
    async fn a_token_for_another_address_is_not_sent() {
        let claims = base64::Engine::encode(
            &base64::engine::general_purpose::URL_SAFE_NO_PAD,
            r#"{"aud":["https://vault.vault.svc:8200"]}"#,
        );
        let StoreState::LoginDenied(message) = vault().try_login(&format!("e30.{claims}.c2ln")).await else {
            panic!("it was sent: the port is closed")
        };
        assert!(message.contains("https://vault.vault.svc:8200"), "{message}");
    }

    /// Answers in the shape that each version gives: sealed by people, by a key service before and after the type was corrected,
    /// by a module.
    #[test]
    fn the_seal_is_what_opens_the_store_and_not_its_recovery_keys() {
        let answer = |more: &str| {
            let whole = format!(
                r#"{{"initialized":true,"sealed":false,"t":3,"n":5,"progress":0,"nonce":"","migration":false,
                "cluster_name":"vault-cluster-336172e1","storage_type":"raft",{more}}}"#
            );
            seal_of(whole.as_bytes())
        };
        let shamir = answer(r#""type":"shamir","version":"1.11.0","recovery_seal":false"#);
        assert_eq!(shamir.as_deref(), Some("shamir"));
        let old = answer(r#""type":"shamir","version":"1.14.1","recovery_seal":true"#);
        assert_eq!(old.as_deref(), Some("unnamed-auto-seal"), "the store does not say what opens it");
        for seal in ["awskms", "gcpckms", "pkcs11", "multiseal"] {
            let new = format!(
                r#""type":"{seal}","version":"1.18.2","recovery_seal":true,"recovery_seal_type":"shamir""#
            );
            assert_eq!(answer(&new).as_deref(), Some(seal));
        }
        assert_eq!(answer(r#""type":"two words""#), None);
        assert_eq!(answer(&format!(r#""type":"{}""#, "x".repeat(33))), None);
        assert_eq!(seal_of(b"<html>"), None);
    }

    #[test]
    fn what_vault_says_is_one_bounded_line() {
        assert_eq!(errors(br#"{"errors":["a\n\tb","c"]}"#), "a b; c");
        assert_eq!(errors(b"<html>"), "no reason given");
        let long = format!(r#"{{"errors":["{}"]}}"#, "x".repeat(5000));
        assert_eq!(errors(long.as_bytes()).len(), 300);
    }
}
