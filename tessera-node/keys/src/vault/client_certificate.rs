//! The certificate that this node shows the secret store.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use tessera_node_api::paths::{CERTIFICATE_FILE, KEY_FILE};
use tessera_node_api::tls_client;
use zeroize::Zeroizing;

use super::error::VaultError;

/// A directory with `tls.crt` and `tls.key`. They are read anew for each handshake, so a renewed certificate needs no restart:
/// handshakes are as rare as logins.
#[derive(Debug, Clone)]
pub(super) struct ClientCertificate(PathBuf);

impl ClientCertificate {
    pub(super) fn in_directory(directory: &str) -> Self {
        Self(directory.into())
    }

    /// Both files, of one generation of the volume: the kubelet swaps the symlink `..data` when the Secret changes.
    pub(super) fn load(&self) -> Result<Arc<CertifiedKey>, VaultError> {
        let generation = fs::canonicalize(self.0.join("..data")).unwrap_or_else(|_| self.0.clone());
        let certificate = self.read(&generation, CERTIFICATE_FILE)?;
        let key = Zeroizing::new(self.read(&generation, KEY_FILE)?);
        tls_client::client_certificate(&certificate, &key).map_err(|error| self.unusable(error.to_string()))
    }

    fn read(&self, generation: &Path, name: &str) -> Result<Vec<u8>, VaultError> {
        fs::read(generation.join(name)).map_err(|error| self.unusable(format!("{name}: {error}")))
    }

    fn unusable(&self, problem: String) -> VaultError {
        VaultError::ClientCertificate { path: self.0.display().to_string(), problem }
    }
}

impl ResolvesClientCert for ClientCertificate {
    fn resolve(&self, _issuers: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let loaded = self.load();
        loaded
            .inspect_err(|error| tracing::warn!(%error, "the secret store is shown no client certificate"))
            .ok()
    }

    fn has_certs(&self) -> bool {
        true
    }
}
