//! Versions of a key: which the node advertises, what each takes, and what each still reads.

use serde_json::{Value, json};

use crate::support::client::send_body;
use crate::support::store::{SecretStore, ask_for, ask_for_key};
use crate::support::{Net, Spec, eventually};

/// `a` with keys of files, `b` with one in the store.
async fn two_nodes() -> (Net, SecretStore) {
    let store = SecretStore::start().await;
    let mut net = Net::new(&["a", "b"]);
    let b = net.nodes.iter_mut().find(|node| node.name == "b").unwrap();
    store.serve(b, 1);
    (net, store)
}

async fn keys_when(node: &Spec, what: &str, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    eventually(what, async || {
        let status = node.operator_client().try_get("/v1/status").await?.json();
        let keys = status["keys"].as_array().cloned().unwrap_or_default();
        (status["ready"] == json!(true) && holds(&keys)).then_some(keys)
    })
    .await
}

fn public(key: &Value) -> &str {
    key["publicKey"].as_str().unwrap()
}

fn states(keys: &[Value]) -> Vec<&str> {
    keys.iter().map(|key| key["state"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_knows_only_the_old_key_still_sends_and_archiving_ends_that() {
    let (net, _store) = two_nodes().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let _nodes = [a.start(), b.start()];
    let old = keys_when(b, "b has a key", |keys| keys.len() == 1).await;
    let old = public(&old[0]);
    a.wait_until_knows(old).await;
    let before = a.client().send(b"before", &[old]).await;

    ask_for(b, 2);
    let rotated = keys_when(b, "b has two", |keys| keys.len() == 2).await;
    assert_eq!(states(&rotated), ["Receiving", "Default"]);
    assert!(rotated[0]["lastPushedAt"].is_null(), "the push came while it was the default");
    let between = a.client().send(b"between", &[old]).await;
    let pushed = keys_when(b, "the push is seen", |keys| !keys[0]["lastPushedAt"].is_null()).await;
    assert!(pushed[1]["lastPushedAt"].is_null(), "nothing was sent to the new one");

    ask_for_key(b, &json!({"name": "main", "versions": 2, "default": true, "archived": [1]}));
    let archived = keys_when(b, "it is archived", |keys| states(keys) == ["Archived", "Default"]).await;
    // `a` may not have read that it is gone: what it still sends is refused by `b`.
    let refused = a.client().post_json("/send", send_body(b"late", &[old])).await;
    assert!(refused.status == 500 || refused.status == 404, "{} {}", refused.status, refused.text());
    let new = public(&archived[1]);
    a.wait_until_knows(new).await;
    eventually("the old key is no longer advertised", async || {
        let answer = a.client().post_json("/send", send_body(b"later", &[old])).await;
        (answer.status == 404).then_some(())
    })
    .await;

    let after = a.client().send(b"after", &[new]).await;
    for (hash, message) in [(before, "before"), (between, "between"), (after, "after")] {
        assert_eq!(b.client().receive(&hash).await, (200, message.as_bytes().to_vec()), "{message}");
    }
    let from_old: Value = serde_json::from_str(&send_body(b"mine", &[])).unwrap();
    let from_old = json!({"payload": from_old["payload"], "from": old}).to_string();
    let refused = b.client().post_json("/send", from_old).await;
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("is archived"), "{}", refused.text());
    let own = b.client().post_json("/send", send_body(b"mine", &[old])).await;
    assert_eq!(own.status, 403, "{}", own.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_version_of_the_default_key_is_never_archived() {
    let (net, _store) = two_nodes().await;
    let b = net.node("b");
    let _running = b.start();
    ask_for_key(b, &json!({"name": "main", "versions": 2, "default": true, "archived": [1, 2]}));
    keys_when(b, "one is left", |keys| states(keys) == ["Archived", "Default"]).await;
    b.client().send(b"mine", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_no_manifest_names_is_found_again_with_the_trigger_that_it_answers() {
    let (net, store) = two_nodes().await;
    let b = net.node("b");
    let running = b.start();
    keys_when(b, "b has a key", |keys| keys.len() == 1).await;
    // By schedule: another version, and no other trigger.
    ask_for_key(b, &json!({"name": "main", "versions": 2, "default": true, "trigger": 0}));
    let rotated = keys_when(b, "b has two", |keys| keys.len() == 2).await;
    assert_eq!((&rotated[0]["trigger"], &rotated[1]["trigger"]), (&json!(0), &json!(0)));
    running.stop().await;
    // The operator was rebuilt from manifests, which name one.
    ask_for(b, 1);
    let _again = b.start();
    let found = keys_when(b, "both are found", |keys| keys.len() == 2).await;
    assert_eq!((public(&found[1]), states(&found)), (public(&rotated[1]), vec!["Receiving", "Default"]));
    assert_eq!(store.secrets().len(), 2, "nothing was generated");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_version_reads_what_it_sealed_when_it_was_generated_and_a_lost_payload_is_said() {
    let (net, store) = two_nodes().await;
    let b = net.node("b");
    let running = b.start();
    ask_for(b, 2);
    let outcome = |key: &Value| key["sample"]["outcome"].clone();
    let read = |keys: &[Value]| keys.len() == 2 && keys.iter().all(|key| outcome(key) == json!("Read"));
    keys_when(b, "both read their sample", read).await;
    running.stop().await;

    let another = "A".repeat(86) + "==";
    store.change("/keys/main/1", |record| record["sample"] = json!(another));
    let _again = b.start();
    keys_when(b, "the first does not find it", |keys| {
        keys.len() == 2 && outcome(&keys[0]) == json!("Missing") && outcome(&keys[1]) == json!("Read")
    })
    .await;
}
