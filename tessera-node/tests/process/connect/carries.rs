//! What the sidecar carries, and what it leaves alone.

use std::os::unix::fs::PermissionsExt;

use http::Request;
use http_body_util::Full;
use rustix::process::Signal;
use tessera_enclave::base64;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::sidecar::{Sidecar, command};
use crate::support::client::{Session, send_body};
use crate::support::process::{Process, run_to_end};
use crate::support::{Net, PATIENCE};

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_sends_and_receives_over_the_socket() {
    let net = Net::new(&["a", "b"]);
    let (a, b) = (net.node("a"), net.node("b"));
    let _nodes = [Process::start(a), Process::start(b)];
    net.wait_until_met().await;
    let sidecar = Sidecar::start(a).await;
    assert_eq!(std::fs::metadata(&sidecar.socket).unwrap().permissions().mode() & 0o777, 0o660);
    assert_eq!(sidecar.probe("ready"), (0, String::new()));
    assert_eq!(sidecar.get("/upcheck").await.text(), "I'm up!");

    let sent = sidecar.request("POST", "/send", send_body(b"hello", &[&b.public_key])).await;
    assert_eq!(sent.status, 201, "{}", sent.text());
    let hash = sent.json()["key"].as_str().unwrap().to_owned();
    assert_eq!(sidecar.receive(&hash).await, (200, b"hello".to_vec()));
    assert_eq!(b.client().receive(&hash).await, (200, b"hello".to_vec()));
    // The node answers as it would without the sidecar.
    assert!(sent.header("location").starts_with(&format!("https://{}/", a.at(a.q2t))), "{:?}", sent.headers);
    assert_eq!(sidecar.get("/transaction/bm90IHRoZXJl").await.status, 404);
    assert_eq!(
        sidecar.request("POST", "/send", "{").await.status,
        a.client().post_json("/send", "{").await.status
    );
    // One connection after the other request, and HTTP/1.0 as well.
    let mut session = sidecar.session().await.unwrap();
    for _ in 0..3 {
        assert_eq!(session.get("/version").await.status, 200);
    }
    assert!(sidecar.raw(b"GET /upcheck HTTP/1.0\r\n\r\n").await.ends_with("I'm up!"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_passes_both_ways_without_being_held() {
    const PAYLOAD: usize = 24 << 20;
    const MOST: usize = 8 << 20;
    let net = Net::new(&["a"]);
    let a = net.node("a");
    let _node = Process::start(a);
    a.wait_until_serves().await;
    let sidecar = Sidecar::start(a).await;
    let payload: Vec<u8> = (0..PAYLOAD).map(|n| u8::try_from(n % 251).unwrap()).collect();
    // Of a known length, and in chunks.
    let body = send_body(&payload, &[]);
    let sent = sidecar.request("POST", "/send", body.clone()).await;
    assert_eq!(sent.status, 201, "{}", sent.text());
    let hash = sent.json()["key"].as_str().unwrap().to_owned();
    let (status, received) = sidecar.receive(&hash).await;
    assert!(status == 200 && received == payload);

    let mut stream = sidecar.open().await.unwrap();
    stream.write_all(b"POST /send HTTP/1.1\r\nhost: c\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n").await.unwrap();
    for part in body.as_bytes().chunks(1 << 20) {
        stream.write_all(format!("{:x}\r\n", part.len()).as_bytes()).await.unwrap();
        stream.write_all(part).await.unwrap();
        stream.write_all(b"\r\n").await.unwrap();
    }
    stream.write_all(b"0\r\nx-trailer: 1\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let peak = sidecar.process.peak_bytes();
    println!("peak: {} KiB", peak >> 10);
    assert!(peak < MOST, "{peak} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_a_request_end_and_removes_the_socket() {
    let net = Net::new(&["a"]);
    let a = net.node("a");
    let _node = Process::start(a);
    a.wait_until_serves().await;
    let mut sidecar = Sidecar::start(a).await;
    let idle = sidecar.open().await.unwrap();
    let body = send_body(b"in the middle", &[]);
    let (first, rest) = body.as_bytes().split_at(10);
    let head = format!(
        "POST /send HTTP/1.1\r\nhost: c\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut begun = sidecar.open().await.unwrap();
    begun.write_all(head.as_bytes()).await.unwrap();
    let mut goes_on = [0; 25];
    begun.read_exact(&mut goes_on).await.unwrap();
    assert_eq!(std::str::from_utf8(&goes_on), Ok("HTTP/1.1 100 Continue\r\n\r\n"));
    begun.write_all(first).await.unwrap();

    sidecar.process.signal(Signal::TERM);
    crate::support::eventually("the socket is gone", async || (!sidecar.socket.exists()).then_some(())).await;
    assert!(sidecar.open().await.is_none());
    begun.write_all(rest).await.unwrap();
    let mut answer = [0; 20];
    begun.read_exact(&mut answer).await.unwrap();
    assert_eq!(std::str::from_utf8(&answer), Ok("HTTP/1.1 201 Created"));
    let status = tokio::task::block_in_place(|| sidecar.process.wait(PATIENCE)).expect("it ends");
    assert!(status.success(), "{status}");
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_of_a_killed_sidecar_is_replaced() {
    let net = Net::new(&["a"]);
    let a = net.node("a");
    let _node = Process::start(a);
    a.wait_until_serves().await;
    let mut killed = Sidecar::start(a).await;
    killed.process.kill();
    assert!(killed.socket.exists());
    assert!(killed.open().await.is_none());
    let second = Sidecar::start(a).await;
    assert_eq!(std::fs::metadata(&second.socket).unwrap().permissions().mode() & 0o777, 0o660);
    assert_eq!(second.get("/upcheck").await.status, 200);
}

/// At the most talkative level, of sends that succeed and of requests that fail.
#[tokio::test(flavor = "multi_thread")]
async fn no_payload_and_no_hash_is_logged() {
    let net = Net::new(&["a"]);
    let a = net.node("a");
    let mut node = Process::start(a);
    a.wait_until_serves().await;
    let mut command = command(a, &a.identity().to_string());
    command.env("RUST_LOG", "trace");
    let sidecar = Sidecar::spawn(a, command).await;
    let payload = b"a payload that nobody else may see";
    let sent = sidecar.request("POST", "/send", send_body(payload, &[])).await;
    let hash = sent.json()["key"].as_str().unwrap().to_owned();
    assert_eq!(sidecar.receive(&hash).await.0, 200);
    node.kill();
    assert_ne!(sidecar.receive(&hash).await.0, 200);
    sidecar.request("POST", "/send", send_body(payload, &[])).await;
    let log = std::fs::read_to_string(&sidecar.log).unwrap();
    assert!(log.contains("a request has no answer of the node"), "control: {log}");
    assert!(log.contains("\"answered\""), "control: {log}");
    for secret in [&hash[..40], &base64::encode(payload)[..20], "transaction/", "nobody else", "PRIVATE"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loopback_port_is_for_a_pod_with_a_network_of_its_own() {
    let net = Net::new(&["a"]);
    let a = net.node("a");
    let identity = a.identity().to_string();
    let url = format!("https://{}", a.at(a.q2t));
    let line = [
        "connect",
        "--node-url",
        &url,
        "--node",
        &identity,
        "--client",
        "quorum",
        "--listen-loopback",
        "9101",
    ];
    let (code, _, err) = run_to_end(&line);
    assert_eq!(code, 2);
    assert!(err.contains("--listen-loopback is refused"), "{err}");
    let (code, _, err) =
        run_to_end(&[&line[..], &["--pod-ips", "10.0.0.1", "--host-ips", "10.0.0.1"]].concat());
    assert_eq!(code, 2);
    assert!(err.contains("hostNetwork"), "{err}");

    let _node = Process::start(a);
    a.wait_until_serves().await;
    let port = crate::support::Port::reserve([127, 0, 0, 1].into());
    // As after the check, which this machine's network may not pass.
    let config = tessera_node::connect::Config {
        node_url: url.parse().unwrap(),
        node: a.identity(),
        client: a.client_identity(),
        tls: a.dir.join("client-tls"),
        socket: a.dir.join("tm.sock"),
        probe_socket: a.dir.join("connect-probe.sock"),
        loopback: Some(port.number()),
        max_connections: 16,
    };
    tokio::spawn(tessera_node::connect::run(config, std::future::pending()));
    let stream = crate::support::eventually("the port is open", async || {
        tokio::net::TcpStream::connect(("127.0.0.1", port.number())).await.ok()
    })
    .await;
    assert_eq!(Session::over(stream).await.unwrap().get("/upcheck").await.text(), "I'm up!");
    // Of the machine's other addresses none is listened on.
    assert!(tokio::net::TcpStream::connect(("127.0.0.2", port.number())).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sidecar_is_no_proxy_and_takes_no_upgrade() {
    let net = Net::new(&["a"]);
    let a = net.node("a");
    let _node = Process::start(a);
    a.wait_until_serves().await;
    let sidecar = Sidecar::start(a).await;
    for bytes in [
        "GET http://evil.example/upcheck HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n",
        "CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n",
        "GET /upcheck HTTP/1.1\r\nhost: c\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\r\n",
        "GET /upcheck HTTP/1.1\r\nhost: c\r\nhost: d\r\nconnection: close\r\n\r\n",
    ] {
        let answer = sidecar.raw(bytes.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{bytes:?}: {answer}");
    }
    // Length and chunks at once: whatever stands behind is not taken for a request.
    let both = "POST /upcheck HTTP/1.1\r\nhost: c\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /version HTTP/1.1\r\nhost: c\r\nconnection: close\r\n\r\n";
    let answers = sidecar.raw(both.as_bytes()).await;
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
    let request = Request::builder().uri("/upcheck").header("host", "c").header("connection", "x-secret");
    let request = request.header("x-secret", "1").body(Full::default()).unwrap();
    assert_eq!(sidecar.session().await.unwrap().try_send(request).await.unwrap().status, 200);
}
