//! Bytes on a handshaken connection that no HTTP client sends.

use std::time::Duration;

use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::scene::Scene;
use crate::support::Spec;

/// Longer than the node takes to answer what it answers at all.
const ANSWERED: Duration = Duration::from_secs(2);

/// All that is answered to these bytes until the node closes or says nothing more.
async fn answers(scene: &Scene, node: &Spec, bytes: &[u8]) -> String {
    let Some(mut stream) = scene.mallory.client(node).connect().await else { return String::new() };
    let exchange = async {
        let _ = stream.write_all(bytes).await;
        let mut read = Vec::new();
        while let Ok(Ok(1..)) =
            tokio::time::timeout(Duration::from_millis(400), stream.read_buf(&mut read)).await
        {}
        read
    };
    let read = tokio::time::timeout(ANSWERED, exchange).await.unwrap_or_default();
    String::from_utf8_lossy(&read).into_owned()
}

fn post(headers: &str, body: &str) -> Vec<u8> {
    let head = "POST /push HTTP/1.1\r\nhost: a\r\ncontent-type: application/octet-stream\r\n";
    format!("{head}{headers}\r\n\r\n{body}").into_bytes()
}

/// A second request that hides in the body of the first must not be answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_within_a_body_is_none() {
    let mut scene = Scene::start().await;
    let hidden = "GET /version HTTP/1.1\r\nhost: a\r\n\r\n";
    let length = hidden.len();
    let cases = [
        post(&format!("content-length: {length}"), hidden),
        post(&format!("content-length: 0\r\ncontent-length: {length}"), hidden),
        post(&format!("content-length: {length}, 0"), hidden),
        post(&format!("content-length: +{length}"), hidden),
        post("content-length: -1", hidden),
        post("content-length: 99999999999999999999999", hidden),
        post("transfer-encoding: chunked, identity", hidden),
        post("transfer-encoding: xchunked", hidden),
        post("transfer-encoding : chunked\r\ncontent-length: 0", hidden),
        post(
            "transfer-encoding: chunked",
            &format!("{length:x};x={}\r\n{hidden}\r\n0\r\n\r\n", "y".repeat(20_000)),
        ),
        post("transfer-encoding: chunked", &format!("-1\r\n{hidden}")),
        post("transfer-encoding: chunked", &format!("fffffffffffffffff\r\n{hidden}")),
        post("transfer-encoding: chunked", &format!("{length:x}\n{hidden}")),
        post(&format!("expect: 100-continue\r\ncontent-length: {length}"), hidden),
        post(&format!("upgrade: h2c\r\nconnection: upgrade\r\ncontent-length: {length}"), hidden),
    ];
    let version = env!("CARGO_PKG_VERSION");
    // The control: as a request of its own it is answered.
    let control = answers(&scene, scene.a(), hidden.as_bytes()).await;
    assert!(control.ends_with(version), "{control}");
    scene
        .beside(async |scene| {
            join_all(cases.iter().map(async |bytes| {
                let answered = answers(scene, scene.a(), bytes).await;
                let sent = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]);
                assert!(!answered.contains(version), "{sent}\n was answered\n{answered}");
            }))
            .await;
        })
        .await;
    scene.judge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_endless_slow_or_many_end_by_themselves() {
    let mut scene = Scene::start().await;
    scene
        .beside(async |scene| {
            let a = scene.a();
            let many_headers =
                format!("GET /upcheck HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(1_500));
            let refused = answers(scene, a, many_headers.as_bytes()).await;
            assert!(refused.is_empty() || refused.starts_with("HTTP/1.1 4"), "{refused}");
            let endless = format!("GET /{}", "x".repeat(200_000));
            let refused = answers(scene, a, endless.as_bytes()).await;
            assert!(refused.is_empty() || refused.starts_with("HTTP/1.1 4"), "{refused}");
            // Answered one after the other; who reads none of it gets no more.
            let pipelined = "GET /upcheck HTTP/1.1\r\nhost: a\r\n\r\n".repeat(300);
            let answered = answers(scene, a, pipelined.as_bytes()).await;
            assert!(answered.starts_with("HTTP/1.1 200"), "{answered}");
            let slow = (0..64).map(async |_| {
                let mut stream = scene.mallory.client(a).connect().await?;
                for byte in b"GET /upcheck HTTP/1.1\r\nx: " {
                    stream.write_all(&[*byte]).await.ok()?;
                    stream.flush().await.ok()?;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Some(stream)
            });
            join_all(slow).await;
        })
        .await;
    scene.judge().await;
}
