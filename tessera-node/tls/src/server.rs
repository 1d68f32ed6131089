//! A listener's side.

use std::io;
use std::sync::Arc;

use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{DistinguishedName, ServerConfig};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::{HANDSHAKE_TIMEOUT, HTTP_1_1, provider, provider_checks_signatures};
use crate::credentials::Credentials;
use crate::guard::ConnectionGuard;
use crate::refusal::Refusal;
use crate::reload::CredentialsReceiver;
use crate::trust::{AllowedPeers, HandshakeVerifier, Peer, Presented, Trust};

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

    /// Runs a handshake. The peer's chain is verified once, within it.
    pub async fn accept<S>(&self, stream: S) -> Result<Connection<TlsStream<S>>, AcceptError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let credentials =
            self.trust.credentials().current().ok_or(AcceptError::Refused(Refusal::NotReady))?;
        let verifier = HandshakeVerifier::new(&self.trust);
        let config = config(&credentials, Arc::clone(&verifier)).map_err(AcceptError::Configuration)?;
        let handshake = TlsAcceptor::from(Arc::new(config)).accept(stream);
        let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake)
            .await
            .map_err(|_| AcceptError::Timeout)?
            .map_err(|error| {
                Refusal::from_handshake(&error).map_or(AcceptError::Handshake(error), AcceptError::Refused)
            })?;
        let accepted = verifier.take().map_err(AcceptError::Refused)?;
        Ok(Connection { stream, peer: accepted.peer.clone(), guard: ConnectionGuard::new(accepted) })
    }
}

/// Built for each handshake, so it can neither be stale nor remember a session.
fn config(
    credentials: &Credentials,
    verifier: Arc<HandshakeVerifier>,
) -> Result<ServerConfig, rustls::Error> {
    let resolver = Arc::new(SingleCertAndKey::from(credentials.certified_key()));
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(ClientVerifier(verifier)))
        .with_cert_resolver(resolver);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    Ok(config)
}

#[derive(Debug)]
struct ClientVerifier(Arc<HandshakeVerifier>);

impl ClientCertVerifier for ClientVerifier {
    /// Strangers do not learn whose certificates we trust.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.0.verify(end_entity, intermediates, Presented::ByClient, now)?;
        Ok(ClientCertVerified::assertion())
    }

    provider_checks_signatures!();
}
