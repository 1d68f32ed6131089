//! What a ledger gets when its node does not answer, and that nothing is done twice.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tessera_node_api::identity::Identity;
use tessera_tls::{AllowedPeers, Credentials, CredentialsReceiver, Expectation, ServerTls, Usage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use super::sidecar::{Sidecar, command};
use crate::support::ca::Wish;
use crate::support::client::send_body;
use crate::support::process::Process;
use crate::support::{Net, Spec, TRUST_DOMAIN, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_away_is_named_at_once_and_served_again_when_it_is_back() {
    let net = Net::new(&["a"]);
    let a = net.node("a");
    let sidecar = Sidecar::start(a).await;
    let asked = Instant::now();
    let answer = sidecar.get("/upcheck").await;
    assert_eq!((answer.status, answer.text()), (503, "node a: it cannot be reached: Connection refused"));
    assert_eq!(answer.header("content-type"), "text/plain");
    let sent = sidecar.request("POST", "/send", send_body(b"x", &[])).await;
    assert_eq!(sent.status, 503);
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    // The sidecar itself is well: a kubelet must not restart it for that.
    assert_eq!((sidecar.probe("live").0, sidecar.probe("ready").0), (0, 0));

    for _ in 0..2 {
        let mut node = Process::start(a);
        eventually("the node is back", async || (sidecar.get("/upcheck").await.status == 200).then_some(()))
            .await;
        node.kill();
        let answer = sidecar.get("/upcheck").await;
        assert_eq!(answer.status, 503, "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_party_at_the_nodes_address_gets_nothing() {
    let net = Net::new(&["a"]);
    let a = net.node("a");
    let _node = Process::start(a);
    a.wait_until_serves().await;
    let wanted = Identity::node(TRUST_DOMAIN, "b").unwrap();
    // The client of "b", since a client belongs to its node.
    let client = Identity::client(TRUST_DOMAIN, "b", "quorum").unwrap();
    net.ca.issue(&crate::support::ca::wish(&client.to_string())).write(&a.dir.join("client-tls"));
    let sidecar = Sidecar::spawn(a, command(a, &wanted.to_string())).await;
    let answer = sidecar.get("/upcheck").await;
    assert_eq!(answer.status, 502);
    assert!(answer.text().starts_with("node b: no connection that both sides trust"), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_under_another_name_gets_nothing() {
    let net = Net::new(&["a"]);
    let a = net.node("a");
    let elsewhere = Wish { names: vec!["elsewhere.example".to_owned()], ..a.wish() };
    net.ca.issue(&elsewhere).write(&a.dir.join("tls"));
    let _node = Process::start(a);
    a.wait_until_serves().await;
    let sidecar = Sidecar::start(a).await;
    let answer = sidecar.get("/upcheck").await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(answer.text().contains("127.0.0.1"), "{}", answer.text());
}

/// A node that answers the first request of each connection, reads the second and goes away.
struct Fickle {
    gets: AtomicUsize,
    posts: AtomicUsize,
}

impl Fickle {
    fn start(node: &Spec) -> Arc<Self> {
        let fickle = Arc::new(Self { gets: AtomicUsize::new(0), posts: AtomicUsize::new(0) });
        let expectation = Expectation { identity: node.identity(), usage: Usage::Server };
        let credentials = Credentials::load(&node.dir.join("tls"), &expectation).unwrap();
        let allowed = AllowedPeers::fixed_clients([node.client_identity()].into());
        let tls = ServerTls::new(CredentialsReceiver::fixed(credentials), allowed);
        tokio::spawn(Arc::clone(&fickle).serve(node.at(node.q2t), tls));
        fickle
    }

    async fn serve(self: Arc<Self>, address: SocketAddr, tls: ServerTls) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(16).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (fickle, tls) = (Arc::clone(&self), tls.clone());
            tokio::spawn(async move {
                let Ok(connection) = tls.accept(stream).await else { return };
                let mut stream = connection.stream;
                fickle.read_request(&mut stream).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                let _ = stream.flush().await;
                fickle.read_request(&mut stream).await;
            });
        }
    }

    /// Requests without a body, or with one of two bytes.
    async fn read_request(&self, stream: &mut (impl AsyncReadExt + Unpin)) {
        let (mut bytes, mut part) = (Vec::new(), [0; 1024]);
        loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let complete =
                if text.starts_with("POST") { text.ends_with("{}") } else { text.ends_with("\r\n\r\n") };
            if complete {
                let count = if text.starts_with("POST") { &self.posts } else { &self.gets };
                count.fetch_add(1, Ordering::SeqCst);
                return;
            }
            match stream.read(&mut part).await {
                Ok(0) | Err(_) => return,
                Ok(read) => bytes.extend_from_slice(&part[..read]),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_changes_nothing_is_sent_again() {
    let net = Net::new(&["a"]);
    let a = net.node("a");
    let fickle = Fickle::start(a);
    let sidecar = Sidecar::start(a).await;
    let count = || (fickle.gets.load(Ordering::SeqCst), fickle.posts.load(Ordering::SeqCst));

    assert_eq!(sidecar.get("/one").await.status, 200);
    // Over the kept connection, on which the node goes away, and then over a new one.
    assert_eq!(sidecar.get("/two").await.status, 200);
    assert_eq!(count(), (3, 0));
    // The kept connection again, but nobody knows what became of this one.
    let answer = sidecar.request("POST", "/send", "{}").await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(answer.text().starts_with("node a: the connection broke before its answer"), "{}", answer.text());
    assert_eq!(count(), (3, 1));
    assert_eq!(sidecar.request("POST", "/send", "{}").await.status, 200);
    assert_eq!(count(), (3, 2));
}
