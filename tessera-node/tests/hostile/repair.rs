//! A node asks its peers for a payload that is damaged on its disk; one of them is Mallory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tessera_enclave::keyring::DefaultKey;
use tessera_enclave::merge::Merged;
use tessera_enclave::{EncodedPayload, KeyPair, KeyRing, PayloadCodec, PayloadParts, PublicKey, own_message};

use crate::mallory::{Manner, payload_of};
use crate::scene::Scene;
use crate::support::Spec;
use crate::support::damage::flip_a_bit_of;
use crate::support::process::{Process, run_to_end};

/// A peer that swallows the question costs this at most.
const STALLED: Duration = Duration::from_secs(20);

/// The exit code, and what is said.
fn repair(node: &Spec, hash: &str) -> (i32, String) {
    let socket = node.dir.join("probe.sock").display().to_string();
    let (code, out, err) = tokio::task::block_in_place(|| run_to_end(&["repair", hash, "--socket", &socket]));
    (code, out + &err)
}

fn legacy(payload: &EncodedPayload) -> Bytes {
    PayloadCodec::Legacy.encode(payload).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_lies_or_stalls_neither_spoils_nor_stops_a_repair() {
    let mut scene = Scene::start().await;
    let mut door = scene.mallory.open().await;
    scene.mallory.introduce(scene.a()).await;
    let own: PublicKey = scene.b().public_key.parse().unwrap();

    // Mallory is a recipient as well, so it knows the cipher text.
    let to = [scene.b().public_key.clone(), scene.mallory.spec.public_key.clone()];
    let hash = scene.a().client().send(b"kept", &[&to[0], &to[1]]).await;
    let genuine = payload_of(&door.pushed.recv().await.unwrap()).into_parts();
    assert_eq!(EncodedPayload::new(genuine.clone()).unwrap().hash().to_string(), hash);
    scene.nodes[1].kill();
    flip_a_bit_of(scene.b(), &hash);
    scene.restart_b().await;
    scene.mallory.introduce(scene.b()).await;
    // The one node that has it is away.
    scene.nodes[0].kill();

    let other = scene.mallory.seal(b"another message", &[own]);
    let mut for_b = genuine.clone();
    for_b.recipient_keys = vec![own];
    let mut of_b = for_b.clone();
    of_b.sender = own;
    let lies = [
        (legacy(&other.for_recipient(&own).unwrap()), "gave another payload"),
        // The cipher text is right; the box is Mallory's, or B is said to be the sender.
        (legacy(&EncodedPayload::new(for_b.clone()).unwrap()), "has not proven to hold"),
        (legacy(&EncodedPayload::new(of_b).unwrap()), "none of this node's keys opens"),
        (Bytes::from_static(b"nonsense"), "gave no payload"),
        (Bytes::new(), "gave no payload"),
        (Bytes::from(vec![0; 1 << 20]), "did not answer: "),
    ];
    for (lie, says) in lies {
        door.resend(lie);
        let (code, said) = repair(scene.b(), &hash);
        assert_eq!(code, 1, "{says}: {said}");
        assert!(said.contains(says), "{says}: {said}");
        assert_eq!(scene.b().client().receive(&hash).await.0, 500, "{says}");
    }
    for manner in
        [&[Manner::Silent], &[Manner::Endless], &[Manner::Garbage], &[Manner::Close], &[Manner::Refuse]]
    {
        door.behave(manner);
        let started = Instant::now();
        let (code, said) = repair(scene.b(), &hash);
        assert_eq!(code, 1, "{manner:?}: {said}");
        assert!(started.elapsed() < STALLED, "{manner:?} took {:?}", started.elapsed());
        assert_eq!(scene.b().client().receive(&hash).await.0, 500, "{manner:?}");
    }

    // Beside the node that has it, Mallory delays it at most.
    scene.nodes[0] = Process::start(scene.a());
    scene.wait_until_met().await;
    door.behave(&[Manner::Silent]);
    let started = Instant::now();
    let (code, said) = repair(scene.b(), &hash);
    assert_eq!(code, 0, "{said}");
    assert!(started.elapsed() < STALLED, "{:?}", started.elapsed());
    assert_eq!(scene.b().client().receive(&hash).await, (200, b"kept".to_vec()));
    door.behave(&[Manner::Honest]);
    scene.judge().await;
}

/// The payload as if the one key of `ring`, for which its one box is, had sent it to `to`: with a box for each, sealed by that key.
fn sealed_again(ring: &KeyRing, given: &PayloadParts, to: PublicKey) -> EncodedPayload {
    let parts = PayloadParts {
        sender: *ring.default_key(),
        // The box opens between its two keys, in either direction.
        recipient_keys: vec![given.sender, to],
        ..given.clone()
    };
    match own_message::accept(ring, None, EncodedPayload::new(parts).unwrap()).unwrap() {
        Merged::Store(payload) => payload,
        Merged::Unchanged => panic!("something new"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_co_recipient_changes_no_sender_adds_no_recipient_and_no_group() {
    let mut scene = Scene::start().await;
    let mut door = scene.mallory.open().await;
    scene.mallory.introduce(scene.a()).await;
    let mallory = scene.mallory.key();
    let [a, b] = [scene.a(), scene.b()].map(|node| node.public_key.parse::<PublicKey>().unwrap());
    let hash = scene.a().client().send(b"kept", &[&b.to_string(), &mallory.to_string()]).await;
    let genuine = payload_of(&door.pushed.recv().await.unwrap()).into_parts();
    // A second key, which Mallory does not announce.
    let pair = KeyPair::generate().unwrap();
    let hidden = *pair.public();
    let hidden_ring = KeyRing::new([Arc::new(pair)], &DefaultKey::AsJava).unwrap();
    let for_hidden = sealed_again(scene.mallory.ring(), &genuine, hidden).for_recipient(&hidden).unwrap();
    let by_hidden = |to| sealed_again(&hidden_ring, &for_hidden, to).for_recipient(&to).unwrap();

    scene.nodes[1].kill();
    flip_a_bit_of(scene.b(), &hash);
    scene.restart_b().await;
    scene.mallory.introduce(scene.b()).await;
    // A sender that the answering peer has not proven; and Mallory itself, beside the real sender.
    let by_mallory = sealed_again(scene.mallory.ring(), &genuine, b).for_recipient(&b).unwrap();
    door.resend(legacy(&by_mallory));
    let (code, said) = repair(scene.b(), &hash);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("differ in sender"), "{said}");
    assert_eq!(scene.b().client().receive(&hash).await.0, 500);
    door.resend(legacy(&by_hidden(b)));
    let (code, said) = repair(scene.b(), &hash);
    assert_eq!(code, 0, "the real sender's: {said}");
    assert!(
        said.contains(&format!("of the sender {hidden}, a key that this peer has not proven to hold")),
        "{said}"
    );
    assert_eq!(scene.b().client().receive(&hash).await, (200, b"kept".to_vec()));

    // At the sender: a box of a key that Mallory has not proven, though it opens; and another group.
    scene.nodes[0].kill();
    flip_a_bit_of(scene.a(), &hash);
    scene.nodes[0] = Process::start(scene.a());
    scene.wait_until_met().await;
    scene.mallory.introduce(scene.a()).await;
    let mut other_group = genuine.clone();
    other_group.privacy.privacy_group_id = Some(Bytes::from_static(b"group"));
    door.resend(legacy(&EncodedPayload::new(other_group).unwrap()));
    let (code, said) = repair(scene.a(), &hash);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("differ in sender, nonce or privacy"), "{said}");
    assert_eq!(scene.a().client().receive(&hash).await.0, 500);
    let mut more = genuine;
    more.recipient_keys.push(hidden);
    more.recipient_boxes.push(by_hidden(a).recipient_boxes[0].clone());
    door.resend(legacy(&EncodedPayload::new(more).unwrap()));
    let (code, said) = repair(scene.a(), &hash);
    assert_eq!(code, 0, "{said}");
    let path = format!("/transaction/{}/participants", crate::support::client::segment(&hash));
    let listed = scene.a().client().get(&path).await.text().to_owned();
    for (key, is_listed) in [(a, true), (b, true), (mallory, true), (hidden, false)] {
        assert_eq!(listed.contains(&key.to_string()), is_listed, "{listed}");
    }
    door.resend(Bytes::new());
    scene.judge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mallory_gets_no_payload_of_others_by_asking_again() {
    let scene = Scene::start().await;
    let _door = scene.mallory.open().await;
    scene.mallory.introduce(scene.a()).await;
    let hash = scene.a().client().send(b"kept", &[&scene.b().public_key]).await;
    for (key, status) in [
        (scene.mallory.spec.public_key.clone(), 404),
        (scene.b().public_key.clone(), 403),
        (scene.a().public_key.clone(), 403),
    ] {
        let body = serde_json::json!({"type": "INDIVIDUAL", "publicKey": key, "key": hash}).to_string();
        for node in [scene.a(), scene.b()] {
            let answer = scene.mallory.client(node).post_json("/resend", body.clone()).await;
            // B has no proof of Mallory's key yet.
            let expected = if node.name == "b" { 403 } else { status };
            assert_eq!(answer.status, expected, "{key} at {}", node.name);
        }
    }
    scene.judge().await;
}
