//! A listener's side.

use std::io;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::{HANDSHAKE_TIMEOUT, HTTP_1_1, provider};
use crate::credentials::Credentials;
use crate::guard::ConnectionGuard;
use crate::refusal::Refusal;
use crate::reload::CredentialsReceiver;
use crate::trust::{AllowedPeers, Peer, Presented, Trust};

/// Accepts connections on one listener.
#[derive(Debug, Clone)]
pub struct ServerTls {
    trust: Trust,
}

/// A connection whose peer is known, in either direction. `S` is the TLS stream.
#[derive(Debug)]
pub struct Connection<S> {
    /// The decrypted stream.
    pub stream: S,
    /// Who is at the other end.
    pub peer: Peer,
    /// Says when to close.
    pub guard: ConnectionGuard,
}

/// Why a connection was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The peer is not one that is served here.
    #[error(transparent)]
    Refused(Refusal),
    /// The handshake failed otherwise: not TLS, no common version, the peer went away or refused us.
    #[error("tls handshake failed")]
    Handshake(#[source] io::Error),
    /// The peer took too long.
    #[error("tls handshake not finished within {} seconds", HANDSHAKE_TIMEOUT.as_secs())]
    Timeout,
    /// Our own key cannot be used; credentials were verified, so this is a defect.
    #[error("tls configuration cannot be built")]
    Configuration(#[source] rustls::Error),
}

impl ServerTls {
    /// A listener that shows `credentials` and serves `allowed` under the roots beside them.
    pub fn new(credentials: CredentialsReceiver, allowed: AllowedPeers) -> Self {
        Self { trust: Trust::new(credentials, allowed) }
    }

    /// Whom this listener trusts.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Runs a handshake.
    pub async fn accept<S>(&self, stream: S) -> Result<Connection<TlsStream<S>>, AcceptError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let credentials =
            self.trust.credentials().current().ok_or(AcceptError::Refused(Refusal::NotReady))?;
        let config = self.config(&credentials).map_err(AcceptError::Configuration)?;
        let handshake = TlsAcceptor::from(Arc::new(config)).accept(stream);
        let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake)
            .await
            .map_err(|_| AcceptError::Timeout)?
            .map_err(|error| {
                Refusal::from_handshake(&error).map_or(AcceptError::Handshake(error), AcceptError::Refused)
            })?;
        self.admit(stream)
    }

    /// Judges once more, now with the peer's data in hand: trust may have changed during the handshake.
    fn admit<S>(&self, stream: TlsStream<S>) -> Result<Connection<TlsStream<S>>, AcceptError> {
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let chain: Vec<_> = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
        let trust = self.trust.clone();
        let peer =
            trust.judge(&chain, &Presented::ByClient, UnixTime::now()).map_err(AcceptError::Refused)?;
        let guard = ConnectionGuard::new(trust, chain, Presented::ByClient, &peer);
        Ok(Connection { stream, peer, guard })
    }

    /// Built for each handshake, so it can neither be stale nor remember a session.
    fn config(&self, credentials: &Credentials) -> Result<ServerConfig, rustls::Error> {
        let verifier = Arc::new(ClientVerifier { trust: self.trust.clone() });
        let resolver = Arc::new(SingleCertAndKey::from(credentials.certified_key()));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(resolver);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        Ok(config)
    }
}

#[derive(Debug)]
struct ClientVerifier {
    trust: Trust,
}

impl ClientCertVerifier for ClientVerifier {
    /// Strangers are not told whom we trust.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let chain: Vec<_> = std::iter::once(end_entity).chain(intermediates).cloned().collect();
        self.trust.judge(&chain, &Presented::ByClient, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
