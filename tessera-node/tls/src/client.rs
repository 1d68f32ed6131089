//! The side that connects: a node to its peers, the operator to a node, a test to a listener.

use std::io;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::sign::SingleCertAndKey;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::{HANDSHAKE_TIMEOUT, HTTP_1_1, provider, provider_checks_signatures};
use crate::credentials::Credentials;
use crate::guard::ConnectionGuard;
use crate::refusal::Refusal;
use crate::reload::CredentialsReceiver;
use crate::server::Connection;
use crate::trust::{AllowedPeers, HandshakeVerifier, Presented, Trust};

/// Connects with our own certificate and verifies the server's.
#[derive(Debug, Clone)]
pub struct ClientTls {
    trust: Trust,
}

/// Why a connection was not made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The host of the URL is neither a DNS name nor an address.
    #[error("{0:?} is neither a DNS name nor an IP address")]
    Name(String),
    /// The server is not the one that we want.
    #[error(transparent)]
    Refused(Refusal),
    /// The handshake failed otherwise: not TLS, no common version, the server went away or refused us.
    #[error("tls handshake failed")]
    Handshake(#[source] io::Error),
    /// The server took too long.
    #[error("tls handshake not finished within {} seconds", HANDSHAKE_TIMEOUT.as_secs())]
    Timeout,
    /// Our own key cannot be used; credentials were verified, so this is a defect.
    #[error("tls configuration cannot be built")]
    Configuration(#[source] rustls::Error),
}

impl ClientTls {
    /// Shows `credentials` and accepts `allowed` under the roots beside them. With [`AllowedPeers::Nodes`] and
    /// [`AllowedPeers::Named`] the server must also hold the name that was dialled; with [`AllowedPeers::Exactly`] the identity
    /// alone decides.
    pub fn new(credentials: CredentialsReceiver, allowed: AllowedPeers) -> Self {
        Self { trust: Trust::new(credentials, allowed) }
    }

    /// Whom this client trusts.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Runs a handshake over `stream`, which was dialled to `host` (DNS name or address, no port, no brackets).
    pub async fn connect<S>(&self, host: &str, stream: S) -> Result<Connection<TlsStream<S>>, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| ConnectError::Name(host.to_owned()))?;
        let credentials =
            self.trust.credentials().current().ok_or(ConnectError::Refused(Refusal::NotReady))?;
        let verifier = HandshakeVerifier::new(&self.trust);
        let config = config(&credentials, Arc::clone(&verifier)).map_err(ConnectError::Configuration)?;
        let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake)
            .await
            .map_err(|_| ConnectError::Timeout)?
            .map_err(|error| {
                Refusal::from_handshake(&error).map_or(ConnectError::Handshake(error), ConnectError::Refused)
            })?;
        let accepted = verifier.take().map_err(ConnectError::Refused)?;
        Ok(Connection { stream, peer: accepted.peer.clone(), guard: ConnectionGuard::new(accepted) })
    }
}

/// Built for each handshake, so it can neither be stale nor remember a session.
fn config(
    credentials: &Credentials,
    verifier: Arc<HandshakeVerifier>,
) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous() // Our own verifier: webpki's chain and name, then the identity.
        .with_custom_certificate_verifier(Arc::new(ServerVerifier(verifier)))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(credentials.certified_key())));
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    Ok(config)
}

#[derive(Debug)]
struct ServerVerifier(Arc<HandshakeVerifier>);

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.0.verify(end_entity, intermediates, Presented::ByServer(server_name.to_owned()), now)?;
        Ok(ServerCertVerified::assertion())
    }

    provider_checks_signatures!();
}
