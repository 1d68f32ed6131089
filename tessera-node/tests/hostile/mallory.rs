//! The attacker: a certificate of the network for an address of its own, a key pair, and no node.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tessera_enclave::codec::party_info::PartyInfo;
use tessera_enclave::keyring::DefaultKey;
use tessera_enclave::seal::{self, SealRequest};
use tessera_enclave::{
    EncodedPayload, KeyPair, KeyRing, PayloadCodec, PayloadParts, PrivacyMetadata, PublicKey, SealBuffer,
    open,
};
use tessera_tls::{AllowedPeers, Credentials, CredentialsReceiver, Expectation, ServerTls, Usage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::support::client::{Answer, Client, OCTETS, Session, request};
use crate::support::{Spec, TRUST_DOMAIN};

const VERSIONS: (&str, &str) = ("tesseraSupportedApiVersions", "2.1,3.0,4.0,5.0,v1,v2");

pub(crate) struct Mallory {
    pub(crate) spec: Spec,
    ring: Arc<KeyRing>,
}

/// What Mallory's own port does with a request that was read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Takes every payload, as a node does.
    Honest,
    /// Never answers.
    Silent,
    /// Answers with bytes that are no HTTP.
    Garbage,
    /// Acknowledges something else.
    OtherHash,
    /// Acknowledges, and never ends its answer.
    Endless,
    /// Closes without an answer.
    Close,
    /// Refuses.
    Refuse,
    /// Takes the connection, and no handshake.
    NoHandshake,
}

/// Mallory's port, until dropped.
pub(crate) struct Door {
    task: JoinHandle<()>,
    manners: Arc<Mutex<&'static [Manner]>>,
    relay: Arc<Mutex<Option<Client>>>,
    resent: Arc<Mutex<Bytes>>,
    /// The bodies that were posted to `/push`.
    pub(crate) pushed: mpsc::UnboundedReceiver<Bytes>,
}

impl Door {
    /// From now on the requests of each connection are served in the next of these manners.
    pub(crate) fn behave(&self, manners: &'static [Manner]) {
        *self.manners.lock().unwrap() = manners;
    }

    /// From now on this is given, honestly or not, to a node that asks for a payload again.
    pub(crate) fn resend(&self, payload: impl Into<Bytes>) {
        *self.resent.lock().unwrap() = payload.into();
    }

    /// From now on a challenge that Mallory cannot open is passed on, and the answer is given as Mallory's own.
    pub(crate) fn relay_challenges_to(&self, holder: Client) {
        *self.relay.lock().unwrap() = Some(holder);
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Mallory {
    pub(crate) fn new(spec: &Spec) -> Self {
        let private = spec.config["keys"]["keyData"][0]["privateKey"].as_str().unwrap();
        let private = tessera_enclave::base64::decode_strict(private).unwrap();
        let private = tessera_enclave::PrivateKey::from_slice(&private).unwrap();
        let pair = Arc::new(KeyPair::from_private(private));
        Self { spec: spec.clone(), ring: Arc::new(KeyRing::new([pair], &DefaultKey::AsJava).unwrap()) }
    }

    /// A client of the victim's P2P port, under Mallory's own certificate.
    pub(crate) fn client(&self, victim: &Spec) -> Client {
        victim.peer_client(&self.spec)
    }

    pub(crate) fn ring(&self) -> &KeyRing {
        &self.ring
    }

    pub(crate) fn key(&self) -> PublicKey {
        self.spec.public_key.parse().unwrap()
    }

    /// A payload from Mallory to `to`, all in order.
    pub(crate) fn seal(&self, message: &[u8], to: &[PublicKey]) -> EncodedPayload {
        let request = SealRequest {
            sender: self.key(),
            recipients: [&[self.key()], to].concat(),
            privacy: PrivacyMetadata::default(),
        };
        seal::seal(&self.ring, SealBuffer::from(message), request).unwrap()
    }

    /// One connection to the victim's P2P port, under Mallory's own certificate.
    pub(crate) async fn session(&self, victim: &Spec) -> Session {
        self.client(victim).session().await.expect("a certificate of the network is served")
    }

    pub(crate) async fn announce(&self, victim: &Spec, said: &PartyInfo) -> Option<Answer> {
        let body = said.encode();
        self.client(victim).try_send(request("POST", "/partyinfo", &[OCTETS, VERSIONS], body)).await
    }

    /// Says its own key to both, so that payloads may be sent to it.
    pub(crate) async fn introduce(&self, victim: &Spec) {
        let answer = self.announce(victim, &self.claim(&[self.key()])).await.expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        victim.wait_until_knows(&self.spec.public_key).await;
    }

    /// What Mallory says of itself: these keys, at its own address.
    pub(crate) fn claim(&self, keys: &[PublicKey]) -> PartyInfo {
        let url = self.spec.p2p_url();
        PartyInfo {
            recipients: keys.iter().map(|key| (*key, url.clone())).collect(),
            url,
            parties: Vec::new(),
        }
    }

    /// Listens on Mallory's own address, as a node does.
    pub(crate) async fn open(&self) -> Door {
        let expectation = Expectation { identity: self.spec.identity(), usage: Usage::Both };
        let credentials = Credentials::load(&self.spec.dir.join("tls"), &expectation).unwrap();
        let tls = ServerTls::new(CredentialsReceiver::fixed(credentials), AllowedPeers::nodes(TRUST_DOMAIN));
        let listener = TcpListener::bind(self.spec.at(self.spec.p2p)).await.unwrap();
        let (taken, pushed) = mpsc::unbounded_channel();
        let manners: Arc<Mutex<&'static [Manner]>> = Arc::new(Mutex::new(&[Manner::Honest]));
        let relay: Arc<Mutex<Option<Client>>> = Arc::default();
        let resent: Arc<Mutex<Bytes>> = Arc::default();
        let (chosen, passed_on, ring) = (Arc::clone(&manners), Arc::clone(&relay), Arc::clone(&self.ring));
        let given = Arc::clone(&resent);
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            for number in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                let chosen = Arc::clone(&chosen);
                // Asked for each request: connections are kept.
                let manner = move || {
                    let manners = *chosen.lock().unwrap();
                    manners[number % manners.len()]
                };
                let (tls, taken) = (tls.clone(), taken.clone());
                let relay = passed_on.lock().unwrap().clone();
                let prover = Prover { ring: Arc::clone(&ring), relay, resent: Arc::clone(&given) };
                open.spawn(async move {
                    if manner() == Manner::NoHandshake {
                        std::future::pending::<()>().await;
                    }
                    if let Ok(connection) = tls.accept(stream).await {
                        serve(connection.stream, &manner, &prover, &taken).await;
                    }
                });
            }
        });
        Door { task, manners, relay, resent, pushed }
    }
}

/// A push of that, as it is.
pub(crate) fn push(parts: PayloadParts) -> Request<Full<Bytes>> {
    push_bytes(PayloadCodec::Cbor.encode(&EncodedPayload::new(parts).unwrap()))
}

pub(crate) fn push_bytes(body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    request("POST", "/push", &[OCTETS, VERSIONS], body)
}

/// The payload in the body of a push.
pub(crate) fn payload_of(body: &Bytes) -> EncodedPayload {
    let decoded = PayloadCodec::Cbor.decode(body).or_else(|_| PayloadCodec::Legacy.decode(body));
    decoded.expect("a node pushes a payload")
}

/// How a challenge is answered, and what is given to a node that asks for a payload again.
struct Prover {
    ring: Arc<KeyRing>,
    relay: Option<Client>,
    resent: Arc<Mutex<Bytes>>,
}

impl Prover {
    async fn answer(&self, body: &Bytes) -> Option<String> {
        let payload = PayloadCodec::Legacy.decode(body).ok()?;
        if let Ok(opened) = open::open(&self.ring, &payload, self.ring.default_key()) {
            return String::from_utf8(opened).ok();
        }
        let passed_on = request("POST", "/partyinfo/validate", &[OCTETS, VERSIONS], body.clone());
        let answer = self.relay.as_ref()?.try_send(passed_on).await?;
        (answer.status == 200).then(|| answer.text().to_owned())
    }
}

/// Answers the requests of one connection, each in the manner given.
async fn serve(
    mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin,
    manner: &(impl Fn() -> Manner + Sync),
    prover: &Prover,
    taken: &mpsc::UnboundedSender<Bytes>,
) -> Option<()> {
    let mut bytes = Vec::new();
    loop {
        let head = loop {
            if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
        };
        let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let length: usize = length.unwrap_or(0);
        while bytes.len() < head + length {
            (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
        }
        let body = Bytes::copy_from_slice(&bytes[head..head + length]);
        bytes.drain(..head + length);
        let manner = manner();
        let is_push = text.starts_with("post /push ");
        let hash = if is_push { hash_of(&body) } else { String::new() };
        if is_push {
            let _ = taken.send(body.clone());
        }
        let answer_bytes = |status: &str, body: &[u8]| {
            let length = body.len();
            let head =
                format!("HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n");
            [head.as_bytes(), body].concat()
        };
        let answer = |status: &str, body: &str| answer_bytes(status, body.as_bytes());
        let other = tessera_enclave::base64::encode(&[7; 64]);
        let answer = match manner {
            Manner::Honest if is_push => answer("201 Created", &hash),
            Manner::Honest if text.starts_with("post /partyinfo/validate ") => {
                answer("200 OK", &prover.answer(&body).await.unwrap_or_default())
            }
            Manner::Honest if text.starts_with("post /resend ") => {
                answer_bytes("200 OK", &prover.resent.lock().unwrap().clone())
            }
            Manner::Honest => answer("200 OK", ""),
            Manner::OtherHash => answer("201 Created", &other),
            Manner::Refuse => answer("500 Internal Server Error", "no"),
            Manner::Garbage => b"\0\x01\x02 no HTTP at all\r\n\r\n".to_vec(),
            Manner::Endless => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
            Manner::Close => return None,
            Manner::Silent | Manner::NoHandshake => std::future::pending().await,
        };
        stream.write_all(&answer).await.ok()?;
        stream.flush().await.ok()?;
        if manner == Manner::Endless {
            loop {
                stream.write_all(b"1\r\nx\r\n").await.ok()?;
                stream.flush().await.ok()?;
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
    }
}

fn hash_of(body: &Bytes) -> String {
    payload_of(body).hash().to_string()
}
