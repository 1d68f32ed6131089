//! One login: a token, the connection that carries it, and its time.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustify::clients::reqwest::Client as HttpClient;
use tessera_node_api::static_config::SecretStore;
use vaultrs::api::EndpointMiddleware;
use vaultrs::client::{Client, VaultClientSettings, VaultClientSettingsBuilder};
use vaultrs::token;
use zeroize::{Zeroize, Zeroizing};

use super::client_certificate::ClientCertificate;
use super::error::VaultError;
use super::http::{self, Bundle, Failure, quote};

/// A login, with a connection of its own that trusts one CA bundle.
pub(super) struct Session {
    http: HttpClient,
    middleware: EndpointMiddleware,
    settings: VaultClientSettings,
    /// The address as configured, which a token must be made for.
    audience: String,
    lease: Mutex<Lease>,
}

/// What a login gives.
pub(super) struct Grant {
    token: Zeroizing<String>,
    lease: Lease,
}

/// How long a token lives.
#[derive(Clone, Copy)]
struct Lease {
    /// As first granted.
    full: Duration,
    /// As granted last; shorter than `full` when the token nears the end that no renewal moves.
    granted: Duration,
    since: Instant,
    renewable: bool,
}

/// How a renewal ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Renewal {
    /// The token lives on.
    Extended,
    /// The token cannot be extended by much any more: log in anew.
    Exhausted,
}

impl Grant {
    pub(super) fn new(token: &str, seconds: u64, renewable: bool) -> Self {
        let full = Duration::from_secs(seconds);
        let lease = Lease { full, granted: full, since: Instant::now(), renewable };
        Self { token: Zeroizing::new(token.to_owned()), lease }
    }
}

impl Session {
    /// A connection without a token to the store that `bundle` verifies.
    pub(super) fn anonymous(config: &SecretStore, bundle: &Bundle) -> Result<Self, VaultError> {
        http::validate_address(&config.address)?;
        let shown = config.client_certificate.as_deref().map(ClientCertificate::in_directory);
        // Said here, since a handshake could only go on without one.
        shown.as_ref().map(ClientCertificate::load).transpose()?;
        let namespace = Some(config.namespace.clone()).filter(|namespace| !namespace.is_empty());
        let settings = VaultClientSettingsBuilder::default()
            .address(&config.address)
            // All that would otherwise be taken from the environment.
            .ca_certs(Vec::new())
            .identity(None)
            .token("")
            .verify(true)
            .build()
            .map_err(|error| VaultError::Client { problem: error.to_string() })?;
        Ok(Self {
            http: HttpClient::new(&config.address, http::client(bundle, shown)?),
            middleware: EndpointMiddleware {
                token: String::new(),
                version: "v1".to_owned(),
                wrap: None,
                namespace,
            },
            settings,
            audience: config.address.clone(),
            lease: Mutex::new(Grant::new("", 0, false).lease),
        })
    }

    /// The session with the token that a login gave.
    pub(super) fn granted(mut self, grant: &Grant) -> Self {
        self.set_token(&grant.token);
        self.lease = Mutex::new(grant.lease);
        self
    }

    /// What a token that somebody else obtained is good for.
    pub(super) async fn look_up(&mut self, token: &str) -> Result<Grant, VaultError> {
        self.set_token(token);
        match token::lookup_self(self).await {
            Ok(found) => Ok(Grant::new(token, found.ttl, found.renewable.unwrap_or(false))),
            Err(error) => Err(self.token_refused(error)),
        }
    }

    /// How long until the token should be renewed.
    pub(super) fn until_renewal(&self) -> Duration {
        self.lease().until_renewal()
    }

    /// Extends the token.
    pub(super) async fn renew(&self) -> Result<Renewal, VaultError> {
        let lease = self.lease();
        if lease.granted.is_zero() {
            return Ok(Renewal::Extended); // A token without an end.
        }
        if !lease.renewable {
            return Ok(Renewal::Exhausted);
        }
        let mut auth = token::renew_self(self, None).await.map_err(|error| self.token_refused(error))?;
        auth.client_token.zeroize();
        let granted = Duration::from_secs(auth.lease_duration);
        let lease = Lease { granted, since: Instant::now(), ..lease };
        *self.lock() = lease;
        Ok(if granted < lease.full / 2 { Renewal::Exhausted } else { Renewal::Extended })
    }

    /// Ends the token.
    pub(super) async fn revoke(&self) -> Result<(), VaultError> {
        token::revoke_self(self).await.map_err(|error| self.token_refused(error))
    }

    pub(super) fn address(&self) -> &str {
        self.settings.address.as_str()
    }

    /// The address as configured: what a token must be made for.
    pub(super) fn audience(&self) -> &str {
        &self.audience
    }

    fn token_refused(&self, error: vaultrs::error::ClientError) -> VaultError {
        Failure::from(error).explain(self.address(), |failure| match failure {
            Failure::Status { status, errors, .. } => VaultError::Unavailable {
                address: self.address().to_owned(),
                status,
                reason: quote(errors.as_deref()),
            },
            Failure::Transport(_) | Failure::Untrusted(_) | Failure::Refused(_) | Failure::Body => {
                VaultError::Answer { path: "auth/token".to_owned(), problem: "no token in it" }
            }
        })
    }

    fn lease(&self) -> Lease {
        *self.lock()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Lease> {
        // A lease is copied in and out whole, so a panic elsewhere cannot have left half of one.
        self.lease.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Lease {
    fn until_renewal(self) -> Duration {
        if self.granted.is_zero() {
            return Duration::from_hours(1);
        }
        (self.granted * 2 / 3).saturating_sub(self.since.elapsed()).max(Duration::from_millis(500))
    }
}

impl Client for Session {
    fn http(&self) -> &HttpClient {
        &self.http
    }

    fn middle(&self) -> &EndpointMiddleware {
        &self.middleware
    }

    fn settings(&self) -> &VaultClientSettings {
        &self.settings
    }

    fn set_token(&mut self, token: &str) {
        self.middleware.token.zeroize();
        token.clone_into(&mut self.middleware.token);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.middleware.token.zeroize();
    }
}
