//! A set of trusted roots.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::certificate::fingerprint;
use crate::config::provider;
use crate::refusal::ChainProblem;

/// Roots that a chain may end in. Cheap to clone.
#[derive(Clone)]
pub struct Roots {
    store: Arc<RootCertStore>,
    clients: Arc<dyn ClientCertVerifier>,
    fingerprints: Arc<[String]>,
}

/// Why a bundle is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootsError {
    /// The text is no PEM.
    #[error("ca bundle is not valid PEM")]
    Pem,
    /// There is no certificate in it.
    #[error("ca bundle has no certificate")]
    Empty,
    /// One of them cannot be a trust anchor.
    #[error("certificate {index} of the ca bundle cannot be used as a root: {reason}")]
    Anchor {
        /// Its place, from 1.
        index: usize,
        /// What rustls says.
        reason: String,
    },
}

impl Roots {
    /// Parses a PEM bundle. One bad certificate refuses the whole bundle: trusting a part would hide the mistake.
    pub fn from_pem(pem: &[u8]) -> Result<Self, RootsError> {
        let certificates = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| RootsError::Pem)?;
        Self::from_der(certificates)
    }

    /// Takes certificates as they are.
    pub fn from_der(certificates: Vec<CertificateDer<'static>>) -> Result<Self, RootsError> {
        if certificates.is_empty() {
            return Err(RootsError::Empty);
        }
        let fingerprints = certificates.iter().map(fingerprint).collect();
        let mut store = RootCertStore::empty();
        for (index, certificate) in certificates.into_iter().enumerate() {
            store
                .add(certificate)
                .map_err(|error| RootsError::Anchor { index: index + 1, reason: error.to_string() })?;
        }
        let store = Arc::new(store);
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&store), provider())
            .build()
            .map_err(|_| RootsError::Empty)?;
        Ok(Self { store, clients, fingerprints })
    }

    /// SHA-256 of each root's DER in lower-case hex, in the order of the bundle.
    pub fn fingerprints(&self) -> &[String] {
        &self.fingerprints
    }

    /// Whether the chain ends here and its leaf may authenticate a client.
    pub(crate) fn verify_client(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), ChainProblem> {
        let (leaf, intermediates) = chain.split_first().ok_or(ChainProblem::Invalid)?;
        self.clients.verify_client_cert(leaf, intermediates, now)?;
        Ok(())
    }

    /// Whether the chain ends here and its leaf may authenticate a server. Says nothing about names.
    pub(crate) fn verify_server(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), ChainProblem> {
        let (leaf, intermediates) = chain.split_first().ok_or(ChainProblem::Invalid)?;
        let leaf = ParsedCertificate::try_from(leaf)?;
        let algorithms = provider().signature_verification_algorithms;
        verify_server_cert_signed_by_trust_anchor(&leaf, &self.store, intermediates, now, algorithms.all)?;
        Ok(())
    }
}

impl PartialEq for Roots {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprints == other.fingerprints
    }
}

impl Eq for Roots {}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roots").field("fingerprints", &self.fingerprints).finish_non_exhaustive()
    }
}
