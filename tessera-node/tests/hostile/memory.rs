//! Work that outlives its caller, or that a small request asks for, takes its memory from the same budget as every body.

use std::time::Duration;

use bytes::Bytes;
use tessera_enclave::{PublicKey, SecurityHash};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;

use crate::mallory::{Manner, push};
use crate::scene::Scene;
use crate::support::client::{Client, request, send_body};
use crate::support::eventually;

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// A second one of these does not fit the ledgers' share of the scene's memory.
const LARGE: usize = 7 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_send_whose_client_has_gone_keeps_its_memory_until_it_ends() {
    let scene = Scene::start().await;
    let mut door = scene.mallory.open().await;
    scene.mallory.introduce(scene.a()).await;
    door.behave(&[Manner::Silent]);
    let body = Bytes::from(send_body(&vec![7; LARGE], &[&scene.mallory.spec.public_key]));
    let send = || request("POST", "/send", &JSON, body.clone());

    let ledger = scene.a().client();
    let first = send();
    let left = tokio::spawn(async move { ledger.try_send(first).await.map(|answer| answer.status) });
    door.pushed.recv().await.expect("the push of the first send");
    left.abort();
    assert!(left.await.is_err_and(|end| end.is_cancelled()), "the first send waits for Mallory");
    let second = scene.a().client().try_send(send()).await.expect("an answer");
    assert_eq!((second.status, second.text()), (503, "too many large requests at once: try again"));

    // The first ends at its deadline and gives everything back.
    eventually("a large send reaches Mallory", async || {
        let status = scene.a().client().try_send(send()).await?.status;
        (status == 410).then_some(())
    })
    .await;
    scene.judge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_of_an_affected_transaction_waits_for_memory() {
    let scene = Scene::start().await;
    let key: PublicKey = scene.b().public_key.parse().unwrap();
    let stored = scene.mallory.seal(&vec![1; 6 << 20], std::slice::from_ref(&key));
    let mut session = scene.mallory.session(scene.b()).await;
    let payload = stored.for_recipient(&key).unwrap().into_parts();
    assert_eq!(session.try_send(push(payload)).await.expect("an answer").status, 201);
    let mut naming = scene.mallory.seal(b"names it", &[key]).into_parts();
    naming.privacy.affected = [(stored.hash(), SecurityHash::from_bytes(&[7; 32]))].into();
    let name_it = async || {
        let answer = scene.mallory.client(scene.b()).try_send(push(naming.clone())).await?;
        Some((answer.status, answer.text().to_owned()))
    };
    assert_ne!(name_it().await.expect("an answer").0, 503, "with nothing else in progress");

    // 40 of the 42 MiB of the ledgers and 20 of the 24 MiB that are left: the record takes 12.
    let hold = [
        hold(scene.b().client(), "/send", "application/json", 10 << 20),
        hold(scene.mallory.client(scene.b()), "/push", "application/octet-stream", 5 << 20),
    ];
    eventually("a small push that names a large payload is refused", async || {
        let (status, text) = name_it().await?;
        (status == 503).then(|| assert_eq!(text, "too many large requests at once: try again"))
    })
    .await;
    for holder in hold {
        holder.abort();
        assert!(holder.await.is_err_and(|end| end.is_cancelled()));
    }
    eventually("the payload is looked up again", async || (name_it().await?.0 != 503).then_some(())).await;
    scene.judge().await;
}

/// Bodies that announce so many bytes, one after the other, each as slow as the node bears.
fn hold(client: Client, path: &'static str, kind: &'static str, bytes: usize) -> JoinHandle<()> {
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: b\r\ncontent-type: {kind}\r\ncontent-length: {bytes}\r\n\r\n");
    tokio::spawn(async move {
        loop {
            let Some(mut stream) = client.connect().await else { continue };
            let mut sent = stream.write_all(head.as_bytes()).await;
            // More than a body has free.
            let first = vec![b' '; 100_000];
            let mut piece = first.as_slice();
            while sent.is_ok() {
                sent = stream.write_all(piece).await;
                let _ = stream.flush().await;
                piece = b" ";
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    })
}
