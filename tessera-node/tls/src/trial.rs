//! Tries a server, a listener of our own or the secret store, as a client that it must not serve.
//!
//! A refusal counts only for its own reason: the server proves to be the one that we mean, and ends the connection with the
//! alert that belongs to what was wrong. Any other end is [`Outcome::Unclear`].

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{AlertDescription, ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tessera_node_api::identity::Identity;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use crate::config::{HTTP_1_1, provider, provider_checks_signatures};
use crate::credentials::Credentials;

/// A listener gives a handshake three seconds, so after these it has ended the connection.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A server that serves the client answers this, if only with 404.
const REQUEST: &[u8] = b"GET /upcheck HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
/// The first byte of a TLS alert, which is how a TLS listener answers what is not TLS.
const TLS_ALERT: u8 = 21;

/// What a client shows.
#[derive(Debug, Clone)]
pub enum Shown {
    /// It speaks HTTP without TLS.
    Plain,
    /// It has no certificate.
    NoCertificate,
    /// A certificate of a CA that nobody trusts.
    Foreign(Stranger),
    /// A certificate of the right CA, past its end.
    Expired(Stranger),
    /// Our own certificate, with its chain.
    Own,
    /// Our own certificate without its chain. A server that serves it trusts the authority that signed it.
    OwnAlone,
}

/// The server that is tried, and what we show it otherwise.
#[derive(Debug, Clone)]
pub struct Server {
    name: ServerName<'static>,
    proof: Arc<dyn ServerCertVerifier>,
    own: Arc<CertifiedKey>,
}

impl Server {
    /// A listener of our own: it must show exactly the certificate that is ours.
    pub fn own_listener(own: &Credentials) -> Result<Self, StrangerError> {
        let own = own.certified_key();
        let leaf = own.end_entity_cert().map_err(|error| StrangerError(error.to_string()))?;
        let proof = Arc::new(ExactlyThis(leaf.clone().into_owned()));
        let name = ServerName::try_from("localhost").map_err(|error| StrangerError(error.to_string()))?;
        Ok(Self { name, proof, own })
    }

    /// Another's server: its certificate must hold `host` (DNS name or address, no port, no brackets) and chain to `roots`. `own`
    /// is what we show it otherwise.
    pub fn of_another(
        host: &str,
        roots: RootCertStore,
        own: Arc<CertifiedKey>,
    ) -> Result<Self, StrangerError> {
        let failed = |error: &dyn std::fmt::Display| StrangerError(error.to_string());
        let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(&error))?;
        let proof = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        Ok(Self { name, proof: proof.map_err(|error| failed(&error))?, own })
    }

    /// Whether certificates of authorities are shown with our own.
    pub fn own_is_chained(&self) -> bool {
        self.own.cert.len() > 1
    }

    fn own_alone(&self) -> Arc<CertifiedKey> {
        let leaf = self.own.cert.first().cloned();
        Arc::new(CertifiedKey::new(leaf.into_iter().collect(), Arc::clone(&self.own.key)))
    }
}

/// A certificate with its key that is not for use.
#[derive(Clone)]
pub struct Stranger(Arc<CertifiedKey>);

/// How a server treats a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Refused, for the reason that it should have.
    Refused,
    /// Served.
    Served,
    /// Neither: why.
    Unclear(String),
}

/// A certificate cannot be made or read.
#[derive(Debug, thiserror::Error)]
#[error("certificate for a trial: {0}")]
pub struct StrangerError(String);

impl Stranger {
    /// Speaks for `identity`, in the name of a CA that exists nowhere else.
    pub fn of_foreign_ca(identity: &Identity) -> Result<Self, StrangerError> {
        let failed = |error: rcgen::Error| StrangerError(error.to_string());
        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(DnType::CommonName, "foreign CA of a trial");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = Issuer::new(authority, KeyPair::generate().map_err(failed)?);
        let mut leaf = CertificateParams::default();
        let uri = identity.to_string().try_into().map_err(failed)?;
        leaf.subject_alt_names = vec![SanType::URI(uri)];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = leaf.signed_by(&key, &issuer).map_err(failed)?;
        let key =
            PrivateKeyDer::try_from(key.serialize_der()).map_err(|error| StrangerError(error.to_owned()))?;
        Self::new(vec![certificate.der().clone()], key)
    }

    /// `certificate` (a leaf, then its chain) and `key`.
    pub fn new(
        certificate: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, StrangerError> {
        let key = provider().key_provider.load_private_key(key);
        let key = key.map_err(|_| StrangerError("its key cannot be used".to_owned()))?;
        Ok(Self(Arc::new(CertifiedKey::new(certificate, key))))
    }

    /// What it shows.
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0)
    }
}

impl std::fmt::Debug for Stranger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stranger").finish_non_exhaustive()
    }
}

/// Shows `shown` to `server`, which is at the other end of `stream`.
pub async fn run<S>(stream: S, shown: &Shown, server: &Server) -> Outcome
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let trial = async {
        match shown {
            Shown::Plain => plain(stream).await,
            Shown::NoCertificate => tls(stream, None, server).await,
            Shown::Foreign(stranger) | Shown::Expired(stranger) => {
                tls(stream, Some(Arc::clone(&stranger.0)), server).await
            }
            Shown::Own => tls(stream, Some(Arc::clone(&server.own)), server).await,
            Shown::OwnAlone => tls(stream, Some(server.own_alone()), server).await,
        }
    };
    match tokio::time::timeout(TIMEOUT, trial).await {
        Ok(End::Answer) => Outcome::Served,
        Ok(End::Alert(alert)) if shown.accepts(alert) => Outcome::Refused,
        Ok(End::NotTls) if matches!(shown, Shown::Plain) => Outcome::Refused,
        Ok(end) => Outcome::Unclear(end.to_string()),
        Err(_) => Outcome::Unclear(format!("no answer within {} seconds", TIMEOUT.as_secs())),
    }
}

impl Shown {
    /// Whether a listener that refuses this for the right reason says so with `alert` (RFC 8446, section 6.2).
    pub fn accepts(&self, alert: AlertDescription) -> bool {
        use AlertDescription as A;
        match self {
            Self::Plain => false,
            Self::NoCertificate => alert == A::CertificateRequired,
            Self::Foreign(_) => alert == A::UnknownCA,
            Self::Expired(_) => alert == A::CertificateExpired,
            // A server may refuse it for its CA, its usage or its identity, whichever it checks first.
            Self::Own | Self::OwnAlone => matches!(
                alert,
                A::CertificateUnknown
                    | A::UnknownCA
                    | A::UnsupportedCertificate
                    | A::AccessDenied
                    | A::BadCertificate
            ),
        }
    }
}

/// How a connection ended.
enum End {
    Answer,
    Alert(AlertDescription),
    NotTls,
    Other(String),
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answer => f.write_str("an answer"),
            Self::Alert(alert) => write!(f, "refused with the TLS alert {alert:?}"),
            Self::NotTls => f.write_str("it closed the connection"),
            Self::Other(why) => f.write_str(why),
        }
    }
}

async fn plain<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> End {
    let mut answer = [0; 1];
    let exchange = async {
        stream.write_all(REQUEST).await?;
        stream.read(&mut answer).await
    };
    match exchange.await {
        Ok(1) if answer[0] == TLS_ALERT => End::NotTls,
        Ok(1) => End::Answer,
        Ok(_) => End::NotTls,
        Err(error) if is_closed(&error) => End::NotTls,
        Err(error) => End::Other(error.to_string()),
    }
}

async fn tls<S>(stream: S, shown: Option<Arc<CertifiedKey>>, server: &Server) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = match config(shown, server) {
        Ok(config) => config,
        Err(error) => return End::Other(error.to_string()),
    };
    let exchange = async {
        let mut stream = TlsConnector::from(Arc::new(config)).connect(server.name.clone(), stream).await?;
        // In TLS 1.3 the handshake is over for the client before the server has judged its certificate. So a request may meet a
        // connection that has ended, and why it ended is there to read.
        let sent = async {
            stream.write_all(REQUEST).await?;
            stream.flush().await
        };
        let sent = sent.await;
        match stream.read(&mut [0; 1]).await {
            Ok(0) => sent.map(|()| 0),
            read => read,
        }
    };
    match exchange.await {
        Ok(1) => End::Answer,
        Ok(_) => End::NotTls,
        Err(error) => alert(&error).map_or_else(|| End::Other(error.to_string()), End::Alert),
    }
}

fn alert(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(error.kind(), K::ConnectionReset | K::BrokenPipe | K::UnexpectedEof)
}

fn config(shown: Option<Arc<CertifiedKey>>, server: &Server) -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous() // A listener of ours must show exactly our own certificate.
        .with_custom_certificate_verifier(Arc::clone(&server.proof));
    let mut config = match shown {
        Some(key) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))),
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    Ok(config)
}

#[derive(Debug)]
struct ExactlyThis(CertificateDer<'static>);

impl ServerCertVerifier for ExactlyThis {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *end_entity == self.0 {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::Error::General("the listener shows another certificate than ours".to_owned()))
    }

    provider_checks_signatures!();
}
