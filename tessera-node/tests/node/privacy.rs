//! What a ledger node asks about a transaction besides its message.

use serde_json::json;

use crate::support::Net;
use crate::support::client::{Client, segment};

async fn ask(client: &Client, hash: &str, what: &str) -> (u16, String, String) {
    let answer = client.get(&format!("/transaction/{}/{what}", segment(hash))).await;
    (answer.status, answer.header("content-type").to_owned(), answer.text().to_owned())
}

fn text(status: u16, text: &str) -> (u16, String, String) {
    (status, "text/plain".to_owned(), text.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn sender_participants_and_mandatory_recipients_are_answered() {
    let net = Net::with(&["a", "b", "c"], |config| {
        config["features"] = json!({"enablePrivacyEnhancements": true});
    });
    let _nodes = net.start().await;
    let [a, b, c] = ["a", "b", "c"].map(|name| net.node(name));
    let kind = "application/vnd.tessera-4.0+json";
    let body = json!({
        "payload": "aGVsbG8=", "to": [b.public_key, c.public_key], "privacyFlag": 2,
        "mandatoryRecipients": [c.public_key],
    });
    let headers = [("content-type", kind), ("accept", kind)];
    let sent = a.client().request("POST", "/send", &headers, body.to_string()).await;
    assert_eq!(sent.status, 201, "{}", sent.text());
    let hash = sent.json()["key"].as_str().unwrap().to_owned();

    assert_eq!(ask(&a.client(), &hash, "isSender").await, text(200, "true"));
    assert_eq!(ask(&c.client(), &hash, "isSender").await, text(200, "false"));
    let all = [&b.public_key, &c.public_key, &a.public_key].map(String::as_str).join(",");
    assert_eq!(ask(&a.client(), &hash, "participants").await, text(200, &all));
    for node in [a, b, c] {
        assert_eq!(ask(&node.client(), &hash, "mandatory").await, text(200, &c.public_key), "{}", node.name);
    }

    let standard = a.client().send(b"hello", &[&b.public_key]).await;
    let says = "Operation invalid. Transaction found is not a mandatory recipients privacy type";
    assert_eq!(ask(&a.client(), &standard, "mandatory").await, text(400, says));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_or_malformed_hash_is_answered_as_by_java() {
    let net = Net::new(&["a"]);
    let _nodes = net.start().await;
    let client = net.node("a").client();
    for what in ["isSender", "participants", "mandatory"] {
        assert_eq!(ask(&client, "aGk=", what).await, text(404, "Message with hash aGk= was not found"));
        let status = if what == "isSender" { 400 } else { 500 };
        assert_eq!(ask(&client, "!!!!", what).await, text(status, "Illegal base64 character 21"), "{what}");
        let path = format!("/transaction/aGk=/{what}");
        let json = client.request("GET", &path, &[("accept", "application/json")], "").await;
        assert_eq!((json.status, json.text()), (500, "HTTP 406 Not Acceptable"));
        let post = client.request("POST", &path, &[], "").await;
        assert_eq!((post.status, post.text()), (500, "HTTP 405 Method Not Allowed"));
    }
}
