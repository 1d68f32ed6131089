//! The fixed ingredients of a send, measured alone in the same run: what two nodes must spend whatever they are made of.
//! All times are CPU times: of one thread, or of the threads of one side of a connection.

use std::convert::Infallible;
use std::fmt;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tessera_enclave::keyring::DefaultKey;
use tessera_enclave::payload::PrivacyMetadata;
use tessera_enclave::seal::{self, SealRequest};
use tessera_enclave::{EncodedPayload, KeyPair, KeyRing, PayloadCodec, PublicKey, SealBuffer, TxHash};
use tessera_tls::{AllowedPeers, Credentials, CredentialsReceiver, Expectation, ServerTls, Usage};
use tokio::net::TcpListener;

use crate::support::client::{Client, OCTETS, request, send_body};
use crate::support::load::message;
use crate::support::{Net, Spec, TRUST_DOMAIN};

/// Long enough that a tick of the scheduler's accounting does not matter.
const TIME: Duration = Duration::from_millis(700);
/// Connections of the HTTP ingredient: with one, each message would pay for a sleep and a wake-up.
const CONNECTIONS: usize = 16;
/// Records of 224 bytes beside their bodies, as in the store.
const RECORD_BYTES: usize = 224;
/// Where a floor of 1 KiB payloads lies on the two-core machine that the goals are for, in microseconds.
const EXPECTED: std::ops::RangeInclusive<f64> = 45.0..=65.0;

/// Microseconds of CPU.
pub(crate) struct Floor {
    payload: usize,
    batch: f64,
    seal: f64,
    hash: f64,
    boxes: f64,
    /// Server half of a send, client half and server half of a push.
    http: [f64; 3],
    append: f64,
    /// Server half of a full handshake. A send over a connection that is kept pays for none.
    handshake: f64,
}

/// All ingredients for one send of `payload` bytes to one recipient, when `batch` records share an fdatasync.
pub(crate) async fn measure(net: &Net, payload: usize, batch: f64) -> Floor {
    let (ring, keys) = ring();
    let sealed = sealed(&ring, payload, &keys);
    let seal = each(|| drop(self::sealed(&ring, payload, &keys[..0])));
    let with_boxes = each(|| drop(self::sealed(&ring, payload, &keys)));
    let hash = each(|| {
        std::hint::black_box(TxHash::of(&sealed.cipher_text));
    });
    let body = PayloadCodec::Cbor.encode(&sealed);
    let append = append(net, RECORD_BYTES + body.len(), batch);
    let send = send_body(&message(1, payload), &[&keys[1].to_string()]);
    let [_, send_server] = halves(net, Some(send.into()), 105).await;
    let [push_client, push_server] = halves(net, Some(body.into()), 88).await;
    let [_, handshake] = halves(net, None, 0).await;
    Floor {
        payload,
        batch,
        seal,
        hash: 2.0 * hash,
        boxes: (with_boxes - seal).max(0.0),
        http: [send_server, push_client, push_server],
        append: 2.0 * append,
        handshake,
    }
}

impl Floor {
    pub(crate) fn sum(&self) -> f64 {
        self.seal + self.hash + self.boxes + self.http.iter().sum::<f64>() + self.append
    }

    /// Full handshakes that one core of a server does in a second: what the restart of a fleet's peers costs.
    pub(crate) fn handshakes_per_core(&self) -> f64 {
        1e6 / self.handshake
    }
}

impl fmt::Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [send_server, push_client, push_server] = self.http;
        writeln!(f, "floor, us of CPU a send:")?;
        writeln!(f, "{:>8.1}  seal of the payload", self.seal)?;
        writeln!(f, "{:>8.1}  two boxes with cached keys", self.boxes)?;
        writeln!(f, "{:>8.1}  SHA3-512 twice", self.hash)?;
        writeln!(f, "{send_server:>8.1}  HTTP/1.1 over mutual TLS: server half of the send")?;
        writeln!(f, "{push_client:>8.1}  client half of the push")?;
        writeln!(f, "{push_server:>8.1}  server half of the push")?;
        writeln!(f, "{:>8.1}  two appends, with fdatasync for {:.1} records", self.append, self.batch)?;
        write!(f, "{:>8.1}  in all", self.sum())?;
        if self.payload == 1024 && !EXPECTED.contains(&self.sum()) {
            write!(f, ": outside {} to {} us, where it was", EXPECTED.start(), EXPECTED.end())?;
        }
        write!(
            f,
            "\n{:>8.1}  beside it, for a new connection: server half of a full mutual handshake",
            self.handshake
        )?;
        Ok(())
    }
}

/// A ring with one key, and that key with another party's.
fn ring() -> (KeyRing, [PublicKey; 2]) {
    let [own, other] = [(); 2].map(|()| Arc::new(KeyPair::generate().unwrap()));
    let keys = [*own.public(), *other.public()];
    (KeyRing::new([own], &DefaultKey::AsJava).unwrap(), keys)
}

fn sealed(ring: &KeyRing, payload: usize, recipients: &[PublicKey]) -> EncodedPayload {
    let mut buffer = SealBuffer::with_capacity(payload);
    buffer.extend_from_slice(&vec![7; payload]);
    let (sender, recipients) = (*ring.default_key(), recipients.to_vec());
    seal::seal(ring, buffer, SealRequest { sender, recipients, privacy: PrivacyMetadata::default() }).unwrap()
}

/// CPU of one run of `work`, in microseconds.
fn each(mut work: impl FnMut()) -> f64 {
    let (began, before, mut runs) = (Instant::now(), thread_cpu(), 0_u32);
    while began.elapsed() < TIME {
        (0..32).for_each(|_| work());
        runs += 32;
    }
    thread_cpu().saturating_sub(before).as_secs_f64() * 1e6 / f64::from(runs)
}

/// CPU of one record of `bytes` bytes, appended to a preallocated file.
fn append(net: &Net, bytes: usize, batch: f64) -> f64 {
    /// As the store's segments.
    const FILE_BYTES: u64 = 64 << 20;
    let path = net.dir.path().join("floor");
    let file = std::fs::File::create(&path).unwrap();
    file.write_all_at(&vec![0; usize::try_from(FILE_BYTES).unwrap()], 0).unwrap();
    file.sync_all().unwrap();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Some hundred records.
    let records = batch.round().max(1.0) as u32;
    let buffer = vec![7; bytes * records as usize];
    let mut at = 0;
    let cpu = each(|| {
        at = if at + 2 * buffer.len() as u64 > FILE_BYTES { 0 } else { at + buffer.len() as u64 };
        file.write_all_at(&buffer, at).unwrap();
        file.sync_data().unwrap();
    });
    std::fs::remove_file(path).unwrap();
    cpu / f64::from(records)
}

/// CPU at the client and at the server: of one exchange over a connection that is kept; without a body, of one full handshake.
async fn halves(net: &Net, body: Option<Bytes>, answer: usize) -> [f64; 2] {
    let (server, client) = (net.node("a"), net.node("b"));
    let listener = std::net::TcpListener::bind((server.host, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let tls = ServerTls::new(credentials(server), AllowedPeers::nodes(TRUST_DOMAIN));
    let serving = std::thread::spawn(move || {
        on_one_thread(async move {
            tokio::select! {
                () = serve(listener, tls, answer) => {}
                _ = stopped => {}
            }
        })
    });
    let client = Client::new(address, &client.dir.join("tls"), &client.identity(), &server.identity());
    let calling = std::thread::spawn(move || {
        let mut exchanges = 0;
        let cpu = on_one_thread(async {
            exchanges = match &body {
                Some(body) => call(&client, body).await,
                None => dial(&client).await,
            }
        });
        (cpu, exchanges)
    });
    let (client_cpu, exchanges) = tokio::task::spawn_blocking(move || calling.join().unwrap()).await.unwrap();
    // The server has ended if the client has not.
    let _ = stop.send(());
    let server_cpu = tokio::task::spawn_blocking(move || serving.join().unwrap()).await.unwrap();
    [client_cpu, server_cpu].map(|cpu| cpu.as_secs_f64() * 1e6 / f64::from(exchanges))
}

fn credentials(of: &Spec) -> CredentialsReceiver {
    let expectation = Expectation { identity: of.identity(), usage: Usage::Both };
    CredentialsReceiver::fixed(Credentials::load(&of.dir.join("tls"), &expectation).unwrap())
}

async fn serve(listener: std::net::TcpListener, tls: ServerTls, answer: usize) {
    listener.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let tls = tls.clone();
        tokio::spawn(async move {
            // A client that is done may be gone before its last bytes were answered.
            let Ok(connection) = tls.accept(stream).await else { return };
            let service = service_fn(async |request: http::Request<Incoming>| {
                request.into_body().collect().await.unwrap();
                let reply = http::Response::builder().status(201).header("content-type", "text/plain");
                Ok::<_, Infallible>(reply.body(Full::new(Bytes::from(vec![b'a'; answer]))).unwrap())
            });
            // Ends with the client.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(connection.stream), service).await;
        });
    }
}

/// How many exchanges there were.
async fn call(client: &Client, body: &Bytes) -> u32 {
    let began = Instant::now();
    let sessions = futures::future::join_all((0..CONNECTIONS).map(|_| client.session())).await;
    let all = sessions.into_iter().map(async |session| {
        let (mut session, mut exchanges) = (session.unwrap(), 0);
        while began.elapsed() < TIME {
            let answer = session.try_send(request("POST", "/push", &[OCTETS], body.clone())).await;
            assert_eq!(answer.unwrap().status, 201);
            exchanges += 1;
        }
        exchanges
    });
    futures::future::join_all(all).await.into_iter().sum()
}

/// How many connections were opened, and closed again at once.
async fn dial(client: &Client) -> u32 {
    let began = Instant::now();
    let all = (0..CONNECTIONS).map(async |_| {
        let mut handshakes = 0;
        while began.elapsed() < TIME {
            drop(client.session().await.unwrap());
            handshakes += 1;
        }
        handshakes
    });
    futures::future::join_all(all).await.into_iter().sum()
}

/// Runs `work` on this thread alone; the CPU that it took.
fn on_one_thread(work: impl Future<Output = ()>) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let before = thread_cpu();
    runtime.block_on(work);
    thread_cpu().saturating_sub(before)
}

/// What this thread has run so far.
fn thread_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}
