//! A key of a Java Tessera that a node adopts: once, into the secret store, and whatever is wrong is said and heals by itself.

use std::path::PathBuf;

use serde_json::{Value, json};
use tessera_enclave::PrivateKey;
use tessera_enclave::keyfile::{ArgonOptions, ArgonVariant, KeyFile};

use crate::support::store::{SecretStore, ask_for_key};
use crate::support::{Net, Spec, eventually};

const PUBLIC: &str = "BULeR8JyUWhiuuCMU/HLA0Q5pzkYT+cHII3ZKBey3Bo=";
const PRIVATE: &str = "Wl+xSyXVuuqzpvznOS7dOobhcn4C5auxkFRi7yLtgtA=";
const OTHER_PUBLIC: &str = "yGcjkFyZklTTXrn8+WIkYwicA2EGBn9wZFkctAad4X0=";
const PASSWORD: &str = "correct horse";

async fn importing() -> (Net, SecretStore) {
    let store = SecretStore::start().await;
    let mut net = Net::new(&["a", "b"]);
    let b = net.nodes.iter_mut().find(|node| node.name == "b").unwrap();
    store.serve(b, 1);
    ask(b, 1, Some(&json!({"publicKey": PUBLIC})));
    (net, store)
}

/// Asks for the key, to be imported from the two files of [`put`] with what `import` adds.
fn ask(node: &Spec, versions: u32, import: Option<&Value>) {
    let mut key = json!({"name": "main", "versions": versions, "default": true});
    if let Some(more) = import {
        key["import"] = json!({"file": path(node, "key"), "passwordFile": path(node, "password")});
        key["import"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    }
    ask_for_key(node, &key);
}

fn path(node: &Spec, file: &str) -> PathBuf {
    node.dir.join("import").join(file)
}

/// As a Secret arrives: whole.
fn put(node: &Spec, file: &str, text: &str) {
    std::fs::create_dir_all(node.dir.join("import")).unwrap();
    let new = path(node, "new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path(node, file)).unwrap();
}

fn remove_both(node: &Spec) {
    std::fs::remove_dir_all(node.dir.join("import")).unwrap();
}

fn locked() -> String {
    let bytes = tessera_enclave::base64::decode_strict(PRIVATE).unwrap();
    let key = PrivateKey::from_slice(&bytes).unwrap();
    let argon = ArgonOptions { variant: ArgonVariant::Id, memory: 64, iterations: 1, parallelism: 4 };
    KeyFile::locked(&key, PASSWORD.as_bytes(), argon).unwrap().to_json().to_string()
}

fn unlocked() -> String {
    format!(r#"{{"type":"unlocked","data":{{"bytes":"{PRIVATE}"}}}}"#)
}

async fn status_when(node: &Spec, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    eventually(what, async || {
        let status = node.operator_client().try_get("/v1/status").await?.json();
        holds(&status).then_some(status)
    })
    .await
}

/// The import is in this state, for a reason with this text.
async fn import_is(node: &Spec, state: &str, says: &str) -> Value {
    let status = status_when(node, &format!("{state}: {says}"), |status| {
        let import = &status["imports"][0];
        import["state"] == state && import["message"].as_str().unwrap_or_default().contains(says)
    })
    .await;
    let shown = status.to_string();
    assert!(!shown.contains(PRIVATE) && !shown.contains(PASSWORD), "{shown}");
    status
}

fn is_ready(status: &Value) -> bool {
    status["ready"] == json!(true)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_key_is_awaited_corrected_adopted_and_needs_its_files_no_more() {
    let (net, store) = importing().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let _a = a.start();
    let running = b.start();
    let awaited = import_is(b, "Awaited", "spec.keys[main].import.secretRef: the Secret").await;
    assert!(awaited["awaiting"].to_string().contains("spec.keys[main].import.secretRef"), "{awaited}");
    assert!(!is_ready(&awaited) && awaited["keys"] == json!([]), "nothing is generated in its place");
    put(b, "key", "garbage");
    import_is(b, "Failed", "secretRef: key file is not a Tessera key").await;
    put(b, "key", &locked());
    import_is(b, "Awaited", "import.passwordSecretRef: the Secret").await;
    put(b, "password", "wrong\n");
    let failed = import_is(b, "Failed", "passwordSecretRef: the password does not open the key file").await;
    assert_eq!(failed["secretStore"]["available"], json!(true), "the store is not to blame");
    assert!(store.secrets().is_empty(), "nothing was written");

    put(b, "password", &format!("{PASSWORD}\n"));
    let adopted = status_when(b, "it is ready", is_ready).await;
    let key = &adopted["keys"][0];
    assert_eq!((&key["publicKey"], &key["imported"]), (&json!(PUBLIC), &json!(true)));
    let import = json!([{"key": "main", "state": "Adopted", "filesPresent": true}]);
    assert_eq!(adopted["imports"], import);
    assert_eq!(key["trigger"], json!(0));
    status_when(b, "its sample is read", |status| status["keys"][0]["sample"]["outcome"] == "Read").await;
    let (path, record) = store.secrets().pop_first().unwrap();
    assert!(path.ends_with("/keys/main/1"), "{path}");
    assert_eq!((&record["privateKey"], &record["imported"]), (&json!(PRIVATE), &json!(true)));
    a.wait_until_knows(PUBLIC).await;
    let before = a.client().send(b"before", &[PUBLIC]).await;
    assert_eq!(b.client().receive(&before).await, (200, b"before".to_vec()));

    remove_both(b);
    status_when(b, "the files are gone", |status| status["imports"][0]["filesPresent"] == json!(false)).await;
    running.stop().await;
    let again = b.start();
    let second = status_when(b, "it is ready again", is_ready).await;
    assert_eq!(
        (&second["keys"][0]["publicKey"], &second["keys"][0]["bornAt"]),
        (&key["publicKey"], &key["bornAt"])
    );
    assert_eq!(second["imports"][0]["state"], json!("Adopted"));
    assert_eq!(b.client().receive(&before).await, (200, b"before".to_vec()));
    // The manifest no longer has it, and the next version is generated.
    ask(b, 2, None);
    let rotated =
        status_when(b, "there are two", |status| status["keys"].as_array().unwrap().len() == 2).await;
    assert_eq!(
        (&rotated["keys"][0]["publicKey"], &rotated["keys"][0]["state"]),
        (&json!(PUBLIC), &json!("Receiving"))
    );
    assert_eq!((&rotated["keys"][1]["imported"], &rotated["imports"]), (&Value::Null, &Value::Null));
    assert_eq!(store.secrets().len(), 2);
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_another_key_is_refused_until_it_is_the_right_one() {
    let (net, store) = importing().await;
    let b = net.node("b");
    put(b, "key", &unlocked());
    ask(b, 2, Some(&json!({"publicKey": OTHER_PUBLIC})));
    let _running = b.start();
    import_is(b, "Failed", &format!("import.publicKey: it is {OTHER_PUBLIC}")).await;
    assert!(store.secrets().is_empty(), "no version follows one that is not there");
    ask(b, 2, Some(&json!({"publicKey": PUBLIC})));
    let ready = status_when(b, "it is ready", is_ready).await;
    let imported: Vec<_> = ready["keys"].as_array().unwrap().iter().map(|key| &key["imported"]).collect();
    assert_eq!(imported, [&json!(true), &Value::Null]);
    assert_eq!(ready["keys"][0]["publicKey"], json!(PUBLIC));

    // Already adopted: another expectation changes nothing, and is no success.
    ask(b, 2, Some(&json!({"publicKey": OTHER_PUBLIC})));
    let failed = import_is(b, "Failed", &format!("{PUBLIC} was imported before it")).await;
    assert!(is_ready(&failed), "it serves what it has");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_a_node_generated_is_not_replaced() {
    let (net, store) = importing().await;
    let b = net.node("b");
    ask(b, 1, None);
    let running = b.start();
    let generated = status_when(b, "it is ready", is_ready).await["keys"][0]["publicKey"].clone();
    put(b, "key", &unlocked());
    ask(b, 1, Some(&json!({})));
    let late = import_is(b, "Failed", "that a node generated").await;
    assert!(is_ready(&late) && late["keys"][0]["publicKey"] == generated, "{late}");
    running.stop().await;

    let _again = b.start();
    let refused = import_is(b, "Failed", "give the imported key a name of its own").await;
    assert!(!is_ready(&refused), "it would send as somebody else");
    assert!(refused["imports"][0]["message"].as_str().unwrap().contains(generated.as_str().unwrap()));
    assert_eq!(store.secrets().len(), 1);
    ask(b, 1, None);
    status_when(b, "without the import it goes on", is_ready).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_awaits_a_sealed_store_like_any_key() {
    let (net, store) = importing().await;
    let b = net.node("b");
    put(b, "key", &unlocked());
    store.seal(true);
    let _running = b.start();
    status_when(b, "it says what it awaits", |status| status["awaiting"].to_string().contains("sealed"))
        .await;
    let status = import_is(b, "Awaited", "").await;
    assert_eq!(status["imports"][0]["message"], Value::Null, "nothing is known of the files");
    store.seal(false);
    let ready = status_when(b, "it heals", is_ready).await;
    assert_eq!(ready["keys"][0]["publicKey"], json!(PUBLIC));
}
