//! The TLS of each client of ours that trusts given roots alone: those of the secret store (node, operator and plug-in), the
//! node at its collector of logs, and the operator at a node's admin port. Pure.
//!
//! The provider is named here, so that nothing depends on which default a binary installed. No session is resumed: a resumed
//! session is used without asking the verifier.

use std::error::Error;
use std::io;
use std::sync::Arc;

use rustls::client::{ResolvesClientCert, Resumption, WantsClientCert};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    AlertDescription, ClientConfig, ConfigBuilder, DEFAULT_VERSIONS, RootCertStore, SupportedProtocolVersion,
};

use crate::paths::{CERTIFICATE_FILE, KEY_FILE};
use crate::plain_words::is_about_our_certificate;

/// Why a CA bundle cannot be the roots of a client. The bundle is named by the sentence that this ends.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BundleError {
    /// The text holds no certificate.
    #[error("it holds no PEM certificate")]
    Empty,
    /// The text begins a PEM section and breaks off. What the library says of it quotes the bytes.
    #[error("it is not PEM")]
    NotPem,
    /// A certificate cannot be a root.
    #[error("a certificate in it cannot be a root")]
    Root(#[source] rustls::Error),
}

/// The certificates of a PEM bundle. One bad certificate refuses the whole bundle: trusting a part would hide the mistake.
pub fn roots(pem: &[u8]) -> Result<RootCertStore, BundleError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(|_| BundleError::NotPem)?).map_err(BundleError::Root)?;
    }
    if roots.is_empty() { Err(BundleError::Empty) } else { Ok(roots) }
}

/// Why a private key cannot be used. The file is named by the sentence that this ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not PEM, no key in it, or a kind of key that we do not support.
    #[error("holds no private key that can be used; PKCS#8 in PEM is expected")]
    Unusable,
    /// The key is protected by a passphrase.
    #[error(
        "is encrypted, and there is no passphrase to open it with; \
         write the key as unencrypted PKCS#8 PEM, for example with `openssl pkcs8 -topk8 -nocrypt`"
    )]
    Encrypted,
    /// Key and certificate belong to different pairs.
    #[error("is not the key of the certificate beside it")]
    Mismatch,
}

/// A certificate with its chain, and its key in PEM.
pub fn certified_key(chain: Vec<CertificateDer<'static>>, key: &[u8]) -> Result<CertifiedKey, KeyError> {
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| if is_encrypted(key) { KeyError::Encrypted } else { KeyError::Unusable })?;
    let provider = aws_lc_rs::default_provider();
    let key = provider.key_provider.load_private_key(key).map_err(|_| KeyError::Unusable)?;
    let certified = CertifiedKey::new(chain, key);
    certified.keys_match().map_err(|_| KeyError::Mismatch)?;
    Ok(certified)
}

/// Whether the PEM text is of an encrypted key: PKCS#8, or the older form of OpenSSL, which marks it in a header.
fn is_encrypted(pem: &[u8]) -> bool {
    [&b"-----BEGIN ENCRYPTED PRIVATE KEY-----"[..], b"Proc-Type: 4,ENCRYPTED"]
        .iter()
        .any(|mark| pem.windows(mark.len()).any(|window| window == *mark))
}

/// A client without a certificate, of a server that is not ours: TLS 1.2 and 1.3.
pub fn without_certificate(roots: RootCertStore) -> ClientConfig {
    without_resumption(builder(roots, DEFAULT_VERSIONS).with_no_client_auth())
}

/// A client with a certificate, of a server that is ours: TLS 1.3 alone.
pub fn with_certificate(
    roots: RootCertStore,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, rustls::Error> {
    builder(roots, &[&rustls::version::TLS13]).with_client_auth_cert(chain, key).map(without_resumption)
}

/// A client with a certificate, of a server that is not ours: TLS 1.2 and 1.3.
pub fn with_certified_key(roots: RootCertStore, key: Arc<CertifiedKey>) -> ClientConfig {
    let resolver = Arc::new(SingleCertAndKey::from(key));
    without_resumption(builder(roots, DEFAULT_VERSIONS).with_client_cert_resolver(resolver))
}

/// A client of a server that is not ours, which shows what `resolver` has at each handshake: TLS 1.2 and 1.3.
pub fn with_resolver(roots: RootCertStore, resolver: Arc<dyn ResolvesClientCert>) -> ClientConfig {
    without_resumption(builder(roots, DEFAULT_VERSIONS).with_client_cert_resolver(resolver))
}

/// Why the files of a client's certificate cannot be used. No byte of them is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientCertificateError {
    /// No PEM, or no certificate in it.
    #[error("{CERTIFICATE_FILE} holds no PEM certificate")]
    NoCertificate,
    /// The key cannot be used with it.
    #[error("{KEY_FILE} {0}")]
    Key(KeyError),
}

/// What a client shows, of the texts of `tls.crt` (a leaf, then its chain) and `tls.key`.
pub fn client_certificate(
    certificate: &[u8],
    key: &[u8],
) -> Result<Arc<CertifiedKey>, ClientCertificateError> {
    let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or(ClientCertificateError::NoCertificate)?;
    certified_key(chain, key).map(Arc::new).map_err(ClientCertificateError::Key)
}

/// The alert by which a server refused a client, if that is how a request failed: the client's certificate, or the lack of one.
pub fn refusal(error: &(dyn Error + 'static)) -> Option<AlertDescription> {
    let mut link = Some(error);
    while let Some(error) = link {
        // The content of an `io::Error` is no link of its chain.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let content = inner.map_or(error, |inner| inner as &(dyn Error + 'static));
        match content.downcast_ref() {
            Some(rustls::Error::AlertReceived(alert)) if is_about_our_certificate(*alert) => {
                return Some(*alert);
            }
            _ => link = content.source(),
        }
    }
    None
}

fn builder(
    roots: RootCertStore,
    versions: &[&'static SupportedProtocolVersion],
) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .expect("the provider has cipher suites of TLS 1.2 and 1.3")
        .with_root_certificates(roots)
}

fn without_resumption(mut config: ClientConfig) -> ClientConfig {
    config.resumption = Resumption::disabled();
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_that_is_not_wholly_certificates_is_refused() {
        let refused = |pem: &str| roots(pem.as_bytes()).expect_err(pem);
        assert_eq!(refused(""), BundleError::Empty);
        assert_eq!(refused("nothing"), BundleError::Empty);
        assert_eq!(refused("-----BEGIN CERTIFICATE-----\nMIIB"), BundleError::NotPem);
        let encoded = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(refused(encoded), BundleError::Root(_)));
    }
}
