//! Who gets a connection, on which address, and until when.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use serde_json::{Value, json};
use tessera_node::args::{ProbeArgs, Question};
use tessera_node::probe;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::Client;
use crate::support::{Net, PATIENCE, Port, Spec, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn callers_without_a_certificate_cannot_close_a_port() {
    let net = Net::with(&["a"], |config| {
        for server in 0..2 {
            config["serverConfigs"][server]["properties"]["maxConnections"] = json!(8);
        }
    });
    let _nodes = net.start().await;
    let a = net.node("a");
    // More than there are slots, and more than there may be handshakes.
    let connect = |_| TcpStream::connect(a.at(a.p2p));
    let idle = futures::future::join_all((0..400).map(connect)).await;
    assert!(idle.iter().all(Result::is_ok));
    for _ in 0..5 {
        let served = tokio::time::timeout(PATIENCE / 3, a.peer_client(a).get("/upcheck")).await;
        assert_eq!(served.expect("served beside the flood").status, 200);
    }
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_identity_leaves_slots_to_the_others() {
    let net = Net::with(&["a", "b"], |config| {
        config["serverConfigs"][0]["properties"]["maxConnections"] = json!(4);
    });
    let (a, b) = (net.node("a"), net.node("b"));
    a.write_dynamic(&[]);
    let _node = a.start();
    a.wait_until_knows(&a.public_key).await;
    let greedy = a.peer_client(b);
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(greedy.session().await.expect("a handshake"));
    }
    assert_eq!(held[0].get("/upcheck").await.status, 200, "the first is served");
    let other = tokio::time::timeout(PATIENCE / 3, a.peer_client(a).get("/upcheck")).await;
    assert_eq!(other.expect("another identity is served").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_connections_may_be_configured() {
    let net = Net::with(&["a"], |config| {
        config["serverConfigs"][1]["properties"]["maxConnections"] = json!(u64::MAX);
    });
    let _nodes = net.start().await;
    assert_eq!(net.node("a").client().get("/upcheck").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_its_host_once() {
    let net = Net::new(&["a"]);
    let _nodes = net.start().await;
    let client = net.node("a").client();
    for (head, status) in [
        ("GET /upcheck HTTP/1.1\r\nhost: a\r\n", "HTTP/1.1 200 OK"),
        ("GET /upcheck HTTP/1.1\r\n", "HTTP/1.1 400 Bad Request"),
        ("GET /upcheck HTTP/1.1\r\nhost: a\r\nhost: a\r\n", "HTTP/1.1 400 Bad Request"),
        ("GET /upcheck HTTP/1.0\r\n", "HTTP/1.0 200 OK"),
        ("GET /upcheck HTTP/1.0\r\nhost: a\r\nhost: b\r\n", "HTTP/1.0 400 Bad Request"),
    ] {
        let mut stream = client.connect().await.unwrap();
        stream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(answer.lines().next(), Some(status), "{head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_drains_says_that_it_is_not_ready() {
    let net = Net::new(&["a"]);
    let a = net.node("a");
    let node = a.start();
    eventually("it is ready", async || ask(a, Question::Ready).await.ok()).await;
    // A request that has begun keeps the node draining.
    let mut begun = a.client().connect().await.unwrap();
    let body = json!({"payload": "aGVsbG8="}).to_string();
    let head = format!(
        "POST /send HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    begun.write_all(head.as_bytes()).await.unwrap();
    let mut continued = [0; 25];
    begun.read_exact(&mut continued).await.unwrap();
    assert_eq!(&continued, b"HTTP/1.1 100 Continue\r\n\r\n");

    let stopped = tokio::spawn(node.stop());
    eventually("it is not ready", async || {
        // The signal may not have reached the node yet.
        let answer = ask(a, Question::Ready).await.err()?;
        answer.contains("the node is shutting down").then_some(())
    })
    .await;
    assert_eq!(ask(a, Question::Live).await, Ok(()));
    begun.write_all(body.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    begun.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 201 Created"));
    stopped.await.unwrap();
}

async fn ask(node: &Spec, question: Question) -> Result<(), String> {
    let args = ProbeArgs { question, socket: node.dir.join("probe.sock") };
    tokio::task::spawn_blocking(move || probe::ask(&args)).await.unwrap()
}

/// Moves a node to the loopback of IPv6: all that it binds, advertises and dials.
fn move_to_ipv6(node: &mut Spec) {
    let host = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let ports: [Port; 4] = std::array::from_fn(|_| Port::reserve(host));
    let [q2t, p2p, admin, metrics] = ports.each_ref().map(Port::number);
    (node.host, node.q2t, node.p2p, node.admin, node.metrics) = (host, q2t, p2p, admin, metrics);
    node.ports = Arc::new(ports);
    let addresses = [node.at(p2p), node.at(q2t)].map(|address| json!(format!("https://{address}")));
    for (server, address) in addresses.into_iter().enumerate() {
        node.config["serverConfigs"][server]["serverAddress"] = address.clone();
        node.config["serverConfigs"][server]["bindingAddress"] = address;
    }
    node.config["tesseraNode"]["admin"]["bind"] = json!(node.at(admin).to_string());
    node.config["tesseraNode"]["metrics"]["bind"] = json!(node.at(metrics).to_string());
    node.write_config();
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_work_where_there_is_ipv6_only() {
    let mut net = Net::new(&["a", "b"]);
    net.nodes.iter_mut().for_each(move_to_ipv6);
    let urls: Vec<_> = net.nodes.iter().map(Spec::p2p_url).collect();
    for node in &net.nodes {
        node.certify(&net.ca);
        node.write_dynamic(&urls);
    }
    let _nodes = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let hash = a.client().send(b"over IPv6", &[&b.public_key]).await;
    assert_eq!(b.client().receive(&hash).await, (200, b"over IPv6".to_vec()));
    eventually("its peer is in the status", async || {
        let status = a.operator_client().get("/v1/status").await.json();
        (status["peersReached"] == json!([b.p2p_url()])).then_some(())
    })
    .await;
    assert_eq!(a.scraper_client().get("/metrics").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_literal_a_port_is_open_on_both_address_families() {
    let net = Net::with(&["a"], |config| {
        config["serverConfigs"][1].as_object_mut().unwrap().remove("bindingAddress");
        let port = config["serverConfigs"][1]["serverAddress"].as_str().unwrap().rsplit(':').next().unwrap();
        config["serverConfigs"][1]["serverAddress"] = Value::from(format!("https://localhost:{port}"));
    });
    let _nodes = net.start().await;
    let a = net.node("a");
    for host in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let (tls, own) = (a.dir.join("client-tls"), a.client_identity());
        let client = Client::new(SocketAddr::new(host, a.q2t), &tls, &own, &a.identity());
        assert_eq!(client.get("/upcheck").await.status, 200, "{host}");
    }
}
