//! The files that a connection is made with. They are read anew for each connection: renewed ones need no restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::sign::CertifiedKey;
use tessera_node_api::paths::{CERTIFICATE_FILE, KEY_FILE};
use tessera_node_api::tls_client;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::connection_string::{self, Server};

/// More than any connection string or private key. As much is cleared after each read.
const MAX_BYTES: usize = 32 << 10;

/// Paths of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The connection string of libpq.
    pub connection: PathBuf,
    /// PEM with the certificates of who signs the server's.
    pub ca: PathBuf,
    /// Directory with the `tls.crt` and `tls.key` that the server is shown; absent: none is.
    pub client_certificate: Option<PathBuf>,
}

impl Credentials {
    /// Reads them. The sentence of an error names the file, and quotes nothing.
    pub(crate) async fn read(&self) -> Result<Login, String> {
        let files = self.clone();
        // Some files of a pod come from a slow place.
        let read = tokio::task::spawn_blocking(move || files.read_now());
        read.await.unwrap_or_else(|_| Err("reading the files of the connection panicked".to_owned()))
    }

    fn read_now(&self) -> Result<Login, String> {
        let named = |path: &Path, error: &dyn std::fmt::Display| format!("{} {error}", path.display());
        let servers = connection_string::servers(&text(&self.connection)?)
            .map_err(|error| named(&self.connection, &error))?;
        let roots = tls_client::roots(&public(&self.ca)?)
            .map_err(|error| format!("the CA bundle {} cannot be used: {error}", self.ca.display()))?;
        let own = self.client_certificate.as_deref().map(certificate).transpose()?;
        Ok(Login { servers, roots, own })
    }
}

/// The content of the files.
pub(crate) struct Login {
    pub(crate) servers: Vec<Server>,
    pub(crate) roots: RootCertStore,
    /// The certificate that the node shows the servers.
    pub(crate) own: Option<Arc<CertifiedKey>>,
}

impl Login {
    /// The TLS of a client that shows this certificate.
    pub(crate) fn tls(&self, shown: Option<Arc<CertifiedKey>>) -> MakeRustlsConnect {
        let roots = self.roots.clone();
        MakeRustlsConnect::new(match shown {
            None => tls_client::without_certificate(roots),
            Some(shown) => tls_client::with_certified_key(roots, shown),
        })
    }
}

fn certificate(directory: &Path) -> Result<Arc<CertifiedKey>, String> {
    let certificate = public(&directory.join(CERTIFICATE_FILE))?;
    let key = text(&directory.join(KEY_FILE))?;
    tls_client::client_certificate(&certificate, key.as_bytes())
        .map_err(|error| format!("in {}, {error}", directory.display()))
}

fn public(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

/// A file with a secret.
fn text(path: &Path) -> Result<zeroize::Zeroizing<String>, String> {
    match tessera_keys::text::read_up_to(path, MAX_BYTES) {
        Ok(Some(text)) => Ok(text),
        Ok(None) => Err(format!("{} has more than {MAX_BYTES} bytes", path.display())),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
    }
}
