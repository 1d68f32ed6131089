//! The way of a payload: to its recipient, and to nobody else.

use serde_json::json;

use crate::support::client::segment;
use crate::support::{Net, Spec};

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_reaches_its_recipient_and_nobody_else() {
    let net = Net::new(&["a", "b", "c"]);
    let nodes = net.start().await;
    let [a, b, c] = ["a", "b", "c"].map(|name| net.node(name));

    let hash = a.client().send(b"hello", &[&b.public_key]).await;
    assert_eq!(hash.len(), 88);
    assert_eq!(a.client().receive(&hash).await, (200, b"hello".to_vec()));
    assert_eq!(b.client().receive(&hash).await, (200, b"hello".to_vec()));
    let unknown = format!("Message with hash {hash} was not found");
    assert_eq!(c.client().receive(&hash).await, (404, unknown.into_bytes()));

    // The same call with C among the recipients succeeds at C.
    let hash = a.client().send(b"hello", &[&b.public_key, &c.public_key]).await;
    assert_eq!(c.client().receive(&hash).await, (200, b"hello".to_vec()));
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_media_type_has_its_own_answer() {
    let net = Net::new(&["a", "b"]);
    let _nodes = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let body = json!({"payload": "aGVsbG8=", "to": [b.public_key]}).to_string();

    let plain = a.client().post_json("/send", body.clone()).await;
    assert_eq!(plain.json().as_object().unwrap().len(), 1);
    let hash = plain.json()["key"].as_str().unwrap().to_owned();
    let encoded = hash.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D");
    assert_eq!(plain.header("location"), format!("https://node/transaction/{encoded}"));

    for version in ["2.1", "3.0", "4.0"] {
        let kind = format!("application/vnd.tessera-{version}+json");
        let headers = [("content-type", kind.as_str()), ("accept", kind.as_str())];
        let answer = a.client().request("POST", "/send", &headers, body.clone()).await;
        assert_eq!((answer.status, answer.header("content-type")), (201, kind.as_str()));
        assert_eq!(answer.json()["senderKey"], json!(a.public_key));
        assert_eq!(answer.json()["managedParties"], json!([a.public_key]));
    }
    let headers = [("accept", "application/vnd.tessera-2.1+json")];
    let read = b.client().request("GET", &format!("/transaction/{}", segment(&hash)), &headers, "").await;
    assert_eq!(read.json()["managedParties"], json!([b.public_key]));
    assert_eq!(read.json()["senderKey"], json!(a.public_key));
    let plain = b.client().get(&format!("/transaction/{}", segment(&hash))).await;
    assert_eq!(
        plain.text(),
        r#"{"payload":"aGVsbG8=","affectedContractTransactions":[],"execHash":"","privacyFlag":0}"#
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_payload_is_stored_then_sent_and_sent_again() {
    let net = Net::new(&["a", "b"]);
    let _nodes = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));

    let stored = a.client().post_json("/storeraw", json!({"payload": "aGVsbG8="}).to_string()).await;
    assert_eq!(stored.status, 200);
    let hash = stored.json()["key"].as_str().unwrap().to_owned();
    assert_eq!(a.client().receive(&hash).await.0, 404, "raw payloads are no transactions");
    let raw = a.client().get(&format!("/transaction/{}?isRaw=true", segment(&hash))).await;
    assert_eq!((raw.status, raw.json()["payload"].as_str()), (200, Some("aGVsbG8=")));

    // A retry is answered like the first: the recipient nonce is derived.
    for _ in 0..2 {
        let body = json!({"hash": hash, "to": [b.public_key]}).to_string();
        let sent = a.client().post_json("/sendsignedtx", body).await;
        assert_eq!((sent.status, sent.json()["key"].as_str()), (201, Some(hash.as_str())), "{}", sent.text());
    }
    assert_eq!(b.client().receive(&hash).await, (200, b"hello".to_vec()));
    // Other recipients for the same payload cannot be kept here.
    let other = a.client().post_json("/sendsignedtx", json!({"hash": hash}).to_string()).await;
    assert_eq!(other.status, 500);
    assert!(other.text().contains("unique constraint"));
}

#[tokio::test(flavor = "multi_thread")]
async fn octets_are_sent_and_received_as_they_are() {
    let net = Net::new(&["a", "b"]);
    let _nodes = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let octets = ("content-type", "application/octet-stream");

    let headers = [octets, ("c11n-from", a.public_key.as_str()), ("c11n-to", b.public_key.as_str())];
    let sent = a.client().request("POST", "/sendraw", &headers, &b"\x00\xff raw"[..]).await;
    assert_eq!((sent.status, sent.header("content-type")), (200, "text/plain"));
    let hash = sent.text().to_owned();
    let received = b.client().request("GET", "/receiveraw", &[("c11n-key", &hash)], "").await;
    assert_eq!((received.status, &received.body[..]), (200, &b"\x00\xff raw"[..]));
    assert_eq!(received.header("content-type"), "application/octet-stream");

    let stored = a.client().post_json("/storeraw", json!({"payload": "aGk="}).to_string()).await;
    let raw_hash = tessera_enclave::base64::decode_strict(stored.json()["key"].as_str().unwrap()).unwrap();
    let headers = [octets, ("c11n-to", b.public_key.as_str())];
    let signed = a.client().request("POST", "/sendsignedtx", &headers, raw_hash).await;
    assert_eq!((signed.status, signed.text()), (200, stored.json()["key"].as_str().unwrap()));
    assert_eq!(b.client().receive(signed.text()).await, (200, b"hi".to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_payload_goes_through() {
    let net = Net::new(&["a", "b"]);
    let _nodes = net.start().await;
    let message: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let hash = net.node("a").client().send(&message, &[&net.node("b").public_key]).await;
    assert_eq!(net.node("b").client().receive(&hash).await, (200, message));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offline_recipient_is_a_410_and_an_unknown_one_a_404() {
    let net = Net::new(&["a", "b"]);
    let mut nodes = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));
    nodes.pop().unwrap().stop().await;

    let body = json!({"payload": "aGk=", "to": [b.public_key]}).to_string();
    let offline = a.client().post_json("/send", body.clone()).await;
    assert_eq!(offline.status, 410);
    assert!(offline.text().contains(&format!("Connection error while communicating with {}", b.p2p_url())));
    // Its key stays known, however often it fails.
    assert_eq!(a.client().post_json("/send", body).await.status, 410);

    let nobody = Spec { public_key: tessera_enclave::base64::encode(&[7; 32]), ..b.clone() };
    let body = json!({"payload": "aGk=", "to": [nobody.public_key]}).to_string();
    let unknown = a.client().post_json("/send", body).await;
    assert_eq!(
        (unknown.status, unknown.text()),
        (404, &*format!("Recipient not found for key: {}", nobody.public_key))
    );
}
