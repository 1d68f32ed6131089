//! Pushes byte for byte as Java sends them, and pushes that are not.

use bytes::Bytes;
use serde_json::{Value, json};
use tessera_enclave::codec::party_info::PartyInfo;
use tessera_enclave::{KeyPair, PayloadCodec, PublicKey};

use crate::support::Net;
use crate::support::client::{Answer, Client};

const OLD: &str = "2.1,3.0,4.0,v1,v2";
const NEW: &str = "2.1,3.0,4.0,5.0,v1,v2";

fn vectors() -> Value {
    let text = include_str!("../../enclave/tests/vectors/tessera-vectors.json");
    serde_json::from_str(text).unwrap()
}

fn bytes(value: &Value) -> Bytes {
    hex::decode(value.as_str().unwrap()).unwrap().into()
}

/// A network of one node that holds these of the vectors' keys.
fn holder_of(indices: &[usize]) -> Net {
    let vectors = vectors();
    let pair = |index: &usize| {
        let pair = &vectors["nacl_key_pairs"][*index];
        json!({"publicKey": pair["publicKey_base64"], "privateKey": pair["privateKey_base64"]})
    };
    let pairs: Vec<_> = indices.iter().map(pair).collect();
    let mut net = Net::with(&["b"], |config| config["keys"]["keyData"] = json!(pairs));
    pairs[0]["publicKey"].as_str().unwrap().clone_into(&mut net.nodes[0].public_key);
    net
}

async fn push(client: &Client, versions: &str, body: Bytes) -> Answer {
    let headers = [("content-type", "application/octet-stream"), ("tesseraSupportedApiVersions", versions)];
    client.request("POST", "/push", &headers, body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn both_codecs_are_taken_by_the_header_of_the_request() {
    let expected = &vectors()["end_to_end_computed"];
    let hash = expected["transactionHash_base64"].as_str().unwrap();
    for (versions, body) in [(OLD, "legacy_hex"), (NEW, "cbor_hex")] {
        let net = holder_of(&[2]);
        let _nodes = net.start().await;
        let b = net.node("b");
        let body = bytes(&expected["pushed_to_second_recipient"][body]);
        for _ in 0..2 {
            let answer = push(&b.peer_client(b), versions, body.clone()).await;
            assert_eq!((answer.status, answer.text()), (201, hash), "{versions}");
        }
        assert_eq!(b.client().receive(hash).await, (200, b"hello tessera".to_vec()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_for_two_of_our_keys_become_one_transaction() {
    let expected = &vectors()["end_to_end_computed"];
    let stored = PayloadCodec::Cbor.decode(&bytes(&expected["stored_by_sender"]["cbor_hex"])).unwrap();
    let net = holder_of(&[1, 2]);
    let _nodes = net.start().await;
    let b = net.node("b");
    let recipients: Vec<PublicKey> = stored.recipient_keys[..2].to_vec();
    let client = b.peer_client(b);
    let theirs = recipients.iter().map(|key| PayloadCodec::Cbor.encode(&stored.for_recipient(key).unwrap()));
    // At once: neither may be lost to the other.
    let answers = futures::future::join_all(theirs.map(|body| push(&client, NEW, body.into()))).await;
    assert!(answers.iter().all(|answer| answer.status == 201));

    let hash = answers[0].text();
    for key in &recipients {
        let to = key.to_string().replace('+', "%2B");
        let path = format!("/transaction/{}?to={to}", hash.replace('/', "%2F"));
        let headers = [("accept", "application/vnd.tessera-2.1+json")];
        let read = b.client().request("GET", &path, &headers, "").await;
        assert_eq!(read.status, 200, "{}", read.text());
        assert_eq!(read.json()["managedParties"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_payload_is_a_500_and_nothing_else_breaks() {
    let expected = &vectors()["end_to_end_computed"];
    let net = holder_of(&[2]);
    let _nodes = net.start().await;
    let b = net.node("b");
    let client = b.peer_client(b);
    let legacy = bytes(&expected["pushed_to_second_recipient"]["legacy_hex"]);
    for (versions, body) in [
        (OLD, Bytes::new()),
        (OLD, legacy.slice(..40)),
        (NEW, legacy.clone()),
        (NEW, Bytes::from_static(b"\xff")),
    ] {
        assert_eq!(push(&client, versions, body).await.status, 500);
    }
    let untyped = client.request("POST", "/push", &[], legacy.clone()).await;
    assert_eq!((untyped.status, untyped.text()), (500, "HTTP 415 Unsupported Media Type"));
    let hash = push(&client, OLD, legacy.clone()).await.text().to_owned();
    // Every bit flip of the head is an answer, never the end of the node or of what it keeps.
    for index in 0..60 {
        let mut flipped = legacy.to_vec();
        flipped[index] ^= 0x80;
        let answer = push(&client, OLD, flipped.into()).await;
        assert!([201, 500].contains(&answer.status), "{index}: {}", answer.status);
    }
    assert_eq!(b.client().receive(&hash).await, (200, b"hello tessera".to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_is_not_for_us_is_kept_and_cannot_be_read() {
    let expected = &vectors()["end_to_end_computed"];
    let net = Net::new(&["a"]);
    let _nodes = net.start().await;
    let a = net.node("a");
    let body = bytes(&expected["pushed_to_second_recipient"]["cbor_hex"]);
    let answer = push(&a.peer_client(a), NEW, body).await;
    assert_eq!(answer.status, 201);
    let hash = answer.text();
    let (status, text) = a.client().receive(hash).await;
    let says = format!("No suitable recipient keys found to decrypt payload for : {hash}");
    assert_eq!((status, String::from_utf8(text).unwrap()), (500, says));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_proven_by_opening_a_challenge_and_nothing_else_is_opened() {
    let net =
        Net::with(&["a", "b"], |config| config["features"] = json!({"enableRemoteKeyValidation": true}));
    // The control: who holds its keys proves them, or these would never meet.
    let _nodes = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let genuine: PublicKey = b.public_key.parse().unwrap();
    let invented = *KeyPair::generate().unwrap().public();
    let announce = async |keys: &[&PublicKey]| {
        let recipients = keys.iter().map(|key| (**key, b.p2p_url())).collect();
        let said = PartyInfo { url: b.p2p_url(), recipients, parties: Vec::new() };
        let octets = [("content-type", "application/octet-stream")];
        let answer = a.peer_client(b).request("POST", "/partyinfo", &octets, said.encode()).await;
        let known = a.peer_client(b).get("/partyinfo").await;
        (answer.status, known.text().contains(&invented.to_string()), known.text().contains(&b.public_key))
    };
    assert_eq!(announce(&[&invented]).await, (500, false, true), "nothing is proven");
    assert_eq!(announce(&[&genuine, &invented]).await, (200, false, true), "what is not proven is left out");
    let expected = &vectors()["end_to_end_computed"];
    let body = bytes(&expected["pushed_to_second_recipient"]["legacy_hex"]);
    let octets = [("content-type", "application/octet-stream")];
    let not_ours = b.peer_client(b).request("POST", "/partyinfo/validate", &octets, body.clone()).await;
    assert_eq!(not_ours.status, 404);

    let net = holder_of(&[2]);
    let _nodes = net.start().await;
    let b = net.node("b");
    let not_a_challenge = b.peer_client(b).request("POST", "/partyinfo/validate", &octets, body).await;
    assert_eq!((not_a_challenge.status, not_a_challenge.body.len()), (400, 0));
}
