//! Connections that nobody uses: none of them keeps another peer or a ledger out.

use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::mallory::Mallory;
use crate::scene::Scene;
use crate::support::Spec;

/// Longer than a handshake takes on a busy machine, shorter than the one of a caller that waits for the idle to go.
const SOON: Duration = Duration::from_secs(5);

/// A peer and a ledger that were not connected before are served.
async fn newcomers_are_served(scene: &Scene) {
    let (a, b) = (scene.a(), scene.b());
    for (who, client) in [("peer", a.peer_client(b)), ("ledger", a.client()), ("scraper", a.scraper_client())]
    {
        let path = if who == "scraper" { "/metrics" } else { "/upcheck" };
        let answer = tokio::time::timeout(SOON, client.try_get(path)).await;
        let answer = answer.unwrap_or_else(|_| panic!("a new {who} waits for more than {SOON:?}"));
        assert_eq!(answer.expect("an answer").status, 200, "{who}");
    }
}

/// So many connections to one port that have sent `bytes` and nothing more.
async fn idle(node: &Spec, port: u16, count: usize, bytes: &[u8]) -> Vec<TcpStream> {
    let streams = (0..count).map(async |_| {
        let mut stream = TcpStream::connect(node.at(port)).await.ok()?;
        stream.write_all(bytes).await.ok()?;
        Some(stream)
    });
    join_all(streams).await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_a_handshake_block_no_peer() {
    let mut scene = Scene::start().await;
    // The head of a TLS record that announces a hello, and the first bytes of it.
    let half_hello = [&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3][..], &[7; 40]].concat();
    scene
        .beside(async |scene| {
            let a = scene.a();
            for bytes in [&[][..], &half_hello] {
                let silent = idle(a, a.p2p, 1_100, bytes).await;
                newcomers_are_served(scene).await;
                drop(silent);
            }
        })
        .await;
    scene.judge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_identity_does_not_take_all_connections() {
    let few = |config: &mut serde_json::Value| {
        config["serverConfigs"][0]["properties"]["maxConnections"] = json!(48);
    };
    let mut scene = Scene::with(few).await;
    scene
        .beside(async |scene| {
            let taken = join_all((0..60).map(async |_| {
                let mut session = scene.mallory.client(scene.a()).session().await?;
                // Served or not: a connection beyond the bound may be refused or kept waiting.
                let answer = session.try_send(crate::support::client::request("GET", "/upcheck", &[], ""));
                tokio::time::timeout(Duration::from_millis(500), answer).await.ok().flatten()?;
                Some(session)
            }))
            .await;
            assert!(taken.iter().flatten().count() > 0, "a certificate of the network is served");
            newcomers_are_served(scene).await;
        })
        .await;
    scene.judge().await;
}

/// A connection that ends after so much of a request: within its head, its body, or with its answer half read.
async fn leave(mallory: &Mallory, node: &Spec, request: &[u8], read: usize) -> Option<()> {
    let mut stream = mallory.client(node).connect().await?;
    stream.write_all(request).await.ok()?;
    let mut bytes = vec![0; read];
    stream.read_exact(&mut bytes).await.ok()?;
    Some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_in_every_state_leaves_nothing_behind() {
    let mut scene = Scene::start().await;
    let key = scene.a().public_key.parse().unwrap();
    let body = tessera_enclave::PayloadCodec::Cbor.encode(&scene.mallory.seal(&[7; 4096], &[key]));
    let head = format!(
        "POST /push HTTP/1.1\r\nhost: a\r\ncontent-type: application/octet-stream\r\ncontent-length: {}\r\n\
         tesseraSupportedApiVersions: 5.0\r\n\r\n",
        body.len()
    );
    let push = [head.as_bytes(), &body].concat();
    let known = b"GET /partyinfo HTTP/1.1\r\nhost: a\r\n\r\n";
    let announced = b"POST /partyinfo HTTP/1.1\r\nhost: a\r\ncontent-type: application/octet-stream\r\n\
                      content-length: 9\r\n\r\n123";
    scene
        .beside(async |scene| {
            let (a, mallory) = (scene.a(), &scene.mallory);
            for _ in 0..3 {
                drop(idle(a, a.p2p, 20, b"").await);
                drop(idle(a, a.p2p, 20, &[22, 3, 1]).await);
                drop(idle(a, a.q2t, 20, b"GET / HTTP/1.1\r\n\r\n").await);
                let states: [(&[u8], usize); 8] = [
                    (b"", 0),
                    (&push[..10], 0),
                    (&push[..head.len()], 0),
                    (&push[..head.len() + 100], 0),
                    (&push, 0),
                    (&push, 5),
                    (known, 20),
                    (announced, 0),
                ];
                join_all(states.map(|(request, read)| leave(mallory, a, request, read))).await;
            }
            newcomers_are_served(scene).await;
        })
        .await;
    let left = crate::support::eventually("the connections are gone", async || {
        let open = scene.a().metric("tessera_connections{port=\"P2p\"}").await;
        (open < 40).then_some(open)
    });
    left.await;
    scene.judge().await;
}
