//! Many requests at once: none is refused, none is lost, and the connections between nodes are few.

use std::collections::HashSet;

use futures::future::join_all;
use serde_json::json;

use crate::support::client::{OCTETS, request};
use crate::support::{Net, Spec};

const CALLERS: usize = 48;
const EACH: usize = 6;

/// TLS handshakes that the peers' port of `node` has made.
async fn handshakes(node: &Spec) -> u64 {
    node.metric("tessera_handshakes_total{port=\"P2p\"}").await
}

#[tokio::test(flavor = "multi_thread")]
async fn sends_that_overlap_arrive_once_each_over_few_connections() {
    let net = Net::new(&["a", "b", "c"]);
    let _nodes = net.start().await;
    let [a, b, c] = ["a", "b", "c"].map(|name| net.node(name));
    let before = handshakes(b).await + handshakes(c).await;
    assert!(before > 0, "handshakes are counted: the nodes have met");
    let callers = (0..CALLERS).map(async |caller| {
        let mut session = a.client().session().await.expect("a handshake");
        let mut sent = Vec::new();
        for round in 0..EACH {
            let message = format!("{caller} {round}").into_bytes();
            let to = [b.public_key.as_str(), &c.public_key];
            let to = if round % 2 == 0 { &to[..1] } else { &to[..] };
            sent.push((session.send(&message, to).await, message, to.len() == 2));
        }
        sent
    });
    let sent: Vec<_> = join_all(callers).await.into_iter().flatten().collect();
    assert_eq!(sent.iter().map(|(hash, ..)| hash).collect::<HashSet<_>>().len(), CALLERS * EACH);

    let made = handshakes(b).await + handshakes(c).await - before;
    let pushes = u64::try_from(CALLERS * EACH * 3 / 2).unwrap();
    assert!(made * 4 < pushes, "{made} handshakes for {pushes} pushes");

    for node in [a, b, c] {
        let mut session = node.client().session().await.expect("a handshake");
        for (hash, message, to_both) in &sent {
            if node.name != "c" || *to_both {
                assert_eq!(session.receive(hash).await, (200, message.clone()), "{}", node.name);
            } else {
                assert_eq!(session.receive(hash).await.0, 404);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_payloads_and_octets_overlap_as_well() {
    let net = Net::new(&["a", "b"]);
    let _nodes = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let signed = (0..CALLERS / 2).map(async |caller| {
        let mut session = a.client().session().await.expect("a handshake");
        let message = format!("signed {caller}").into_bytes();
        let payload = json!({"payload": tessera_enclave::base64::encode(&message)}).to_string();
        let stored = session.post_json("/storeraw", payload).await;
        assert_eq!(stored.status, 200, "{}", stored.text());
        let hash = stored.json()["key"].as_str().unwrap().to_owned();
        let request = json!({"hash": hash, "to": [b.public_key]}).to_string();
        let sent = session.post_json("/sendsignedtx", request).await;
        assert_eq!(sent.status, 201, "{}", sent.text());
        (hash, message)
    });
    let octets = (0..CALLERS / 2).map(async |caller| {
        let mut session = a.client().session().await.expect("a handshake");
        let message = format!("octets {caller}").into_bytes();
        let headers = [OCTETS, ("c11n-to", b.public_key.as_str())];
        let sent = session.try_send(request("POST", "/sendraw", &headers, message.clone())).await;
        let sent = sent.expect("an answer");
        assert_eq!(sent.status, 200, "{}", sent.text());
        (sent.text().to_owned(), message)
    });
    let (signed, octets) = tokio::join!(join_all(signed), join_all(octets));
    let reads = signed.iter().chain(&octets).map(async |(hash, message)| {
        assert_eq!(b.client().receive(hash).await, (200, message.clone()));
    });
    join_all(reads).await;
}

/// All of them are one transaction: one is stored, and the others are told so.
#[tokio::test(flavor = "multi_thread")]
async fn one_raw_payload_that_is_sent_many_times_at_once_is_one_transaction() {
    let net = Net::new(&["a", "b"]);
    let _nodes = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let stored = a.client().post_json("/storeraw", json!({"payload": "aGVsbG8="}).to_string()).await;
    let hash = stored.json()["key"].as_str().unwrap().to_owned();
    let request = json!({"hash": hash, "to": [b.public_key]}).to_string();
    let answers =
        join_all((0..16).map(async |_| a.client().post_json("/sendsignedtx", request.clone()).await));
    for answer in answers.await {
        assert_eq!((answer.status, answer.json()["key"].as_str()), (201, Some(hash.as_str())));
    }
    for node in [a, b] {
        assert_eq!(node.client().receive(&hash).await, (200, b"hello".to_vec()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_always_sent_to_gets_every_payload() {
    let mut net = Net::new(&["a", "b", "c"]);
    let always = net.node("c").public_key.clone();
    net.nodes[0].config["alwaysSendTo"] = json!([always]);
    net.nodes[0].write_config();
    let mut nodes = net.start().await;
    let [a, b, c] = ["a", "b", "c"].map(|name| net.node(name));
    let for_b = a.client().send(b"to b", &[&b.public_key]).await;
    let for_nobody = a.client().send(b"to nobody", &[]).await;
    let for_c_twice = a.client().send(b"to c", &[&c.public_key]).await;
    assert_eq!(c.client().receive(&for_b).await, (200, b"to b".to_vec()));
    assert_eq!(c.client().receive(&for_nobody).await, (200, b"to nobody".to_vec()));
    assert_eq!(c.client().receive(&for_c_twice).await, (200, b"to c".to_vec()));
    assert_eq!(b.client().receive(&for_nobody).await.0, 404);
    // Only the node that is configured so does it.
    let other = b.client().send(b"from b", &[&a.public_key]).await;
    assert_eq!(c.client().receive(&other).await.0, 404);

    // A copy that must be made and cannot be made is a failure of the send.
    nodes.pop().unwrap().stop().await;
    let body = json!({"payload": "aGk=", "to": [b.public_key]}).to_string();
    assert_eq!(a.client().post_json("/send", body).await.status, 410);
}
