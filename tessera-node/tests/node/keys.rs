//! Keys that live in the secret store: generated once, then read, and the store may go away.

use serde_json::{Value, json};

use crate::support::store::{SecretStore, ask_for};
use crate::support::{Net, Spec, eventually};

async fn vaulted() -> (Net, SecretStore) {
    let store = SecretStore::start().await;
    let mut net = Net::new(&["a"]);
    store.serve(&mut net.nodes[0], 1);
    (net, store)
}

async fn status(node: &Spec) -> Value {
    node.operator_client().get("/v1/status").await.json()
}

async fn status_when(node: &Spec, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    eventually(what, async || {
        let status = node.operator_client().try_get("/v1/status").await?.json();
        holds(&status).then_some(status)
    })
    .await
}

fn is_ready(status: &Value) -> bool {
    status["ready"] == json!(true)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_generated_once_and_its_login_is_revoked_at_the_end() {
    let (net, store) = vaulted().await;
    let a = net.node("a");
    let running = a.start();
    let first = status_when(a, "it is ready", is_ready).await;
    let key = &first["keys"][0];
    assert_eq!(
        (&key["name"], &key["version"], &key["state"]),
        (&json!("main"), &json!(1), &json!("Default"))
    );
    assert!(key["bornAt"].is_string() && key["storePath"].as_str().unwrap().ends_with("/main/1"));
    assert_eq!(first["secretStore"]["available"], json!(true));
    let hash = a.client().send(b"mine", &[]).await;
    assert!(!store.saw("revoke-self"));
    running.stop().await;
    assert!(store.saw("revoke-self"), "the token outlives the node");

    let secrets = store.secrets();
    assert_eq!(secrets.len(), 1);
    assert!(secrets.keys().next().unwrap().ends_with("/keys/main/1"));
    let _again = a.start();
    let second = status_when(a, "it is ready again", is_ready).await;
    for member in ["name", "version", "publicKey", "state", "bornAt", "storePath", "trigger"] {
        assert_eq!(second["keys"][0][member], first["keys"][0][member], "{member}");
    }
    assert_eq!(store.secrets(), secrets);
    assert_eq!(a.client().receive(&hash).await, (200, b"mine".to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_store_is_named_and_awaited() {
    let (net, store) = vaulted().await;
    let a = net.node("a");
    store.seal(true);
    let _running = a.start();
    let waiting =
        status_when(a, "it says what it awaits", |status| status["awaiting"].to_string().contains("sealed"))
            .await;
    assert_eq!(waiting["ready"], json!(false));
    assert!(a.client().try_get("/upcheck").await.is_none(), "it serves without keys");
    store.seal(false);
    status_when(a, "it heals", is_ready).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn losing_the_store_after_the_start_is_a_condition_only() {
    let (net, store) = vaulted().await;
    let a = net.node("a");
    let _running = a.start();
    status_when(a, "it is ready", is_ready).await;
    store.seal(true);
    let lost =
        status_when(a, "the loss is seen", |status| status["secretStore"]["available"] == json!(false)).await;
    assert!(is_ready(&lost), "{lost}");
    let hash = a.client().send(b"meanwhile", &[]).await;
    assert_eq!(a.client().receive(&hash).await.0, 200);
    store.seal(false);
    status_when(a, "it heals", |status| status["secretStore"]["available"] == json!(true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_version_is_generated_without_a_restart_and_the_old_one_still_reads() {
    let (net, store) = vaulted().await;
    let a = net.node("a");
    let _running = a.start();
    let old = status_when(a, "it is ready", is_ready).await["keys"][0]["publicKey"].clone();
    let hash = a.client().send(b"before", &[]).await;

    ask_for(a, 2);
    let rotated =
        status_when(a, "there are two", |status| status["keys"].as_array().unwrap().len() == 2).await;
    assert_eq!((&rotated["keys"][0]["publicKey"], &rotated["keys"][0]["state"]), (&old, &json!("Receiving")));
    assert_eq!(rotated["keys"][1]["state"], json!("Default"));
    assert_eq!(store.secrets().len(), 2);
    let new = rotated["keys"][1]["publicKey"].as_str().unwrap();
    a.wait_until_knows(new).await;
    a.wait_until_knows(old.as_str().unwrap()).await;
    assert_eq!(a.client().receive(&hash).await, (200, b"before".to_vec()));
    let vendor = "application/vnd.tessera-2.1+json";
    let headers = [("content-type", vendor), ("accept", vendor)];
    let sent = a.client().request("POST", "/send", &headers, r#"{"payload":"aGk="}"#).await;
    assert_eq!(sent.json()["senderKey"], json!(new));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_configured_key_is_missing_unknown_is_unavailable() {
    let (net, store) = vaulted().await;
    let a = net.node("a");
    let _running = a.start();
    status_when(a, "it is ready", is_ready).await;
    assert_eq!(a.client().receive("aGk=").await.0, 404);
    store.seal(true);
    ask_for(a, 2);
    eventually("the answer is no longer sure", async || {
        (a.client().receive("aGk=").await.0 == 503).then_some(())
    })
    .await;
    let waiting = status(a).await;
    assert!(is_ready(&waiting));
    let failures = waiting["keyFailures"].to_string();
    assert!(failures.contains("key main version 2") && failures.contains("sealed"), "{failures}");
    store.seal(false);
    eventually("it is sure again", async || (a.client().receive("aGk=").await.0 == 404).then_some(())).await;
}
