//! CAs and certificates made on the spot, and two ends of a real connection on loopback.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tessera_node_api::identity::Identity;
use tessera_node_api::paths::{CA_FILE, CERTIFICATE_FILE, KEY_FILE};
use tessera_tls::{
    AcceptError, AllowedPeers, Connection, Credentials, CredentialsReceiver, Expectation, ServerTls, Usage,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

pub const DOMAIN: &str = "org-a.example";
pub const PARTNER_DOMAIN: &str = "org-b.example";
/// A connection within loopback, a poll of the reload: anything that takes longer than this is broken.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A leaf as it stands in a Secret.
#[derive(Clone)]
pub struct Issued {
    pub certificate: String,
    pub key: String,
    pub roots: String,
}

/// What is to stand in a leaf.
#[derive(Clone)]
pub struct Wish {
    pub uris: Vec<String>,
    pub dns_names: Vec<String>,
    pub from: SignedDuration,
    pub until: SignedDuration,
    pub usages: Vec<ExtendedKeyUsagePurpose>,
}

pub fn wish(uri: &str) -> Wish {
    Wish {
        uris: vec![uri.to_owned()],
        dns_names: vec!["localhost".to_owned()],
        from: SignedDuration::from_mins(-60),
        until: SignedDuration::from_mins(60),
        usages: vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
    }
}

impl Ca {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub fn issue(&self, wish: &Wish) -> Issued {
        let mut params = CertificateParams::new(wish.dns_names.clone()).unwrap();
        let uris = wish.uris.iter().map(|uri| SanType::URI(uri.as_str().try_into().unwrap()));
        params.subject_alt_names.extend(uris);
        params.extended_key_usages.clone_from(&wish.usages);
        // rcgen's type of a moment is another crate's, so it is not named here.
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        params.not_before = epoch + since_epoch(wish.from);
        params.not_after = epoch + since_epoch(wish.until);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Issued { certificate, key: key.serialize_pem(), roots: self.pem.clone() }
    }

    pub fn roots(&self) -> tessera_tls::Roots {
        tessera_tls::Roots::from_pem(self.pem.as_bytes()).unwrap()
    }
}

impl Issued {
    /// Writes the three files.
    pub fn write(&self, directory: &Path) {
        std::fs::write(directory.join(CERTIFICATE_FILE), &self.certificate).unwrap();
        std::fs::write(directory.join(KEY_FILE), &self.key).unwrap();
        std::fs::write(directory.join(CA_FILE), &self.roots).unwrap();
    }

    pub fn credentials(&self, identity: &Identity, usage: Usage) -> Credentials {
        let expected = Expectation { identity: identity.clone(), usage };
        let loaded = Credentials::from_pem(
            self.certificate.as_bytes(),
            self.key.as_bytes(),
            self.roots.as_bytes(),
            &expected,
        );
        loaded.unwrap()
    }

    pub fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()
    }
}

pub fn identity(uri: &str) -> Identity {
    uri.parse().unwrap()
}

pub fn node(name: &str) -> Identity {
    Identity::node(DOMAIN, name).unwrap()
}

pub fn fixed(issued: &Issued, identity: &Identity) -> CredentialsReceiver {
    CredentialsReceiver::fixed(issued.credentials(identity, Usage::Both))
}

pub fn clients(identities: &[&Identity]) -> AllowedPeers {
    AllowedPeers::fixed_clients(identities.iter().copied().cloned().collect::<HashSet<_>>())
}

/// A plain rustls client that trusts `server_ca` and shows whatever it is given, even what our own loader refuses.
pub fn any_client(shown: Option<&Issued>, server_ca: &Ca) -> ClientConfig {
    client_of(rustls::DEFAULT_VERSIONS, shown, server_ca)
}

/// [`any_client`] of certain versions.
pub fn client_of(
    versions: &[&'static SupportedProtocolVersion],
    shown: Option<&Issued>,
    server_ca: &Ca,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(server_ca.pem.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    match shown {
        None => config.with_no_client_auth(),
        Some(shown) => {
            let chain = CertificateDer::pem_slice_iter(shown.certificate.as_bytes());
            let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
            let key = PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).unwrap();
            config.with_client_auth_cert(chain, key).unwrap()
        }
    }
}

/// One connection over loopback. The server writes a byte after its handshake and the client reads it: in TLS 1.3 the
/// client's handshake ends before the server has judged it, so only the byte tells that it was served.
pub async fn meet<C>(
    server: &ServerTls,
    connect: impl AsyncFnOnce(TcpStream) -> io::Result<C>,
) -> (Result<ServerConnection, AcceptError>, io::Result<C>)
where
    C: AsyncRead + Unpin,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accept = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = server.accept(stream).await?;
        connection.stream.write_all(b"!").await.map_err(AcceptError::Handshake)?;
        Ok(connection)
    };
    let connect = async {
        let mut stream = connect(TcpStream::connect(address).await.unwrap()).await?;
        stream.read_exact(&mut [0]).await?;
        Ok(stream)
    };
    tokio::time::timeout(DEADLINE, async { tokio::join!(accept, connect) }).await.expect("handshake hangs")
}

/// Connects with a plain rustls client.
pub async fn meet_any(
    server: &ServerTls,
    client: ClientConfig,
) -> (Result<ServerConnection, AcceptError>, io::Result<AnyStream>) {
    let connector = TlsConnector::from(Arc::new(client));
    meet(server, async |stream| connector.connect("localhost".try_into().unwrap(), stream).await).await
}

pub type ServerConnection = Connection<tokio_rustls::server::TlsStream<TcpStream>>;
pub type AnyStream = tokio_rustls::client::TlsStream<TcpStream>;

fn since_epoch(offset: SignedDuration) -> Duration {
    let second = Timestamp::now().checked_add(offset).unwrap().as_second();
    Duration::from_secs(second.try_into().unwrap())
}
