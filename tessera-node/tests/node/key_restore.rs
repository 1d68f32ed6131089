//! Keys that custodians bring back: the same keys, and never generated ones in their place.

use serde_json::{Value, json};
use tessera_node_api::key_backup::SealedKey;

use crate::support::backup::{
    Custodian, awaited, backups, bring, is_ready, one_time_recipient, public_keys, seal_to, status_when,
};
use crate::support::store::{SecretStore, ask_for, ask_for_key};
use crate::support::{Net, eventually};

/// A node that had two versions, whose secret store has lost them.
struct Lost {
    net: Net,
    store: SecretStore,
    alice: Custodian,
    backups: Vec<SealedKey>,
    /// What it received for its first version.
    hash: String,
}

async fn lost() -> Lost {
    let store = SecretStore::start().await;
    let mut net = Net::new(&["a"]);
    store.serve(&mut net.nodes[0], 1);
    let a = net.node("a");
    let alice = Custodian::new("alice");
    seal_to(a, &[&alice]);
    let running = a.start();
    status_when(a, "it is ready", is_ready).await;
    let hash = a.client().send(b"before", &[]).await;
    ask_for(a, 2);
    let backups = backups(a, 2, &[&alice]).await;
    running.stop().await;
    store.forget("/keys/");
    Lost { net, store, alice, backups, hash }
}

fn states(status: &Value) -> Vec<&str> {
    status["restores"].as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap()).collect()
}

/// The writes of keys that the store has seen.
fn keys_in(store: &SecretStore) -> Vec<Value> {
    store
        .secrets()
        .into_iter()
        .filter(|(path, _)| path.contains("/keys/"))
        .map(|(_, record)| record)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_store_gets_the_same_keys_and_old_payloads_open() {
    let Lost { net, store, alice, backups, hash } = lost().await;
    let a = net.node("a");
    let publics = public_keys(&backups);
    // A third version follows, and waits for those before it.
    ask_for_key(a, &awaited(3, &publics));
    let running = a.start();
    let recipient = one_time_recipient(a).await;
    let status = status_when(a, "it says what it awaits", |status| {
        let text = status["awaiting"].to_string();
        text.contains("key main version 1, key main version 2")
            && text.contains("kubectl tessera backup restore")
    })
    .await;
    assert_eq!((states(&status), is_ready(&status)), (vec!["Awaited", "Awaited"], false));
    assert_eq!(status["restores"][1]["publicKey"], json!(publics[1]));
    assert!(keys_in(&store).is_empty(), "nothing is generated");

    let other = Custodian::new("eve");
    let foreign = alice.bring(&other.identity.recipient(), &backups);
    let result = bring(a, &foreign).await;
    assert!(!result.accepted && result.message.contains("not sealed to this process"), "{result:?}");
    let swapped: Vec<_> = backups.iter().rev().cloned().collect();
    let mut swapped = alice.bring(&recipient, &swapped);
    swapped.keys[0].version = 1;
    let result = bring(a, &swapped).await;
    assert!(!result.accepted && result.message.contains("must have the public key"), "{result:?}");
    assert!(keys_in(&store).is_empty(), "nothing is written of what is wrong");

    // One of two: the third version still waits.
    let result = bring(a, &alice.bring(&recipient, &backups[..1])).await;
    assert!(result.accepted, "{result:?}");
    status_when(a, "one is back", |status| states(status) == ["Restored", "Awaited"]).await;
    assert_eq!(keys_in(&store).len(), 1);
    let both = alice.bring(&recipient, &backups);
    let result = bring(a, &both).await;
    assert!(result.accepted, "{result:?}");
    let ready = status_when(a, "it is ready", is_ready).await;
    assert_eq!(states(&ready), ["Restored", "Restored"]);
    assert!(ready["restores"][0]["recipient"].is_null());
    let found: Vec<_> = ready["keys"].as_array().unwrap().iter().map(|key| &key["publicKey"]).collect();
    assert_eq!(found[..2], [&json!(publics[0]), &json!(publics[1])]);
    assert_eq!(found.len(), 3, "the version after them is generated");
    assert_eq!(a.client().receive(&hash).await, (200, b"before".to_vec()));
    assert_eq!(a.client().receive("aGk=").await.0, 404, "the volume is the one that it was");

    let records = keys_in(&store);
    let lost = ready["payloadStore"]["id"].clone();
    for record in &records[..2] {
        assert_eq!((&record["restored"], &record["payloadStore"]), (&json!(true), &lost));
        assert_eq!((&record["sample"], &record["imported"]), (&Value::Null, &Value::Null));
        assert!(record["backup"]["ciphertext"].is_string());
    }
    let result = bring(a, &both).await;
    assert!(result.accepted && keys_in(&store) == records, "again: {result:?}");
    running.stop().await;

    let running = a.start();
    status_when(a, "it is ready again", is_ready).await;
    let result = bring(a, &both).await;
    assert!(result.accepted, "what the node has needs no opening: {result:?}");
    assert_eq!(a.client().receive(&hash).await, (200, b"before".to_vec()));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_new_volume_what_is_not_found_may_be_lost_until_a_person_accepts_that() {
    let Lost { net, store, alice, backups, hash } = lost().await;
    let a = net.node("a");
    std::fs::remove_dir_all(a.dir.join("data")).unwrap();
    ask_for_key(a, &awaited(2, &public_keys(&backups)));
    let _running = a.start();
    let recipient = one_time_recipient(a).await;
    // One by one: what the first one leaves on the volume is no reason to believe that the volume is old.
    for backup in &backups {
        assert!(bring(a, &alice.bring(&recipient, std::slice::from_ref(backup))).await.accepted);
    }
    let ready = status_when(a, "it is ready", is_ready).await;
    assert_eq!(ready["payloadStore"]["lost"], json!(["0".repeat(32)]));
    assert_eq!(a.client().receive(&hash).await.0, 503);

    let file = a.dir.join("dynamic.json");
    let mut dynamic: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    dynamic["acceptedPayloadStore"] = ready["payloadStore"]["id"].clone();
    std::fs::write(file, dynamic.to_string()).unwrap();
    eventually("the loss is accepted", async || (a.client().receive(&hash).await.0 == 404).then_some(()))
        .await;
    assert_eq!(keys_in(&store).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_in_the_store_is_not_replaced() {
    let Lost { net, store, alice, backups, .. } = lost().await;
    let a = net.node("a");
    ask_for(a, 1);
    let running = a.start();
    let generated = status_when(a, "it is ready", is_ready).await["keys"][0]["publicKey"].clone();
    ask_for_key(a, &awaited(1, &public_keys(&backups[..1])));
    let late = status_when(a, "it is too late", |status| status["restores"][0]["state"] == "Failed").await;
    assert!(is_ready(&late) && late["keys"][0]["publicKey"] == generated, "it serves what it has");
    running.stop().await;

    let _again = a.start();
    let refused = status_when(a, "it is refused", |status| status["restores"][0]["state"] == "Failed").await;
    let message = refused["restores"][0]["message"].as_str().unwrap();
    assert!(
        message.contains(generated.as_str().unwrap()) && message.contains("no key is replaced"),
        "{message}"
    );
    assert!(!is_ready(&refused) && refused["restores"][0]["recipient"].is_null(), "{refused}");
    assert!(refused["awaiting"].to_string().contains("no key is replaced"), "{refused}");
    let result = bring(a, &alice.bring(&alice.identity.recipient(), &backups[..1])).await;
    assert!(!result.accepted, "{result:?}");
    assert_eq!(keys_in(&store).len(), 1);

    // A record that cannot be read is in the way as well, until a person removes it.
    store.change("/keys/main/1", |record| record["privateKey"] = json!("damaged"));
    let damaged =
        status_when(a, "it cannot be read", |status| status["restores"].to_string().contains("privateKey"));
    let damaged = damaged.await;
    assert_eq!(states(&damaged), ["Failed"]);
    assert!(damaged["restores"].to_string().contains("kv metadata delete"), "{damaged}");
    store.forget("/keys/");
    let recipient = one_time_recipient(a).await;
    assert!(bring(a, &alice.bring(&recipient, &backups[..1])).await.accepted);
    status_when(a, "it is ready", is_ready).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_sealed_or_does_not_answer_gets_no_generated_key() {
    let Lost { net, store, alice, backups, .. } = lost().await;
    let a = net.node("a");
    ask_for_key(a, &awaited(2, &public_keys(&backups)));
    store.hang(true);
    let before = store.asked("/keys/main/1");
    let _running = a.start();
    eventually("it has asked", async || (store.asked("/keys/main/1") > before).then_some(())).await;
    store.seal(true);
    store.hang(false);
    status_when(a, "it says that the store is sealed", |status| {
        status["secretStore"]["message"].to_string().contains("sealed")
    })
    .await;
    let recipient = one_time_recipient(a).await;
    let brought = serde_json::to_string(&alice.bring(&recipient, &backups)).unwrap();
    let answer = a.operator_client().post_json("/v1/key-restores", brought.clone()).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains("sealed"), "{}", answer.text());
    assert!(keys_in(&store).is_empty(), "nothing is generated");
    store.seal(false);
    let status =
        status_when(a, "it awaits them", |status| status["awaiting"].to_string().contains("restore")).await;
    assert_eq!(states(&status), ["Awaited", "Awaited"]);
    let answer = a.operator_client().post_json("/v1/key-restores", brought).await;
    assert_eq!(answer.json()["accepted"], json!(true), "{}", answer.text());
    status_when(a, "it is ready", is_ready).await;
}
