//! Which CA bundle verifies the store. The bundle is a ConfigMap that others may write, so a changed one takes the place of
//! the old only when the old one no longer verifies the store.

use std::sync::{Mutex, PoisonError};

use rustls::RootCertStore;
use tessera_node_api::static_config::SecretStore;

use super::error::VaultError;
use super::http::{self, Bundle};
use super::login::Login;
use super::session::Session;

/// The CA bundle that verified the store at the last login. It lives as long as the process.
pub(super) struct Trust {
    path: String,
    in_use: Mutex<Option<Bundle>>,
}

impl Trust {
    pub(super) fn new(path: &str) -> Self {
        Self { path: path.to_owned(), in_use: Mutex::new(None) }
    }

    /// Logs in at the store, verified by the bundle in use, or by the one on disk when there is none in use or the store no
    /// longer verifies by it.
    pub(super) async fn open(&self, config: &SecretStore, login: &Login) -> Result<Session, VaultError> {
        if let Some(in_use) = self.in_use() {
            match login.open(config, &in_use).await {
                Err(VaultError::Untrusted { .. }) => {}
                result => return result,
            }
        }
        let offered = http::read_bundle(&self.path)?;
        let session = login.open(config, &offered).await?;
        tracing::info!(bundle = self.path, "the secret store is verified by this CA bundle");
        *self.lock() = Some(offered);
        Ok(session)
    }

    /// Why the bundle on disk is not in use.
    pub(super) fn unused_bundle(&self) -> Option<String> {
        let in_use = self.in_use()?;
        let path = &self.path;
        match http::read_bundle(path) {
            Ok(offered) if offered == in_use => None,
            Ok(_) => Some(format!(
                "the CA bundle {path} of the secret store has changed: the one that verified the store at the last \
                 login stays in use until the store no longer verifies by it"
            )),
            Err(error) => Some(error.to_string()),
        }
    }

    /// The roots of the bundle in use, or of the one on disk before the first login.
    pub(super) fn roots(&self) -> Result<RootCertStore, VaultError> {
        let bundle = self.in_use().map_or_else(|| http::read_bundle(&self.path), Ok);
        bundle?.roots()
    }

    fn in_use(&self) -> Option<Bundle> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Bundle>> {
        // Replaced whole, so a panic elsewhere cannot have left half of one.
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
