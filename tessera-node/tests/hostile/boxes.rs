//! Who was sent a payload pushes it to another recipient again, with a box of its own making. A stored payload stays
//! readable, and for whom it was.

use bytes::Bytes;
use serde_json::{Value, json};
use tessera_enclave::{Nonce, PayloadParts, PublicKey};

use crate::mallory::{Door, Mallory, payload_of, push};
use crate::scene::Scene;
use crate::support::Spec;
use crate::support::client::segment;

/// What the ledger of `node` reads, and the parties that the node manages of it.
async fn reading(node: &Spec, hash: &str) -> (u16, String) {
    let headers = [("accept", "application/vnd.tessera-2.1+json")];
    let answer = node.client().request("GET", &format!("/transaction/{}", segment(hash)), &headers, "").await;
    (answer.status, answer.text().to_owned())
}

/// The payload as Mallory got it, changed so that it seems to be for `key`.
fn forgeries(mallory: &Mallory, genuine: &PayloadParts, key: &PublicKey) -> Vec<PayloadParts> {
    let own_box = genuine.recipient_boxes[0].clone();
    let other = mallory.seal(b"another message", std::slice::from_ref(key)).into_parts();
    let other_box = other.recipient_boxes.last().unwrap().clone();
    let for_key = |boxes: &[&Bytes]| PayloadParts {
        recipient_boxes: boxes.iter().map(|sealed| (*sealed).clone()).collect(),
        recipient_keys: vec![*key; boxes.len().max(1)],
        ..genuine.clone()
    };
    let (zeros, empty) = (Bytes::from_static(&[0; 48]), Bytes::new());
    vec![
        for_key(&[&zeros]),
        for_key(&[&own_box]),
        for_key(&[&other_box]),
        for_key(&[&empty]),
        for_key(&[&Bytes::from_static(b"x")]),
        for_key(&[]),
        for_key(&[&zeros; 200]),
        PayloadParts { recipient_nonce: Nonce::generate(), ..for_key(&[&zeros]) },
        PayloadParts { cipher_text_nonce: Nonce::generate(), ..for_key(&[&zeros]) },
        // A box that opens, with a master key that does not.
        PayloadParts {
            sender: mallory.key(),
            recipient_nonce: other.recipient_nonce.clone(),
            ..for_key(&[&other_box])
        },
        PayloadParts { sender: *key, ..for_key(&[&zeros]) },
        PayloadParts {
            recipient_keys: vec![*key, mallory.key()],
            recipient_boxes: vec![own_box.clone(), zeros.clone()],
            ..genuine.clone()
        },
        genuine.clone(),
    ]
}

/// A's ledger sends to B and Mallory; Mallory pushes what it got to both again, in every way. Nobody reads less or more.
async fn forge(scene: &Scene, door: &mut Door, body: &Value) {
    let (a, b) = (scene.a(), scene.b());
    let sent = a.client().post_json("/send", body.to_string()).await;
    assert_eq!(sent.status, 201, "{}", sent.text());
    let hash = sent.json()["key"].as_str().unwrap().to_owned();
    let genuine = payload_of(&door.pushed.recv().await.unwrap()).into_parts();
    let before = [reading(a, &hash).await, reading(b, &hash).await];
    assert_eq!([before[0].0, before[1].0], [200, 200]);
    for (victim, key) in [(b, &b.public_key), (a, &a.public_key), (b, &a.public_key), (a, &b.public_key)] {
        let mut session = scene.mallory.session(victim).await;
        for forged in forgeries(&scene.mallory, &genuine, &key.parse().unwrap()) {
            let shown = format!("{} with {} boxes for {key}", victim.name, forged.recipient_boxes.len());
            let answer = session.try_send(push(forged)).await.expect("an answer");
            let after = [reading(a, &hash).await, reading(b, &hash).await];
            assert_eq!(after, before, "after a push to {shown}, which was answered {}", answer.status);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_that_does_not_open_changes_no_stored_payload() {
    let mut scene = Scene::start().await;
    let mut door = scene.mallory.open().await;
    scene.mallory.introduce(scene.a()).await;
    let to = [scene.b().public_key.clone(), scene.mallory.spec.public_key.clone()];
    scene
        .beside(async |scene| forge(scene, &mut door, &json!({"payload": "aGVsbG8=", "to": to})).await)
        .await;
    scene.judge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_where_the_recipients_validate_their_state() {
    let enhanced = |config: &mut Value| config["features"] = json!({"enablePrivacyEnhancements": true});
    let mut scene = Scene::with(enhanced).await;
    let mut door = scene.mallory.open().await;
    scene.mallory.introduce(scene.a()).await;
    let to = [scene.b().public_key.clone(), scene.mallory.spec.public_key.clone()];
    let body = json!({"payload": "aGVsbG8=", "to": to, "privacyFlag": 3, "execHash": "state"});
    scene.beside(async |scene| forge(scene, &mut door, &body).await).await;
    scene.judge().await;
}
