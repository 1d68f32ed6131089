//! Bodies that are large, slow or never end, and answers that nobody reads. Memory stays within the container's limit.

use std::time::Duration;

use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::mallory::push_bytes;
use crate::scene::Scene;
use crate::support::client::{request, segment, send_body};

/// The head of a push with this line of its body's size.
fn head(size: &str) -> String {
    format!("POST /push HTTP/1.1\r\nhost: a\r\ncontent-type: application/octet-stream\r\n{size}\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn large_pushes_at_once_take_no_more_than_there_is() {
    let mut scene = Scene::start().await;
    let key: tessera_enclave::PublicKey = scene.b().public_key.parse().unwrap();
    let valid = |bytes: usize| {
        let payload = scene.mallory.seal(&vec![7; bytes], std::slice::from_ref(&key));
        bytes::Bytes::from(tessera_enclave::PayloadCodec::Cbor.encode(&payload))
    };
    let (fits, large) = (valid(6 << 20), valid(20 << 20));
    let garbage = bytes::Bytes::from(vec![0x42; 8 << 20]);
    scene
        .beside(async |scene| {
            let pushes = [&fits, &garbage, &fits, &large, &fits, &garbage].map(async |body| {
                let answer = scene.mallory.client(scene.b()).try_send(push_bytes(body.clone())).await;
                // A refusal may meet a sender that is still sending.
                answer.map_or(0, |answer| answer.status)
            });
            let statuses = join_all(pushes).await;
            assert!(statuses.iter().all(|status| [0, 201, 413, 500, 503].contains(status)), "{statuses:?}");
            assert!(statuses.contains(&201), "not one of the pushes that fit was taken: {statuses:?}");
        })
        .await;
    scene.judge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_never_end_hold_nothing() {
    let mut scene = Scene::start().await;
    scene
        .beside(async |scene| {
            let b = scene.b();
            let announced = head("content-length: 40000000");
            let chunked = head("transfer-encoding: chunked");
            let stalled = (0..24).map(async |number: usize| {
                let mut stream = scene.mallory.client(b).connect().await?;
                let (head, chunk) = if number.is_multiple_of(2) {
                    (&announced, vec![7; 1 << 20])
                } else {
                    (&chunked, [b"100000\r\n".to_vec(), vec![7; 1 << 20], b"\r\n".to_vec()].concat())
                };
                stream.write_all(head.as_bytes()).await.ok()?;
                let _ = tokio::time::timeout(Duration::from_millis(500), stream.write_all(&chunk)).await;
                Some(stream)
            });
            let stalled = join_all(stalled).await;
            // Some go on, byte by byte.
            let trickle = stalled.into_iter().flatten().map(async |mut stream| {
                for _ in 0..20 {
                    if stream.write_all(b"1").await.is_err() {
                        return;
                    }
                    let _ = stream.flush().await;
                    tokio::time::sleep(Duration::from_millis(25)).await;
                }
            });
            join_all(trickle).await;
        })
        .await;
    scene.judge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_reads_hold_no_memory() {
    let mut scene = Scene::start().await;
    // So that the answer is long.
    let keys = (0..1000).map(|id| {
        tessera_enclave::PublicKey::from_bytes(&[&[9; 28][..], &u32::to_be_bytes(id)].concat()).unwrap()
    });
    let claim = scene.mallory.claim(&keys.collect::<Vec<_>>());
    scene.mallory.announce(scene.b(), &claim).await.expect("an answer");
    scene
        .beside(async |scene| {
            let readers = (0..12).map(async |_| {
                let mut stream = scene.mallory.client(scene.b()).connect().await?;
                let ask = "GET /partyinfo HTTP/1.1\r\nhost: b\r\n\r\n".repeat(100);
                let _ =
                    tokio::time::timeout(Duration::from_millis(500), stream.write_all(ask.as_bytes())).await;
                let mut some = [0; 100];
                let _ = tokio::time::timeout(Duration::from_millis(500), stream.read(&mut some)).await;
                Some(stream)
            });
            let unread = join_all(readers).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            drop(unread);
        })
        .await;
    scene.judge().await;
}

/// Not Mallory, but the node's own ledger: a payload as large as they come, and many reads of large ones at once.
#[tokio::test(flavor = "multi_thread")]
async fn one_large_request_is_refused_or_served_and_kills_no_node() {
    let mut scene = Scene::start().await;
    let to = [scene.b().public_key.clone()];
    let to: Vec<_> = to.iter().map(String::as_str).collect();
    let hash = scene.a().client().send(&vec![5; 1 << 20], &to).await;
    let large = bytes::Bytes::from(send_body(&vec![7; 40 << 20], &to));
    scene
        .beside(async |scene| {
            let ledger = scene.a().client();
            let json = [("content-type", "application/json")];
            let large = request("POST", "/send", &json, large.clone());
            let status = ledger.try_send(large).await.map_or(0, |answer| answer.status);
            assert!([201, 410, 413, 503].contains(&status), "{status}");
            let path = format!("/transaction/{}", segment(&hash));
            let reads = (0..32).map(async |_| ledger.get(&path).await.status);
            let statuses = join_all(reads).await;
            assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
            assert!(statuses.contains(&200), "not one of the reads was served");
        })
        .await;
    assert_eq!(scene.b().client().receive(&hash).await, (200, vec![5; 1 << 20]));
    scene.judge().await;
}
