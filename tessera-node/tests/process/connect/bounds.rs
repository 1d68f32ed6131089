//! What a ledger can make the sidecar take.

use std::time::Duration;

use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::sidecar::{Sidecar, open};
use crate::support::Net;
use crate::support::process::{Process, raise_descriptor_limit};

/// `--max-connections`, by default.
const CONNECTIONS: usize = 256;
const SOON: Duration = Duration::from_secs(5);
const MOST_BYTES: usize = 16 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_large_is_refused() {
    let net = Net::new(&["a"]);
    let a = net.node("a");
    let _node = Process::start(a);
    a.wait_until_serves().await;
    let sidecar = Sidecar::start(a).await;
    let head = |bytes: usize| {
        format!("GET /upcheck HTTP/1.1\r\nhost: c\r\nconnection: close\r\nx: {}\r\n\r\n", "a".repeat(bytes))
    };
    let answer = sidecar.raw(head(9 << 10).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many = "x: 1\r\n".repeat(200);
    let answer = sidecar.raw(format!("GET /upcheck HTTP/1.1\r\nhost: c\r\n{many}\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert!(sidecar.raw(head(4 << 10).as_bytes()).await.starts_with("HTTP/1.1 200"), "control");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_idle_connections_neither_keep_a_request_out_nor_pile_up() {
    raise_descriptor_limit();
    let net = Net::new(&["a"]);
    let a = net.node("a");
    let _node = Process::start(a);
    a.wait_until_serves().await;
    let sidecar = Sidecar::start(a).await;
    let mut kept = sidecar.session().await.unwrap();
    assert_eq!(kept.get("/upcheck").await.status, 200);
    // Silent ones, and some that began a head and stopped.
    for bytes in [&b""[..], b"GET /upcheck HTTP/1.1\r\nho"] {
        let idle = join_all((0..1_000).map(|_| begin(&sidecar, bytes))).await;
        let asked = tokio::time::timeout(SOON, sidecar.get("/upcheck")).await;
        assert_eq!(asked.expect("it waits for the idle").status, 200);
        let open = join_all(idle.into_iter().map(is_open)).await.into_iter().filter(|open| *open).count();
        assert!(open <= CONNECTIONS, "{open} are open");
        assert!(open > CONNECTIONS / 2, "{open} are open: idle connections are closed without need");
    }
    let peak = sidecar.process.peak_bytes();
    println!("peak: {} KiB", peak >> 10);
    assert!(peak < MOST_BYTES, "{peak} bytes");
}

async fn begin(sidecar: &Sidecar, bytes: &[u8]) -> UnixStream {
    let mut stream = open(&sidecar.socket).await.expect("a connection");
    // One that had to give way already is closed.
    let _ = stream.write_all(bytes).await;
    stream
}

async fn is_open(mut stream: UnixStream) -> bool {
    let mut byte = [0; 1];
    tokio::time::timeout(Duration::from_millis(500), stream.read(&mut byte)).await.is_err()
}
