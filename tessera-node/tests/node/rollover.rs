//! The authority of a network rolls over: what nodes do meanwhile, and what they report of it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};
use tessera_node_api::identity::Identity;
use tessera_tls::{AllowedPeers, Credentials, CredentialsPublisher, Expectation, ServerTls, Usage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::ca::{Ca, Issued, wish};
use crate::support::client::Client;
use crate::support::load::{self, Load};
use crate::support::rollover::{Successor, certify, status};
use crate::support::{Net, Spec, TRUST_DOMAIN, eventually};

const OLD: &str = "CN=network";
const NEW: &str = "CN=network 2";

#[tokio::test(flavor = "multi_thread")]
async fn nodes_push_to_each_other_throughout_a_rollover_and_no_send_fails() {
    let net = Net::new(&["a", "b"]);
    let successor = Successor::of(&net.ca);
    let _nodes = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let new = |node: &Spec| successor.ca.issue(&node.wish());
    for node in [a, b] {
        let ledger = successor.ca.issue(&wish(&node.client_identity().to_string()));
        ledger.with(&successor.cross).trusting(&[&net.ca, &successor.ca]).write(&node.dir.join("client-tls"));
    }
    let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let load = async |from: &Spec, to: &Spec| {
        let callers = Load { callers: 4, payload: 100 };
        load::run(from, &[&to.public_key], callers, |_, _| {
            sent.fetch_add(1, Ordering::Relaxed);
            stop.load(Ordering::Relaxed)
        })
        .await
    };
    let more_sends = async || {
        let before = sent.load(Ordering::Relaxed);
        eventually("more sends", async || (sent.load(Ordering::Relaxed) > before + 100).then_some(())).await;
    };
    let rollover = async {
        more_sends().await;
        // One node after the other: each phase meets a peer that has not begun it.
        for node in [a, b] {
            certify(node, &net.ca.issue(&node.wish()).trusting(&[&net.ca, &successor.ca])).await;
            more_sends().await;
            certify(node, &new(node).with(&successor.cross).trusting(&[&net.ca, &successor.ca])).await;
            more_sends().await;
        }
        for node in [a, b] {
            certify(node, &new(node).with(&successor.cross)).await;
            more_sends().await;
        }
        for node in [a, b] {
            certify(node, &new(node)).await;
            more_sends().await;
        }
        stop.store(true, Ordering::Relaxed);
    };
    let (from_a, from_b, ()) = tokio::join!(load(a, b), load(b, a), rollover);
    assert_eq!([from_a.failed, from_b.failed], [vec![], vec![] as Vec<String>]);
    for node in [a, b] {
        let status = status(node).await.unwrap();
        assert_eq!((&status["certificate"]["issuer"], &status["reloadErrors"]), (&json!(NEW), &json!([])));
    }
}

fn ledger(node: &Spec, issued: &Issued, directory: &str) -> Client {
    let directory = node.dir.join(directory);
    issued.write(&directory);
    Client::new(node.at(node.q2t), &directory, &node.client_identity(), &node.identity())
}

/// Waits until the node reports exactly these callers.
async fn callers(node: &Spec, wanted: &Value) {
    eventually(&format!("the callers are {wanted}"), async || {
        (status(node).await?["callers"] == *wanted).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_reports_who_signed_what_it_shows_and_what_it_was_shown() {
    let net = Net::new(&["a", "b"]);
    let successor = Successor::of(&net.ca);
    let _nodes = net.start().await;
    let a = net.node("a");
    let both = [&net.ca, &successor.ca];
    let client = a.client_identity().to_string();
    let old_ledger = ledger(a, &net.ca.issue(&wish(&client)).trusting(&both), "old-ledger");
    let new_ledger = ledger(a, &successor.ca.issue(&wish(&client)).trusting(&both), "new-ledger");
    let mut old_session = old_ledger.session().await.unwrap();
    old_session.get("/upcheck").await;

    let before = status(a).await.unwrap();
    assert_eq!(
        (&before["certificate"]["issuer"], &before["certificate"]["chained"]),
        (&json!(OLD), &json!(false))
    );
    assert_eq!(before["adminCertificate"]["issuer"], json!("CN=admin"));
    assert_ne!(before["adminCertificate"]["fingerprint"], before["certificate"]["fingerprint"]);
    assert_eq!(before["adminTrustFingerprints"].as_array().unwrap().len(), 1);
    assert_ne!(before["adminTrustFingerprints"], before["trustFingerprints"]);
    assert_eq!(before.get("callers"), None, "there is no rollover");

    // Whom the node served before is reported, too. Peers and the operator are not.
    certify(a, &successor.ca.issue(&a.wish()).with(&successor.cross).trusting(&both)).await;
    let during = status(a).await.unwrap();
    assert_eq!(
        (&during["certificate"]["issuer"], &during["certificate"]["chained"]),
        (&json!(NEW), &json!(true))
    );
    callers(a, &json!([{"identity": client, "issuer": OLD, "open": [OLD]}])).await;

    let mut new_session = new_ledger.session().await.unwrap();
    new_session.get("/upcheck").await;
    callers(a, &json!([{"identity": client, "issuer": NEW, "open": [OLD, NEW]}])).await;
    drop(old_session);
    callers(a, &json!([{"identity": client, "issuer": NEW, "open": [NEW]}])).await;

    let scraper = Identity::monitoring(TRUST_DOMAIN, "prometheus").unwrap().to_string();
    a.metric("tessera_handshakes_total").await;
    let scraper = json!({"identity": scraper, "issuer": OLD, "open": []});
    callers(a, &json!([scraper, {"identity": client, "issuer": NEW, "open": [NEW]}])).await;

    certify(a, &successor.ca.issue(&a.wish())).await;
    assert_eq!(status(a).await.unwrap().get("callers"), None, "the rollover is over");
    assert_eq!(new_session.get("/upcheck").await.status, 200);
}

/// A collector that serves whom its roots verify, and answers nothing of use.
struct Collector {
    endpoint: String,
    publisher: CredentialsPublisher,
    issued: Issued,
}

fn collector_credentials(issued: &Issued) -> Credentials {
    let expected =
        Expectation { identity: Identity::node(TRUST_DOMAIN, "collector").unwrap(), usage: Usage::Server };
    let (certificate, key, roots) = (&issued.certificate, &issued.key, &issued.roots);
    Credentials::from_pem(certificate.as_bytes(), key.as_bytes(), roots.as_bytes(), &expected).unwrap()
}

impl Collector {
    async fn start(ca: &Ca) -> Self {
        let identity = Identity::node(TRUST_DOMAIN, "collector").unwrap();
        let issued = ca.issue(&wish(&identity.to_string()));
        let (publisher, credentials) = CredentialsPublisher::new(collector_credentials(&issued));
        let tls = ServerTls::new(credentials, AllowedPeers::nodes(TRUST_DOMAIN));
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let endpoint = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let tls = tls.clone();
                tokio::spawn(async move {
                    let Ok(mut connection) = tls.accept(stream).await else { return };
                    // The node ends its connections as it likes.
                    let _ = connection.stream.read(&mut [0; 1024]).await;
                    let _ = connection
                        .stream
                        .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
                        .await;
                    let _ = connection.stream.shutdown().await;
                });
            }
        });
        Self { endpoint, publisher, issued }
    }

    fn trust(&self, authorities: &[&Ca]) {
        self.publisher.publish(collector_credentials(&self.issued.clone().trusting(authorities)));
    }
}

/// Waits until the collector has treated the node's own certificate as `wanted`: `<shown>: <outcome>`.
async fn tried(node: &Spec, wanted: &[&str]) {
    eventually(&format!("the collector was tried: {wanted:?}"), async || {
        let trials = status(node).await?["serverTrials"][0]["trials"].as_array()?.clone();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let line = |trial: &Value| format!("{}: {}", text(&trial["shown"]), text(&trial["outcome"]));
        let own = trials.iter().map(line).filter(|line| line.starts_with("Own"));
        (own.collect::<Vec<_>>() == wanted).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_know_the_new_root_is_found_by_the_leaf_alone() {
    let net = Net::new(&["a"]);
    let successor = Successor::of(&net.ca);
    let a = net.node("a");
    let collector = Collector::start(&net.ca).await;
    let logging = json!({"version": 1, "endpoint": collector.endpoint, "caBundle": net.ca.pem});
    std::fs::write(a.dir.join("logging.json"), logging.to_string()).unwrap();
    let _nodes = net.start().await;
    tried(a, &["Own: Served"]).await;

    // The period is a quarter of an hour: a changed certificate is tried at once.
    certify(a, &successor.ca.issue(&a.wish()).with(&successor.cross).trusting(&[&net.ca, &successor.ca]))
        .await;
    tried(a, &["Own: Served", "OwnAlone: Refused"]).await;

    // What the collector trusts is not the node's to know. A renewed leaf is tried at once, here instead of in a minute.
    collector.trust(&[&net.ca, &successor.ca]);
    certify(a, &successor.ca.issue(&a.wish()).with(&successor.cross).trusting(&[&net.ca, &successor.ca]))
        .await;
    tried(a, &["Own: Served", "OwnAlone: Served"]).await;

    certify(a, &successor.ca.issue(&a.wish())).await;
    tried(a, &["Own: Served"]).await;
}
