//! A local HTTPS server that answers what a test wants, for faults that a real store does not show on demand.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tessera_node_api::stamp::Stamp;
use tessera_node_api::static_config::SecretStore;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

#[path = "../../../tests/support/ca.rs"]
#[allow(dead_code, unreachable_pub, clippy::duplicate_mod)]
// The node's tests include the authority themselves, too.
mod ca;

use ca::{Ca, Wish, wish};

/// What a token of the ServiceAccount ends with; of its start tests need no more than the audience.
pub const SIGNATURE: &str = "signature-of-the-service-account";
pub const TOKEN: &str = "hvs.token-of-the-login";
/// What a store that knows no secret answers.
pub const ABSENT: (u16, &str) = (404, r#"{"errors":[]}"#);

/// The end of the path of the stamp.
pub const STAMP_PATH: &str = "/tessera-node-node-a/stamp";

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub token: Option<String>,
    pub namespace: Option<String>,
    pub body: String,
}

pub struct FakeStore {
    pub config: SecretStore,
    pub seen: Arc<Mutex<Vec<Request>>>,
    pub directory: TempDir,
    acceptor: Arc<Mutex<TlsAcceptor>>,
}

impl FakeStore {
    /// Starts a server on loopback. `None` from `answer` means: never answer. The directory of the keys is stamped already;
    /// `answer` is not asked for the stamp.
    pub async fn start(answer: impl Fn(&Request) -> Option<(u16, String)> + Send + Sync + 'static) -> Self {
        Self::start_unstamped(move |request| {
            if request.path.ends_with(STAMP_PATH) {
                let data = serde_json::to_string(&stamp()).unwrap();
                return Some((200, format!(r#"{{"data":{{"data":{data},"metadata":{{"version":1}}}}}}"#)));
            }
            answer(request)
        })
        .await
    }

    /// As [`FakeStore::start`], but `answer` is asked for the stamp, too.
    pub async fn start_unstamped(
        answer: impl Fn(&Request) -> Option<(u16, String)> + Send + Sync + 'static,
    ) -> Self {
        let directory = TempDir::new().unwrap();
        let (acceptor, ca) = tls();
        std::fs::write(directory.path().join("ca.crt"), ca).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        std::fs::write(directory.path().join("token"), format!("{}\n", jwt(&address))).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let acceptor = Arc::new(Mutex::new(acceptor));
        tokio::spawn(serve(listener, Arc::clone(&acceptor), Arc::new(answer), Arc::clone(&seen)));
        let config = config(&directory, &address);
        Self { config, seen, directory, acceptor }
    }

    /// From now on serves a certificate of another CA; gives that CA back, in PEM.
    pub fn change_certificate(&self) -> String {
        let (acceptor, ca) = tls();
        *self.acceptor.lock().unwrap() = acceptor;
        ca
    }

    pub fn requests(&self, part: &str) -> Vec<Request> {
        self.seen.lock().unwrap().iter().filter(|request| request.path.contains(part)).cloned().collect()
    }
}

pub fn config(directory: &TempDir, address: &str) -> SecretStore {
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    SecretStore {
        address: address.to_owned(),
        ca_file: file("ca.crt"),
        client_certificate: None,
        namespace: String::new(),
        auth_mount: "kubernetes".to_owned(),
        role: "tessera-node".to_owned(),
        token_file: file("token"),
        kv_mount: "secret".to_owned(),
        path: "tessera/org-a/tessera-node-node-a".to_owned(),
        stamp: stamp(),
    }
}

/// Whose the directory of the keys is.
pub fn stamp() -> Stamp {
    "prod-eu1/org-a/main".parse().unwrap()
}

/// A token of a ServiceAccount, made for `audience`.
pub fn jwt(audience: &str) -> String {
    let claims =
        format!(r#"{{"aud":["{audience}"],"sub":"system:serviceaccount:org-a:tessera-node-node-a"}}"#);
    format!("e30.{}.{SIGNATURE}", URL_SAFE_NO_PAD.encode(claims))
}

/// A successful login that lives for `seconds`.
pub fn login(seconds: u64) -> (u16, String) {
    let body = format!(
        r#"{{"request_id":"r","lease_id":"","lease_duration":0,"renewable":false,"data":null,"warnings":null,"wrap_info":null,
            "auth":{{"client_token":"{TOKEN}","accessor":"a","policies":[],"token_policies":[],"metadata":{{}},
            "lease_duration":{seconds},"renewable":true,"entity_id":"e","token_type":"service","orphan":true}}}}"#
    );
    (200, body)
}

type Answer = dyn Fn(&Request) -> Option<(u16, String)> + Send + Sync;

async fn serve(
    listener: TcpListener,
    acceptor: Arc<Mutex<TlsAcceptor>>,
    answer: Arc<Answer>,
    seen: Arc<Mutex<Vec<Request>>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.lock().unwrap().clone();
        tokio::spawn(one_request(stream, acceptor, Arc::clone(&answer), Arc::clone(&seen)));
    }
}

async fn one_request(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    answer: Arc<Answer>,
    seen: Arc<Mutex<Vec<Request>>>,
) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let mut stream = BufReader::new(stream);
    let Some(request) = read_request(&mut stream).await else { return };
    seen.lock().unwrap().push(request.clone());
    let Some((status, body)) = answer(&request) else {
        // Holds the connection until the client gives up.
        let _ = stream.read(&mut [0]).await;
        return;
    };
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
    let location = if status == 307 { format!("Location: {body}\r\n") } else { String::new() };
    let _ = stream.write_all(format!("{head}{location}\r\n{body}").as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn read_request<S>(stream: &mut BufReader<S>) -> Option<Request>
where
    S: tokio::io::AsyncRead + Unpin,
{
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok().filter(|&read| read > 0)?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let header = |name: &str| {
        lines
            .iter()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then(|| value.to_owned()))
    };
    let mut words = lines.first()?.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut body = vec![0; header("content-length").map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request {
        method,
        path,
        token: header("x-vault-token"),
        namespace: header("x-vault-namespace"),
        body: String::from_utf8(body).unwrap(),
    })
}

fn tls() -> (TlsAcceptor, String) {
    let issued = Ca::new("store").issue(&Wish { uris: Vec::new(), ..wish("") });
    let certificate = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), issued.roots)
}
