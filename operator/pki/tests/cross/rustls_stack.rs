//! rustls with its own verifiers, in this process.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    ClientConfig, ClientConnection, DEFAULT_VERSIONS, RootCertStore, ServerConfig, ServerConnection,
    StreamOwned,
};

use crate::files::SERVER_NAME;
use crate::stack::Party;

const PATIENCE: Duration = Duration::from_secs(10);
const REQUEST: &[u8] = b"GET /upcheck HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nI'm up!";

/// A server on loopback, which serves one connection after the other. Ended when dropped.
pub(crate) struct Server {
    port: u16,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// The server writes each refused connection to `log`.
    pub(crate) fn start(party: &Party, log: &Path) -> Self {
        let config = Arc::new(server_config(party));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut log = File::create(log).unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if seen.load(Ordering::Relaxed) {
                    return;
                }
                if let Err(error) = answer(stream.unwrap(), &config) {
                    writeln!(log, "refused: {error}").unwrap();
                }
            }
        });
        Self { port, ended, thread: Some(thread) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // The connection wakes the thread, which then sees the end.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed.
            let _ = thread.join();
        }
    }
}

/// One handshake by a client, its request and the whole answer.
pub(crate) fn connect(port: u16, party: &Party) -> Result<(), String> {
    let name = ServerName::try_from(SERVER_NAME).unwrap();
    let connection = ClientConnection::new(Arc::new(client_config(party)), name).unwrap();
    let answer = exchange(port, connection).map_err(|error| error.to_string())?;
    if answer.starts_with(b"HTTP/1.") { Ok(()) } else { Err("no HTTP status line came back".to_owned()) }
}

fn exchange(port: u16, connection: ClientConnection) -> io::Result<Vec<u8>> {
    let mut stream = StreamOwned::new(connection, patient(TcpStream::connect((Ipv4Addr::LOCALHOST, port))?)?);
    stream.write_all(REQUEST)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

fn answer(tcp: TcpStream, config: &Arc<ServerConfig>) -> io::Result<()> {
    let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, patient(tcp)?);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend_from_slice(&byte);
    }
    stream.write_all(ANSWER)?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn patient(tcp: TcpStream) -> io::Result<TcpStream> {
    tcp.set_read_timeout(Some(PATIENCE))?;
    tcp.set_write_timeout(Some(PATIENCE))?;
    Ok(tcp)
}

fn client_config(party: &Party) -> ClientConfig {
    let (chain, key) = pair(party);
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(DEFAULT_VERSIONS)
        .unwrap()
        .with_root_certificates(roots(party))
        .with_client_auth_cert(chain, key)
        .unwrap();
    config.resumption = Resumption::disabled();
    config
}

fn server_config(party: &Party) -> ServerConfig {
    let (chain, key) = pair(party);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(party)), Arc::clone(&provider))
        .build()
        .unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(DEFAULT_VERSIONS)
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .unwrap();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config
}

fn roots(party: &Party) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(&party.roots).unwrap() {
        roots.add(root.unwrap()).unwrap();
    }
    roots
}

fn pair(party: &Party) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_file_iter(&party.certificate).unwrap().collect::<Result<_, _>>();
    let key = PrivateKeyDer::from_pem_slice(&fs::read(&party.key).unwrap());
    (chain.unwrap(), key.unwrap())
}
