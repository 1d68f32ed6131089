//! A node that answers on its admin port as a test makes it: with sealed keys, and with what it finds of proofs and restores. It holds no key.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tessera_node_api::key_backup::{
    BACKUPS_PATH, CustodyProof, PROOFS_PATH, RESTORES_PATH, RestoredKeys, SealedKey, SealedKeys,
};
use tessera_node_api::paths::ADMIN_PORT;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::world::World;

/// The answer that the node finds right.
pub(crate) const RIGHT: &str = "aa";

/// What the node has, and what it was asked.
#[derive(Default)]
pub(crate) struct State {
    /// The versions in its memory.
    pub(crate) keys: Vec<SealedKey>,
    /// `restores` of its status.
    pub(crate) restores: Vec<Value>,
    /// How often its backups were fetched.
    pub(crate) fetched: usize,
    /// The proofs that it was asked to judge.
    pub(crate) proofs: usize,
}

/// The node; its port closes when it is dropped.
pub(crate) struct FakeNode {
    pub(crate) address: IpAddr,
    state: Arc<Mutex<State>>,
    server: tokio::task::JoinHandle<()>,
}

impl FakeNode {
    /// Serves with the admin certificate of the node called `node`, at the address of loopback with this number.
    pub(crate) async fn start(world: &World, node: &str, number: u8) -> Self {
        let secret = world.until("Secret", &format!("{node}-admin-tls"), |object| !object.is_null()).await;
        let acceptor = acceptor(&secret);
        let address = IpAddr::V4(Ipv4Addr::new(127, 78, 0, number));
        let listener = TcpListener::bind(SocketAddr::new(address, ADMIN_PORT)).await.unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shown = Arc::clone(&state);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, state) = (acceptor.clone(), Arc::clone(&shown));
                tokio::spawn(async move {
                    // A client may end at any time: its operator was killed.
                    let _ = serve(acceptor, stream, &state).await;
                });
            }
        });
        Self { address, state, server }
    }

    /// Reads or changes what it has.
    pub(crate) fn with<R>(&self, use_it: impl FnOnce(&mut State) -> R) -> R {
        use_it(&mut self.state.lock().unwrap())
    }

    /// The node has versions 1 to `versions` of the key main, sealed to `recipients` just now.
    pub(crate) fn seal(&self, versions: u32, recipients: &[&str]) {
        let mut recipients: Vec<_> = recipients.iter().map(ToString::to_string).collect();
        recipients.sort();
        self.with(|state| {
            let sealing = state.fetched;
            let key = |version| SealedKey {
                name: "main".into(),
                version,
                public_key: public_key(version),
                recipients: recipients.clone(),
                ciphertext: format!("version {version}, sealed after {sealing} fetches"),
            };
            state.keys = (1..=versions).map(key).collect();
        });
    }
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// 32 bytes in base64.
pub(crate) fn public_key(version: u32) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(Sha256::digest(version.to_be_bytes()))
}

fn acceptor(secret: &Value) -> TlsAcceptor {
    use base64::Engine as _;
    let member = |key: &str| {
        base64::engine::general_purpose::STANDARD.decode(secret["data"][key].as_str().unwrap()).unwrap()
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&member("tls.crt")).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(&member("tls.key")).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(
    acceptor: TlsAcceptor,
    stream: tokio::net::TcpStream,
    state: &Mutex<State>,
) -> std::io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut request = Vec::new();
    let (path, body) = loop {
        if let Some(parsed) = parse(&request) {
            break parsed;
        }
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    };
    let answer = answer(&path, &body, state).to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        answer.len()
    );
    stream.write_all(format!("{head}{answer}").as_bytes()).await?;
    stream.shutdown().await
}

/// Path and body, once the request is complete.
fn parse(request: &[u8]) -> Option<(String, Vec<u8>)> {
    let end = request.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
    let body = request[end + 4..].to_vec();
    let path = head.split_whitespace().nth(1)?.to_owned();
    (body.len() >= length.unwrap_or(0)).then_some((path, body))
}

fn answer(path: &str, body: &[u8], state: &Mutex<State>) -> Value {
    let mut state = state.lock().unwrap();
    match path {
        BACKUPS_PATH => {
            state.fetched += 1;
            json!(SealedKeys { keys: state.keys.clone() })
        }
        PROOFS_PATH => {
            state.proofs += 1;
            let proof: CustodyProof = serde_json::from_slice(body).unwrap();
            let is_right = proof.answers.len() == state.keys.len()
                && proof.answers.iter().all(|answer| answer.mac == RIGHT.repeat(32));
            json!({"accepted": is_right, "message": if is_right { "" } else { "the answer is wrong" }})
        }
        RESTORES_PATH => {
            let restored: RestoredKeys = serde_json::from_slice(body).unwrap();
            state.restores.clear();
            state.keys.extend(restored.keys);
            json!({"accepted": true})
        }
        _ => status(&state),
    }
}

fn status(state: &State) -> Value {
    let newest = state.keys.len();
    let key = |(number, key): (usize, &SealedKey)| {
        let backup = (!key.recipients.is_empty()).then(|| tessera_backup::sealed::status(key));
        json!({
            "name": key.name, "version": key.version, "publicKey": key.public_key, "backup": backup,
            "state": if number + 1 == newest { "Default" } else { "Receiving" }, "trigger": key.version - 1,
        })
    };
    let dependency = json!({"available": true, "message": "", "since": "2027-01-01T00:00:00Z"});
    json!({
        "protocol": 1, "nodeVersion": "0.1.0", "identity": "", "startedAt": "2027-01-01T00:00:00Z",
        "ready": !state.keys.is_empty(), "awaiting": [], "database": dependency, "certificate": null,
        "trustFingerprints": [], "reloadErrors": [], "peersReached": [], "restores": state.restores,
        "keys": state.keys.iter().enumerate().map(key).collect::<Vec<_>>(),
    })
}
