//! What a peer with a genuine certificate can do to others, and what the failure of one costs the rest.

use std::sync::Arc;

use futures::future::join_all;
use http::Request;
use http_body_util::Full;
use serde_json::json;
use tessera_enclave::codec::party_info::PartyInfo;
use tessera_enclave::keyring::DefaultKey;
use tessera_enclave::seal::{self, SealRequest};
use tessera_enclave::{
    EncodedPayload, KeyPair, KeyRing, Nonce, PayloadCodec, PayloadParts, PrivacyMetadata, PublicKey,
    SecurityHash, TxHash,
};

use crate::support::client::{Client, OCTETS, send_body};
use crate::support::{Net, Spec, eventually};

const CBOR: (&str, &str) = ("tesseraSupportedApiVersions", "5.0,v1,v2");
const MESSAGE: &[u8] = b"private";

/// A payload of a node elsewhere for the key of `node`, as it is pushed.
fn pushed_to(node: &Spec) -> EncodedPayload {
    let pair = Arc::new(KeyPair::generate().unwrap());
    let sender = *pair.public();
    let ring = KeyRing::new([pair], &DefaultKey::AsJava).unwrap();
    let recipient: PublicKey = node.public_key.parse().unwrap();
    let request = SealRequest { sender, recipients: vec![recipient], privacy: PrivacyMetadata::default() };
    seal::seal(&ring, MESSAGE.into(), request).unwrap().for_recipient(&recipient).unwrap()
}

fn changed(payload: &EncodedPayload, change: impl FnOnce(&mut PayloadParts)) -> EncodedPayload {
    let mut parts = payload.clone().into_parts();
    change(&mut parts);
    EncodedPayload::new(parts).unwrap()
}

async fn push(client: &Client, payload: &EncodedPayload) -> (u16, String) {
    let answer = client.request("POST", "/push", &[OCTETS, CBOR], PayloadCodec::Cbor.encode(payload)).await;
    (answer.status, answer.text().to_owned())
}

async fn announce(to: &Spec, by: &Spec, keys: impl IntoIterator<Item = PublicKey>, url: &str) -> u16 {
    let recipients = keys.into_iter().map(|key| (key, url.to_owned())).collect();
    let said = PartyInfo { url: url.to_owned(), recipients, parties: Vec::new() };
    to.peer_client(by).request("POST", "/partyinfo", &[OCTETS], said.encode()).await.status
}

async fn handshakes(node: &Spec) -> u64 {
    node.metric("tessera_handshakes_total{port=\"P2p\"}").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_push_leaves_a_payload_readable_whether_it_comes_before_or_after() {
    let net = Net::new(&["b"]);
    let _nodes = net.start().await;
    let b = net.node("b");
    let peer = b.peer_client(b);
    let forgeries: [fn(&mut PayloadParts); 3] = [
        |parts| parts.recipient_boxes = vec![vec![0; 48].into()],
        |parts| parts.cipher_text_nonce = Nonce::from_bytes(&[7; 24]),
        |parts| parts.sender = *KeyPair::generate().unwrap().public(),
    ];
    for forge in forgeries {
        for forged_first in [false, true] {
            let genuine = pushed_to(b);
            let forged = changed(&genuine, forge);
            let order = if forged_first { [&forged, &genuine] } else { [&genuine, &forged] };
            let mut answers = Vec::new();
            for payload in order {
                answers.push(push(&peer, payload).await.0);
            }
            assert_eq!(answers[usize::from(forged_first)], 201, "the genuine one is taken");
            let read = b.client().receive(&genuine.hash().to_string()).await;
            assert_eq!(read, (200, MESSAGE.to_vec()), "forged first: {forged_first}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_a_node_that_is_down_is_not_taken_over_by_a_claim() {
    let net = Net::new(&["a", "b", "d"]);
    let mut nodes = net.start().await;
    let (a, b, d) = (net.node("a"), net.node("b"), net.node("d"));
    a.client().send(b"before", &[&b.public_key]).await;
    nodes.remove(1).stop().await;
    let claimed: PublicKey = b.public_key.parse().unwrap();
    for _ in 0..5 {
        assert_eq!(announce(a, d, [claimed], &d.p2p_url()).await, 200);
        let answer = a.client().post_json("/send", send_body(b"for b alone", &[&b.public_key])).await;
        assert_eq!(answer.status, 410, "{}", answer.text());
    }
    // It comes back, and is the holder as before.
    let _b = b.start();
    b.wait_until_knows(&a.public_key).await;
    eventually("it is reached", async || {
        let sent = a.client().try_post_json("/send", send_body(b"after", &[&b.public_key])).await?;
        (sent.status == 201).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_names_too_many_affected_transactions_is_refused() {
    let net = Net::new(&["b"]);
    let _nodes = net.start().await;
    let b = net.node("b");
    let affects = |count: u32| {
        changed(&pushed_to(b), |parts| {
            let claim = |number: u32| (TxHash::of(&number.to_be_bytes()), SecurityHash::from_bytes(&[0; 64]));
            parts.privacy.affected = (0..count).map(claim).collect();
        })
    };
    assert_eq!(push(&b.peer_client(b), &affects(256)).await.0, 201);
    let (status, text) = push(&b.peer_client(b), &affects(257)).await;
    assert_eq!((status, text.starts_with("a transaction may affect at most 256")), (403, true), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_one_node_however_many_addresses_it_announces() {
    let net = Net::new(&["a", "d"]);
    let _nodes = net.start().await;
    let (a, d) = (net.node("a"), net.node("d"));
    let invented: Vec<_> = (0..1000).map(|_| *KeyPair::generate().unwrap().public()).collect();
    for port in 20_000..20_050 {
        let url = format!("https://{}:{port}/", d.host);
        assert_eq!(announce(a, d, invented.clone(), &url).await, 200);
    }
    let known = a.peer_client(d).get("/partyinfo").await.json();
    let peers = known["peers"].as_array().unwrap();
    // Its configured address, and the one that it announced last.
    assert!(peers.len() <= 2, "{peers:?}");
    assert!(!known.to_string().contains(&invented[0].to_string()), "a key without proof is not passed on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_that_is_down_costs_the_others_no_connection() {
    let net = Net::new(&["a", "b", "c"]);
    let mut nodes = net.start().await;
    let (a, b, c) = (net.node("a"), net.node("b"), net.node("c"));
    a.client().send(b"warm", &[&b.public_key, &c.public_key]).await;
    nodes.remove(2).stop().await;
    let counter = "tessera_request_duration_seconds_count{port=\"P2p\",route=\"push\",status=\"2xx\"}";
    let (before, pushed) = (handshakes(b).await, b.metric(counter).await);
    let mut client = a.client().session().await.unwrap();
    for _ in 0..40 {
        // The push to B is under way when the one to C fails.
        let body = send_body(b"for both", &[&b.public_key, &c.public_key]);
        assert_eq!(client.post_json("/send", body).await.status, 410);
    }
    assert_eq!(b.metric(counter).await - pushed, 40, "each push to B goes on to its end");
    let opened = handshakes(b).await - before;
    assert!(opened <= 4, "{opened} connections for 40 sends");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_senders_share_a_bounded_number_of_connections() {
    const SENDERS: usize = 100;
    let net = Net::new(&["a", "b"]);
    let _nodes = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let sessions = join_all((0..SENDERS).map(|_| async { a.client().session().await.unwrap() })).await;
    let before = handshakes(b).await;
    let senders = sessions.into_iter().map(|mut session| async move {
        for _ in 0..5 {
            session.send(b"one of many", &[&b.public_key]).await;
        }
    });
    join_all(senders).await;
    let opened = handshakes(b).await - before;
    assert!(opened <= 66, "{opened} connections for {SENDERS} senders");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_whose_client_goes_away_is_finished_on_both_sides_or_on_none() {
    let net = Net::new(&["a", "b"]);
    let _nodes = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let client = a.client();
    let mut hashes = Vec::new();
    for number in 0..20 {
        let payload = tessera_enclave::base64::encode(&[number; 1000]);
        let stored = client.post_json("/storeraw", json!({"payload": payload}).to_string()).await;
        let hash = stored.json()["key"].as_str().unwrap().to_owned();
        let body = json!({"hash": hash, "to": [b.public_key]}).to_string();
        let request = Request::builder()
            .method("POST")
            .uri("/sendsignedtx")
            .header("host", "a")
            .header("content-type", "application/json")
            .body(Full::new(body.into()))
            .unwrap();
        let mut session = client.session().await.unwrap();
        // Long enough for the request to arrive, seldom for its answer.
        let patience = std::time::Duration::from_micros(500 * u64::from(number % 8));
        let _ = tokio::time::timeout(patience, session.try_send(request)).await;
        drop(session);
        hashes.push(hash);
    }
    for hash in &hashes {
        eventually("both sides agree", async || {
            let (ours, theirs) = (client.receive(hash).await.0, b.client().receive(hash).await.0);
            (ours == theirs).then_some(())
        })
        .await;
    }
}
