//! A push may name transactions that it affects. What it names costs the sender, not the node.

use std::collections::BTreeMap;

use tessera_enclave::{EncodedPayload, PayloadParts, SecurityHash, TxHash};

use crate::mallory::push;
use crate::scene::Scene;

/// Mallory's payload for the victim, which names these transactions.
fn naming(scene: &Scene, hashes: impl IntoIterator<Item = TxHash>) -> PayloadParts {
    let key = scene.b().public_key.parse().unwrap();
    let mut parts = scene.mallory.seal(b"names others", &[key]).into_parts();
    let named = hashes.into_iter().map(|hash| (hash, SecurityHash::from_bytes(&[7; 32])));
    parts.privacy.affected = named.collect::<BTreeMap<_, _>>();
    parts
}

#[tokio::test(flavor = "multi_thread")]
async fn naming_many_or_large_transactions_takes_neither_memory_nor_time() {
    let mut scene = Scene::start().await;
    let key = scene.b().public_key.parse::<tessera_enclave::PublicKey>().unwrap();
    let mut session = scene.mallory.session(scene.b()).await;
    let mut stored = Vec::new();
    for number in 0..60_u8 {
        let payload = scene.mallory.seal(&vec![number; 2 << 20], std::slice::from_ref(&key));
        stored.push(payload.hash());
        let payload: EncodedPayload = payload.for_recipient(&key).unwrap();
        let answer = session.try_send(push(payload.into_parts())).await.expect("an answer");
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    scene
        .beside(async |scene| {
            let unknown = (0..20_000_u32).map(|n| TxHash::of(&n.to_be_bytes()));
            let large = push(naming(scene, stored.iter().copied()));
            let many = push(naming(scene, unknown));
            let mut session = scene.mallory.session(scene.b()).await;
            for request in [large.clone(), many, large] {
                session.try_send(request).await.expect("an answer");
            }
        })
        .await;
    scene.judge().await;
}
