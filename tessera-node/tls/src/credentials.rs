//! A leaf, its key and the roots beside it: loaded from a directory, verified before anybody uses them.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha256};
use tessera_node_api::identity::Identity;
use tessera_node_api::paths::{CA_FILE, CERTIFICATE_FILE, KEY_FILE};
use tessera_node_api::tls_client::{self, KeyError};
use zeroize::Zeroizing;

use crate::certificate::{Leaf, LeafError};
use crate::refusal::ChainProblem;
use crate::roots::{Roots, RootsError};

/// What we show and whom we trust: verified, immutable.
pub struct Credentials {
    key: Arc<CertifiedKey>,
    leaf: Leaf,
    identity: Identity,
    roots: Roots,
}

/// What a certificate must be before we show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// Whom it must speak for.
    pub identity: Identity,
    /// What it must be allowed to authenticate.
    pub usage: Usage,
}

/// What a certificate is allowed to authenticate (its extended key usage).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// A client.
    Client,
    /// A server.
    Server,
    /// Both: a node listens and connects with the same leaf.
    Both,
}

/// Why credentials are refused.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not PEM, or no certificate in it.
    #[error("{CERTIFICATE_FILE} holds no PEM certificate")]
    NoCertificate,
    /// Not PEM, no key in it, or a kind of key that we do not support.
    #[error("{KEY_FILE} holds no private key that can be used; PKCS#8 in PEM is expected")]
    Key,
    /// The key is protected by a passphrase.
    #[error(
        "{KEY_FILE} is encrypted, and there is no passphrase to open it with; \
         write the key as unencrypted PKCS#8 PEM, for example with `openssl pkcs8 -topk8 -nocrypt`"
    )]
    KeyEncrypted,
    /// Key and certificate belong to different pairs.
    #[error("{KEY_FILE} is not the key of the certificate in {CERTIFICATE_FILE}")]
    KeyMismatch,
    /// The roots cannot be used.
    #[error("{CA_FILE}: {0}")]
    Roots(RootsError),
    /// The leaf does not say whom it speaks for.
    #[error("{CERTIFICATE_FILE}: {0}")]
    Leaf(LeafError),
    /// The leaf speaks for somebody else.
    #[error("{CERTIFICATE_FILE} speaks for {found}, but this is {expected}")]
    Identity {
        /// Who we are.
        expected: Identity,
        /// Whom it speaks for.
        found: Identity,
    },
    /// The leaf does not verify against the roots beside it.
    #[error("{CERTIFICATE_FILE} of this process does not verify against the {CA_FILE} beside it: {0}")]
    Chain(ChainProblem),
}

impl Credentials {
    /// Verifies the PEM texts of `tls.crt`, `tls.key` and `ca.crt` at the present time.
    pub fn from_pem(
        certificate: &[u8],
        key: &[u8],
        roots: &[u8],
        expected: &Expectation,
    ) -> Result<Self, CredentialsError> {
        let chain = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| CredentialsError::NoCertificate)?;
        let leaf = chain.first().ok_or(CredentialsError::NoCertificate)?;
        let leaf = Leaf::parse(leaf).map_err(CredentialsError::Leaf)?;
        let identity = leaf.identity().map_err(CredentialsError::Leaf)?;
        if identity != expected.identity {
            return Err(CredentialsError::Identity { expected: expected.identity.clone(), found: identity });
        }
        let roots = Roots::from_pem(roots).map_err(CredentialsError::Roots)?;
        verify_own_chain(&roots, &chain, expected.usage)?;
        Ok(Self { key: Arc::new(certified_key(chain, key)?), leaf, identity, roots })
    }

    /// Verifies the three files of a directory.
    pub fn load(directory: &Path, expected: &Expectation) -> Result<Self, CredentialsError> {
        Files::read(directory)?.verify(expected)
    }

    /// The leaf.
    pub fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// Whom we speak for.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The roots of `ca.crt`.
    pub fn roots(&self) -> &Roots {
        &self.roots
    }

    /// Whether the leaf has not expired at `now`.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        now <= self.leaf.not_after()
    }

    /// Whether certificates of authorities are shown with the leaf.
    pub fn chained(&self) -> bool {
        self.key.cert.len() > 1
    }

    /// The leaf with its chain, and its key, for a client of a server that is not ours.
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("leaf", &self.leaf)
            .field("roots", &self.roots)
            .finish_non_exhaustive()
    }
}

/// The three files as they stood at one moment.
pub(crate) struct Files {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    roots: Vec<u8>,
}

impl Files {
    /// Reads all three from one generation of the volume. The kubelet swaps the symlink `..data` when a Secret changes;
    /// resolving it once keeps us from pairing an old certificate with a new key.
    pub(crate) fn read(directory: &Path) -> Result<Self, CredentialsError> {
        let generation = fs::canonicalize(directory.join("..data")).unwrap_or_else(|_| directory.to_owned());
        let read = |name: &str| {
            let path = generation.join(name);
            fs::read(&path).map_err(|source| CredentialsError::Read { path: directory.join(name), source })
        };
        Ok(Self {
            certificate: read(CERTIFICATE_FILE)?,
            key: Zeroizing::new(read(KEY_FILE)?),
            roots: read(CA_FILE)?,
        })
    }

    pub(crate) fn verify(&self, expected: &Expectation) -> Result<Credentials, CredentialsError> {
        Credentials::from_pem(&self.certificate, &self.key, &self.roots, expected)
    }

    /// Changes when any of the files changes. It tells a reader nothing of the key, and is never shown.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        for file in [&self.certificate, &*self.key, &self.roots] {
            hasher.update(file.len().to_be_bytes());
            hasher.update(file);
        }
        hasher.finalize().into()
    }
}

fn certified_key(chain: Vec<CertificateDer<'static>>, key: &[u8]) -> Result<CertifiedKey, CredentialsError> {
    tls_client::certified_key(chain, key).map_err(|error| match error {
        KeyError::Unusable => CredentialsError::Key,
        KeyError::Encrypted => CredentialsError::KeyEncrypted,
        KeyError::Mismatch => CredentialsError::KeyMismatch,
    })
}

fn verify_own_chain(
    roots: &Roots,
    chain: &[CertificateDer<'static>],
    usage: Usage,
) -> Result<(), CredentialsError> {
    let now = UnixTime::now();
    if usage != Usage::Client {
        roots.verify_server(chain, now).map_err(CredentialsError::Chain)?;
    }
    if usage != Usage::Server {
        roots.verify_client(chain, now).map_err(CredentialsError::Chain)?;
    }
    Ok(())
}
