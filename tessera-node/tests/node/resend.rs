//! A peer asks for one payload: it gets only what is for a key that it proved to hold.

use serde_json::json;
use tessera_enclave::{PayloadCodec, PublicKey};

use crate::repair::damage;
use crate::support::client::Answer;
use crate::support::{Net, Spec};

/// `caller` asks `node` for what is for `key`.
async fn ask(node: &Spec, caller: &Spec, key: &str, hash: &str) -> Answer {
    let body = json!({"type": "INDIVIDUAL", "publicKey": key, "key": hash}).to_string();
    node.peer_client(caller).post_json("/resend", body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn recipient_and_sender_get_their_parts() {
    let net = Net::new(&["a", "b", "c"]);
    let _nodes = net.start().await;
    let [a, b, c] = ["a", "b", "c"].map(|name| net.node(name));
    let keys = [a, b, c].map(|node| node.public_key.parse::<PublicKey>().unwrap());
    let hash = a.client().send(b"kept", &[&b.public_key, &c.public_key]).await;

    let given = ask(a, b, &b.public_key, &hash).await;
    assert_eq!((given.status, given.header("content-type")), (200, "text/plain"));
    let part = PayloadCodec::Legacy.decode(&given.body).unwrap();
    assert_eq!((part.hash().to_string(), part.sender), (hash.clone(), keys[0]));
    assert_eq!((&part.recipient_keys[..], part.recipient_boxes.len()), (&keys[1..2], 1));

    let given = ask(c, a, &a.public_key, &hash).await;
    assert_eq!(given.status, 200, "{}", given.text());
    let part = PayloadCodec::Legacy.decode(&given.body).unwrap();
    assert_eq!((part.hash().to_string(), part.sender), (hash, keys[0]));
    assert_eq!((&part.recipient_keys[..], part.recipient_boxes.len()), (&keys[2..], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_what_is_for_another() {
    let net = Net::new(&["a", "b", "c"]);
    let _nodes = net.start().await;
    let [a, b, c] = ["a", "b", "c"].map(|name| net.node(name));
    let hash = a.client().send(b"kept", &[&b.public_key]).await;
    let unknown = tessera_enclave::base64::encode(&[7; 64]);

    // Under keys that it has not proven, whether they are a party or not.
    for key in [&b.public_key, &a.public_key, &tessera_enclave::base64::encode(&[9; 32])] {
        let refused = ask(a, c, key, &hash).await;
        let says = format!("this node has not seen a proof that the caller holds {key}, ");
        assert_eq!(refused.status, 403);
        assert!(refused.text().starts_with(&says), "{}", refused.text());
    }
    // Under its own key it cannot tell a payload of others from none.
    for hash in [&hash, &unknown] {
        let refused = ask(a, c, &c.public_key, hash).await;
        let says = format!("Message with hash {hash} was not found");
        assert_eq!((refused.status, refused.text()), (404, says.as_str()));
    }
    // A recipient is not given the boxes of others by a recipient.
    assert_eq!(ask(b, c, &c.public_key, &hash).await.status, 404);
    let all = json!({"type": "ALL", "publicKey": b.public_key}).to_string();
    assert_eq!(a.peer_client(b).post_json("/resend", all).await.status, 403);
    // No ledger comes this far.
    let ledger = json!({"type": "INDIVIDUAL", "publicKey": b.public_key, "key": hash}).to_string();
    assert_eq!(a.client().post_json("/resend", ledger).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn enhanced_privacy_is_not_resent() {
    let net = Net::with(&["a", "b"], |config| {
        config["features"] = json!({"enablePrivacyEnhancements": true});
    });
    let _nodes = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let body = json!({"payload": "aGVsbG8=", "to": [b.public_key], "privacyFlag": 1});
    let sent = a.client().post_json("/send", body.to_string()).await;
    let hash = sent.json()["key"].as_str().unwrap().to_owned();
    let refused = ask(a, b, &b.public_key, &hash).await;
    let says = "Cannot resend enhanced privacy transaction in legacy resend";
    assert_eq!((refused.status, refused.text()), (403, says));
}

#[tokio::test(flavor = "multi_thread")]
async fn absent_foreign_and_damaged_payloads_are_answered_alike() {
    let net = Net::new(&["a", "b", "c"]);
    let mut nodes = net.start().await;
    let [a, b, c] = ["a", "b", "c"].map(|name| net.node(name));
    let absent = tessera_enclave::base64::encode(&[7; 64]);
    let foreign = a.client().send(b"of others", &[&b.public_key]).await;
    let foreign_damaged = a.client().send(b"damaged", &[&b.public_key]).await;
    let own_damaged = a.client().send(b"damaged as well", &[&c.public_key]).await;
    let foreign_large = a.client().send(&vec![7; 2 << 20], &[&b.public_key]).await;
    damage(&net, &mut nodes, "a", &foreign_damaged).await;
    damage(&net, &mut nodes, "a", &own_damaged).await;
    a.wait_until_knows(&c.public_key).await;

    for hash in [&absent, &foreign, &foreign_damaged, &own_damaged, &foreign_large] {
        // Twice: the first read of a damaged record finds the damage.
        for _ in 0..2 {
            let refused = ask(a, c, &c.public_key, hash).await;
            let says = format!("Message with hash {hash} was not found");
            assert_eq!((refused.status, refused.text()), (404, says.as_str()));
            assert_eq!(refused.header("retry-after"), "");
        }
    }
}
