//! What every TLS configuration of ours has in common.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// How long a peer may take for a handshake. Peers give a push up after 3.5 seconds, so a longer one serves nobody.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);

/// We speak HTTP/1.1 only; a client that offers HTTP/2 as well learns it here.
pub(crate) const HTTP_1_1: &[u8] = b"http/1.1";

/// The one provider, named explicitly so that nothing depends on which default a binary installed.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    Arc::clone(&PROVIDER)
}

/// The methods of a certificate verifier of either side that only check signatures: the provider's, unchanged.
macro_rules! provider_checks_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &rustls_pki_types::CertificateDer<'_>,
            signed: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            let algorithms = &$crate::config::provider().signature_verification_algorithms;
            rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &rustls_pki_types::CertificateDer<'_>,
            signed: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            let algorithms = &$crate::config::provider().signature_verification_algorithms;
            rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            $crate::config::provider().signature_verification_algorithms.supported_schemes()
        }
    };
}
pub(crate) use provider_checks_signatures;
