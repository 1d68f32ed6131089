//! Keys that are generated in this process and kept in Vault (or `OpenBao`), KV version 2.
//!
//! ```text
//!                      ┌── there ──► verify pair ────────────────────────────────────────► KeyPair
//! ensure ──► claim ──► read
//!                      └── absent ─► generate ─► write, check-and-set 0 ── won ──────────────────► KeyPair
//!                                                             └─ lost ─► read, verify ─► KeyPair
//! claim: the directory's stamp is ours, or absent and written, check-and-set 0; any other is refused
//! ```
//!
//! The one write carries everything, so a kill at any moment leaves either no key or a whole one, and of several
//! processes that make the same key one wins and all return the winner's.
//!
//! # Where secrets lie
//!
//! The login token, the ServiceAccount token, the response that holds a private key and the texts parsed from it are
//! zeroed by us. Not within our reach: the request body that carries a new key and the header that carries the token,
//! once reqwest has them; the login request of vaultrs; TLS buffers. Pages are not dumped and not swapped by what the
//! node does at boot.

mod backup;
mod client_certificate;
mod error;
mod first_write;
mod http;
mod kv;
mod login;
mod session;
mod trust;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub use backup::{SealBackup, SealedBackup, StoredBackup};
use client_certificate::ClientCertificate;
use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::sign::CertifiedKey;
use tessera_enclave::KeyPair;
use tessera_node_api::static_config::SecretStore;
use tokio::sync::{Mutex, Notify, watch};

pub use error::{Retry, VaultError};
use first_write::{IfAbsent, NewKey, Wanted};
use kv::{Stored, StoredStamp};
pub use login::Login;
use session::Session;
use trust::Trust;

/// The node's keys in the secret store. One per process; share it by reference or in an `Arc`.
pub struct VaultKeys {
    config: SecretStore,
    payload_store: Option<String>,
    login: Login,
    trust: Trust,
    session: Mutex<Option<Arc<Session>>>,
    logged_in: Notify,
    state: watch::Sender<Option<StoreState>>,
    hook: Box<dyn Fn(WritePoint) + Send + Sync>,
    keep_sample: Option<KeepSample>,
    seal_backup: Option<SealBackup>,
}

/// Keeps a payload that a new key sealed to itself, durably, before the record of the key is written, which names the payload's
/// hash. Returns the hash in base64, or why the payload cannot be kept.
pub type KeepSample = Box<dyn Fn(Arc<KeyPair>) -> KeptSample + Send + Sync>;
/// See [`KeepSample`].
pub type KeptSample = Pin<Box<dyn Future<Output = Result<String, String>> + Send>>;

/// One version of one key.
#[derive(Debug)]
pub struct VaultKey {
    /// The pair; the public key has been recomputed.
    pub pair: Arc<KeyPair>,
    /// When it was generated, as stamped beside it.
    pub born_at: Timestamp,
    /// `<mount>/<path>`.
    pub store_path: String,
    /// The payload store that the node had when it generated the key, or the one that the caller of [`VaultKeys::restore`] names; none if the record
    /// does not say.
    pub payload_store: Option<String>,
    /// The `rotation.trigger` that it answers; none if the record does not say.
    pub trigger: Option<u32>,
    /// The hash of its sample payload, in base64; none if it has none.
    pub sample: Option<String>,
    /// Whether it was imported.
    pub imported: bool,
    /// What the record has for custodians; none if it has nothing, or nothing that can be such.
    pub backup: Option<StoredBackup>,
    /// Whether this call wrote it.
    pub new: bool,
}

/// What the node trusts and shows when it connects to the store.
#[derive(Debug)]
pub struct ClientTls {
    /// What the store's certificate must chain to.
    pub roots: RootCertStore,
    /// The node's certificate and its key.
    pub own: Arc<CertifiedKey>,
}

/// The secret store as its last use left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreState {
    /// Why the last use failed; none when it succeeded. No secret in it.
    pub failure: Option<String>,
    /// Since when it is so.
    pub since: Timestamp,
}

/// A moment of [`VaultKeys::ensure`] at which tests kill the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WritePoint {
    /// The key is generated, nothing is written.
    Before,
    /// The store has the key, nobody else knows.
    After,
}

impl VaultKeys {
    /// Keys under `config.path`, which must be stamped with `config.stamp`, by the Kubernetes login of `config`. Nothing is
    /// sent yet.
    pub fn new(config: SecretStore) -> Result<Self, VaultError> {
        http::validate_address(&config.address)?;
        Ok(Self {
            login: Login::kubernetes(&config),
            trust: Trust::new(&config.ca_file),
            config,
            payload_store: None,
            session: Mutex::new(None),
            logged_in: Notify::new(),
            state: watch::Sender::new(None),
            hook: Box::new(|_| {}),
            keep_sample: None,
            seal_backup: None,
        })
    }

    /// Logs in otherwise than by Kubernetes.
    #[must_use]
    pub fn with_login(mut self, login: Login) -> Self {
        self.login = login;
        self
    }

    /// Names this payload store in the record of each new key.
    #[must_use]
    pub fn with_payload_store(mut self, id: String) -> Self {
        self.payload_store = Some(id);
        self
    }

    /// Calls `hook` at each [`WritePoint`].
    #[must_use]
    pub fn with_write_hook(mut self, hook: impl Fn(WritePoint) + Send + Sync + 'static) -> Self {
        self.hook = Box::new(hook);
        self
    }

    /// Keeps a sample payload of each new key with this.
    #[must_use]
    pub fn with_samples(mut self, keep: KeepSample) -> Self {
        self.keep_sample = Some(keep);
        self
    }

    /// Seals each new key to custodians with this.
    #[must_use]
    pub fn with_backups(mut self, seal: SealBackup) -> Self {
        self.seal_backup = Some(seal);
        self
    }

    /// The key's version: read, or generated and written when the store has none. Safe to repeat after any error.
    pub async fn ensure(&self, key: &str, version: u32) -> Result<VaultKey, VaultError> {
        self.ensure_answering(key, version, version.saturating_sub(1)).await
    }

    /// As [`Self::ensure`]; a version that this call generates is stored as the answer to this `rotation.trigger`.
    pub async fn ensure_answering(
        &self,
        key: &str,
        version: u32,
        trigger: u32,
    ) -> Result<VaultKey, VaultError> {
        self.ensure_or(key, version, &IfAbsent::Generate { trigger }).await
    }

    /// The key's version, if the store has it.
    pub async fn find(&self, key: &str, version: u32) -> Result<Option<VaultKey>, VaultError> {
        self.find_or(&Wanted::new(&self.config, key, version)?, &IfAbsent::Leave).await
    }

    /// The key's version if the store has it, else `pair`, which this call writes as imported and as the answer to this
    /// `rotation.trigger`. What the store had may be another pair. Safe to repeat after any error.
    pub async fn adopt(
        &self,
        key: &str,
        version: u32,
        trigger: u32,
        pair: Arc<KeyPair>,
    ) -> Result<VaultKey, VaultError> {
        self.ensure_or(key, version, &IfAbsent::Adopt { trigger, pair }).await
    }

    /// As [`Self::adopt`], for a key that custodians bring back: its record names `payload_store` and no sample payload.
    pub async fn restore(
        &self,
        key: &str,
        version: u32,
        trigger: u32,
        pair: Arc<KeyPair>,
        payload_store: String,
    ) -> Result<VaultKey, VaultError> {
        self.ensure_or(key, version, &IfAbsent::Restore { trigger, pair, payload_store }).await
    }

    async fn ensure_or(&self, key: &str, version: u32, if_absent: &IfAbsent) -> Result<VaultKey, VaultError> {
        let wanted = Wanted::new(&self.config, key, version)?;
        self.find_or(&wanted, if_absent).await?.ok_or_else(|| wanted.deleted())
    }

    async fn find_or(
        &self,
        wanted: &Wanted<'_>,
        if_absent: &IfAbsent,
    ) -> Result<Option<VaultKey>, VaultError> {
        let result = self.ask(wanted, if_absent).await;
        self.record(&result);
        result
    }

    /// Keeps the login alive: renews at two thirds of its time and logs in anew when that fails. Never returns; run it beside
    /// the node.
    pub async fn keep_alive(&self) -> std::convert::Infallible {
        loop {
            let Some(session) = self.session.lock().await.clone() else {
                self.logged_in.notified().await;
                continue;
            };
            tokio::time::sleep(session.until_renewal()).await;
            if let Some(why) = self.unused_bundle() {
                tracing::warn!(why, "a changed CA bundle of the secret store is not in use");
            }
            let result = self.renew(&session).await;
            self.record(&result);
            if let Err(error) = result {
                tracing::warn!(%error, "cannot keep the login at the secret store alive");
                tokio::time::sleep(RENEWAL_RETRY).await;
            }
        }
    }

    /// Ends the login: the token is worthless afterwards. For shutdown.
    pub async fn revoke(&self) -> Result<(), VaultError> {
        let session = self.session.lock().await.take();
        match session {
            Some(session) => session.revoke().await,
            None => Ok(()),
        }
    }

    /// The store as its last use left it; none before the first.
    pub fn state(&self) -> watch::Receiver<Option<StoreState>> {
        self.state.subscribe()
    }

    /// Why the CA bundle of the store, as it is on disk now, is not in use; none when it is, or when the store was never
    /// used.
    pub fn unused_bundle(&self) -> Option<String> {
        self.trust.unused_bundle()
    }

    /// What a connection to the store is made with, now; none if the node shows the store no client certificate.
    pub fn client_tls(&self) -> Option<Result<ClientTls, VaultError>> {
        let shown = ClientCertificate::in_directory(self.config.client_certificate.as_deref()?);
        let both = self.trust.roots().and_then(|roots| Ok(ClientTls { roots, own: shown.load()? }));
        Some(both)
    }

    /// The store answers an expired token and a forbidden path alike, so a refusal is tried once more with a new login
    /// before it is believed.
    async fn ask(&self, wanted: &Wanted<'_>, if_absent: &IfAbsent) -> Result<Option<VaultKey>, VaultError> {
        let (session, fresh) = self.session().await?;
        match self.read_or_write(&session, wanted, if_absent).await {
            // The connection of a login trusts one CA bundle.
            Err(VaultError::Forbidden { .. } | VaultError::Untrusted { .. }) if !fresh => {
                let session = self.replace(&session).await?;
                self.read_or_write(&session, wanted, if_absent).await
            }
            result => result,
        }
    }

    async fn read_or_write(
        &self,
        session: &Session,
        wanted: &Wanted<'_>,
        if_absent: &IfAbsent,
    ) -> Result<Option<VaultKey>, VaultError> {
        self.claim(session).await?;
        if let Some(stored) = session.read::<Stored>(&wanted.path).await? {
            return stored.verify(&wanted.path).map(Some);
        }
        match NewKey::of(if_absent)? {
            None => Ok(None),
            Some(new) => self.write_first(session, wanted, new).await.map(Some),
        }
    }

    /// Verifies that the directory is ours, and stamps it if nobody has. Before every read and every new key: a person may
    /// have given the directory to another cluster meanwhile.
    async fn claim(&self, session: &Session) -> Result<(), VaultError> {
        let path = kv::Path::stamp(&self.config);
        if let Some(found) = session.read::<StoredStamp>(&path).await? {
            return found.verify(&path, &self.config.stamp);
        }
        session.require_engine(&path).await?;
        match session.write(&path, &self.config.stamp).await? {
            kv::Written::Won => Ok(()),
            kv::Written::Lost => {
                let found = session.read::<StoredStamp>(&path).await?;
                found
                    .ok_or_else(|| VaultError::Deleted { path: path.to_string() })?
                    .verify(&path, &self.config.stamp)
            }
        }
    }

    /// The present login, or a new one, and whether it is new.
    async fn session(&self) -> Result<(Arc<Session>, bool), VaultError> {
        let mut slot = self.session.lock().await;
        if let Some(session) = &*slot {
            return Ok((Arc::clone(session), false));
        }
        let session = Arc::new(self.trust.open(&self.config, &self.login).await?);
        *slot = Some(Arc::clone(&session));
        self.logged_in.notify_one();
        Ok((session, true))
    }

    /// Logs in anew unless somebody else just did, and gives the old login up; it stays when the new one fails, since it
    /// may still serve.
    async fn replace(&self, old: &Arc<Session>) -> Result<Arc<Session>, VaultError> {
        let mut slot = self.session.lock().await;
        if let Some(current) = slot.as_ref().filter(|current| !Arc::ptr_eq(current, old)) {
            return Ok(Arc::clone(current));
        }
        let session = Arc::new(self.trust.open(&self.config, &self.login).await?);
        *slot = Some(Arc::clone(&session));
        drop(slot);
        // Best effort: the old token ends by itself. Left to that, each try of a node that is not allowed would add one.
        let _ = old.revoke().await;
        Ok(session)
    }

    async fn renew(&self, session: &Arc<Session>) -> Result<(), VaultError> {
        if session.renew().await.is_ok_and(|outcome| outcome == session::Renewal::Extended) {
            return Ok(());
        }
        self.replace(session).await.map(drop)
    }

    fn record<T>(&self, result: &Result<T, VaultError>) {
        // Before it is about the payload store the secret store has answered.
        let of_store = |error: &&VaultError| !matches!(error, VaultError::Sample { .. });
        let failure = result.as_ref().err().filter(of_store).map(ToString::to_string);
        self.state.send_if_modified(|state| {
            if state.as_ref().is_some_and(|state| state.failure == failure) {
                return false;
            }
            *state = Some(StoreState { failure, since: Timestamp::now() });
            true
        });
    }
}

impl fmt::Debug for VaultKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultKeys").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Between two attempts to keep a login alive. A token lives for minutes at least.
const RENEWAL_RETRY: Duration = Duration::from_secs(5);

// The node spawns these, so they must be able to move between threads.
const _: fn(&VaultKeys) = |keys| {
    fn movable(_: impl Send) {}
    movable(keys.ensure("main", 1));
    movable(keys.keep_alive());
    movable(keys.revoke());
};
