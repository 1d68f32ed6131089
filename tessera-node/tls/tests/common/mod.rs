//! CAs and certificates made on the spot, and two ends of a real connection on loopback.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tessera_node_api::identity::Identity;
use tessera_tls::{
    AcceptError, AllowedPeers, Connection, Credentials, CredentialsError, CredentialsReceiver, Expectation,
    ServerTls, Usage,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

#[path = "../../../tests/support/ca.rs"]
mod ca;

pub use ca::{Ca, Issued, Wish, wish};

pub const DOMAIN: &str = "org-a.example";
/// A connection within loopback, a poll of the reload: anything that takes longer than this is broken.
pub const DEADLINE: Duration = Duration::from_secs(20);

impl Issued {
    pub fn credentials(&self, identity: &Identity, usage: Usage) -> Credentials {
        self.load(identity, usage).unwrap()
    }

    pub fn load(&self, identity: &Identity, usage: Usage) -> Result<Credentials, CredentialsError> {
        let expected = Expectation { identity: identity.clone(), usage };
        Credentials::from_pem(
            self.certificate.as_bytes(),
            self.key.as_bytes(),
            self.roots.as_bytes(),
            &expected,
        )
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

/// A plain rustls server that shows whatever it is given and takes any client of `clients`.
pub fn any_server(shown: &Issued, clients: &Ca) -> TlsAcceptor {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(clients.pem.as_bytes()).unwrap()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let chain = CertificateDer::pem_slice_iter(shown.certificate.as_bytes());
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
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
