//! Keys that a node seals to custodians, and the proofs of these.

use serde_json::json;
use tessera_node_api::key_backup::{CustodyAnswer, CustodyProof};

use crate::support::backup::{Custodian, backups, is_ready, prove, public_keys, seal_to, status_when};
use crate::support::store::{SecretStore, ask_for};
use crate::support::{Net, Spec};

async fn vaulted() -> (Net, SecretStore) {
    let store = SecretStore::start().await;
    let mut net = Net::new(&["a"]);
    store.serve(&mut net.nodes[0], 1);
    (net, store)
}

async fn ready(node: &Spec) -> serde_json::Value {
    status_when(node, "it is ready", is_ready).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_born_with_its_backup_and_keeps_the_ciphertext() {
    let (net, store) = vaulted().await;
    let a = net.node("a");
    let (alice, bob) = (Custodian::new("alice"), Custodian::new("bob"));
    seal_to(a, &[&alice, &bob]);
    let running = a.start();
    let first = ready(a).await;
    let born = backups(a, 1, &[&alice, &bob]).await;
    let (_, record) = store.secrets().into_iter().find(|(path, _)| path.ends_with("/keys/main/1")).unwrap();
    assert_eq!(record["backup"]["ciphertext"], json!(born[0].ciphertext), "in the one write of the key");
    assert_eq!(record["backup"]["recipients"], json!(born[0].recipients));
    for custodian in [&alice, &bob] {
        assert_eq!(json!(custodian.private_key(&born[0])), record["privateKey"], "{}", custodian.name);
    }
    let status = json!(tessera_backup::sealed::status(&born[0]));
    assert_eq!(first["keys"][0]["backup"], status);
    running.stop().await;

    let running = a.start();
    let again = ready(a).await;
    assert_eq!(again["keys"][0]["backup"], status, "the ciphertext of the record is in use");
    assert_eq!(backups(a, 1, &[&alice, &bob]).await, born);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_custodians_get_another_ciphertext_of_the_same_key() {
    let (net, store) = vaulted().await;
    let a = net.node("a");
    let (alice, bob) = (Custodian::new("alice"), Custodian::new("bob"));
    // Born before anybody was named.
    let running = a.start();
    let born = ready(a).await;
    let public = born["keys"][0]["publicKey"].as_str().unwrap().to_owned();
    assert!(born["keys"][0]["backup"].is_null(), "sealed to nobody");
    let none = a.operator_client().get("/v1/key-backups").await;
    assert_eq!((none.status, none.text()), (200, r#"{"keys":[]}"#));
    let records = store.secrets();

    seal_to(a, &[&alice]);
    let of_alice = backups(a, 1, &[&alice]).await;
    assert_eq!(public_keys(&of_alice), [public.as_str()]);
    seal_to(a, &[&bob]);
    let of_bob = backups(a, 1, &[&bob]).await;
    assert_eq!(public_keys(&of_bob), [public.as_str()]);
    assert_eq!(alice.private_key(&of_alice[0]), bob.private_key(&of_bob[0]));
    assert!(tessera_backup::open(&of_bob[0], &alice.identity).is_err(), "alice is a custodian no more");
    assert_eq!(store.secrets(), records, "no record is written again");

    // A version that is generated now has it in its record, and what is sealed stays as it is.
    ask_for(a, 2);
    let both = backups(a, 2, &[&bob]).await;
    assert_eq!(both[0], of_bob[0]);
    let (_, second) = store.secrets().into_iter().find(|(path, _)| path.ends_with("/keys/main/2")).unwrap();
    assert_eq!(second["backup"]["ciphertext"], json!(both[1].ciphertext));
    let private = json!(bob.private_key(&both[1]));
    assert_eq!(private, second["privateKey"]);

    seal_to(a, &[]);
    status_when(a, "nobody is named", |status| status["keys"][1]["backup"].is_null()).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_is_right_for_all_versions_or_refused_with_the_cause() {
    let (net, store) = vaulted().await;
    let a = net.node("a");
    let alice = Custodian::new("alice");
    seal_to(a, &[&alice]);
    ask_for(a, 2);
    let _running = a.start();
    ready(a).await;
    let backups = backups(a, 2, &[&alice]).await;
    let proof = alice.prove("c-1", &backups);
    let result = prove(a, &proof).await;
    assert!(result.accepted && result.message.is_empty(), "{result:?}");

    let unknown = CustodyAnswer { key: "main".to_owned(), version: 3, mac: proof.answers[0].mac.clone() };
    let wrong = CustodyAnswer { mac: proof.answers[0].mac.clone(), ..proof.answers[1].clone() };
    let first = &proof.answers[0];
    for (answers, challenge, says) in [
        (vec![first.clone()], "c-1", "key main version 2 is not answered"),
        (vec![first.clone(), wrong], "c-1", "the answer for key main version 2 is not that"),
        ([proof.answers.clone(), vec![unknown]].concat(), "c-1", "the node has no key main version 3"),
        (proof.answers.clone(), "c-2", "the answer for key main version 1 is not that"),
        (proof.answers.clone(), "", "the challenge must have"),
    ] {
        let challenge = challenge.to_owned();
        let other = CustodyProof { challenge, answers, custodian: proof.custodian.clone() };
        let result = prove(a, &other).await;
        assert!(!result.accepted && result.message.contains(says), "{says}: {result:?}");
    }
    let records = store.secrets();
    let mut private = records.values().filter_map(|record| record["privateKey"].as_str());
    let planted = private.next_back().unwrap();
    let post = async |path: &str, body: String| a.operator_client().post_json(path, body).await;
    for path in ["/v1/key-backups/proofs", "/v1/key-restores"] {
        let malformed = post(path, format!(r#"{{"keys": "{planted}", "challenge": ["{planted}"]}}"#)).await;
        assert_eq!(malformed.status, 400, "{path}");
        assert!(!malformed.text().contains(planted), "what stands in the body is not repeated");
        let large = post(path, " ".repeat((512 << 10) + 1)).await;
        assert_eq!(large.status, 413, "{path}: {}", large.text());
    }
    let restored = json!({"keys": backups}).to_string();
    let result = post("/v1/key-restores", restored).await.json();
    assert!(result["message"].as_str().unwrap().contains("key main version 1 is not awaited"), "{result}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_files_are_sealed_to_nobody_and_brought_back_by_nobody() {
    let net = Net::new(&["a"]);
    let a = net.node("a");
    let alice = Custodian::new("alice");
    seal_to(a, &[&alice]);
    let _running = a.start();
    let status = ready(a).await;
    assert!(status["keys"][0]["backup"].is_null());
    let brought = a.operator_client().post_json("/v1/key-restores", r#"{"keys":[]}"#).await;
    assert_eq!(brought.status, 503, "{}", brought.text());
    assert!(brought.text().contains("come from files"), "{}", brought.text());
}
