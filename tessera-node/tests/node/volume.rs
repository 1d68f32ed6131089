//! A volume that is lost and replaced: 503 until a person accepts the loss, and never 404 before.

use serde_json::{Value, json};

use crate::support::store::{SecretStore, ask_for};
use crate::support::{Net, Spec, eventually};

async fn with_secret_store() -> (Net, SecretStore) {
    let store = SecretStore::start().await;
    let mut net = Net::new(&["a"]);
    store.serve(&mut net.nodes[0], 1);
    (net, store)
}

async fn status_when(node: &Spec, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    eventually(what, async || {
        let status = node.operator_client().try_get("/v1/status").await?.json();
        (status["ready"] == json!(true) && holds(&status)).then_some(status)
    })
    .await
}

async fn store_of(node: &Spec) -> Value {
    status_when(node, "the node is ready", |_| true).await["payloadStore"].clone()
}

/// Renames the volume's directory, so that it can come back.
fn remove_volume(node: &Spec, name: &str) {
    std::fs::rename(node.dir.join("data"), node.dir.join(name)).unwrap();
}

/// Writes the dynamic configuration, and waits until the node uses it.
async fn accept(node: &Spec, store: &Value) {
    let before = status_when(node, "the node is ready", |_| true).await["dynamicConfigSha256"].clone();
    let file = node.dir.join("dynamic.json");
    let mut dynamic: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    dynamic["acceptedPayloadStore"] = store.clone();
    std::fs::write(file, dynamic.to_string()).unwrap();
    status_when(node, "it is used", |status| status["dynamicConfigSha256"] != before).await;
}

async fn code(node: &Spec, hash: &str) -> u16 {
    node.client().receive(hash).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_of_a_lost_volume_is_unavailable_until_the_loss_is_accepted_once() {
    let (net, _store) = with_secret_store().await;
    let a = net.node("a");
    let running = a.start();
    let first = store_of(a).await;
    assert_eq!(first["lost"], json!([]), "the key was generated with this store");
    let lost = a.client().send(b"before", &[]).await;
    running.stop().await;
    remove_volume(a, "lost");

    let running = a.start();
    let second = store_of(a).await;
    assert_eq!(second["lost"], json!([first["id"]]));
    assert_eq!(code(a, &lost).await, 503, "it may have been acknowledged");
    let kept = a.client().send(b"after", &[]).await;
    assert_eq!(code(a, &kept).await, 200, "new payloads are served");
    accept(a, &first["id"]).await;
    assert_eq!(store_of(a).await, second, "the acceptance of another store accepts nothing");
    assert_eq!(code(a, &lost).await, 503);
    accept(a, &second["id"]).await;
    status_when(a, "it is accepted", |status| status["payloadStore"]["lost"] == json!([])).await;
    assert_eq!(code(a, &lost).await, 404);
    assert_eq!(code(a, &kept).await, 200);
    accept(a, &Value::Null).await;
    running.stop().await;

    let running = a.start();
    assert_eq!(store_of(a).await["lost"], json!([]), "the acceptance is durable");
    assert_eq!(code(a, &lost).await, 404);
    accept(a, &second["id"]).await;
    running.stop().await;
    remove_volume(a, "lost again");

    let _running = a.start();
    assert_eq!(store_of(a).await["lost"], json!([first["id"]]), "an acceptance is for one store");
    assert_eq!(code(a, &kept).await, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_on_the_same_volume_is_no_loss_and_an_old_volume_beside_newer_keys_is() {
    let (net, _store) = with_secret_store().await;
    let a = net.node("a");
    let running = a.start();
    let first = store_of(a).await;
    ask_for(a, 2);
    let rotated =
        status_when(a, "there are two keys", |status| status["keys"].as_array().unwrap().len() == 2).await;
    assert_eq!(rotated["payloadStore"], first, "the second key was generated with the same store");
    running.stop().await;
    let running = a.start();
    assert_eq!(store_of(a).await, first);
    running.stop().await;
    remove_volume(a, "first");

    let running = a.start();
    let second = store_of(a).await;
    ask_for(a, 3);
    status_when(a, "there are three keys", |status| status["keys"].as_array().unwrap().len() == 3).await;
    let sent = a.client().send(b"on the second volume", &[]).await;
    running.stop().await;
    remove_volume(a, "second");
    std::fs::rename(a.dir.join("first"), a.dir.join("data")).unwrap();

    let _running = a.start();
    let restored = store_of(a).await;
    assert_eq!((&restored["id"], &restored["lost"]), (&first["id"], &json!([second["id"]])));
    assert_eq!(code(a, &sent).await, 503, "the second volume acknowledged it");
}
