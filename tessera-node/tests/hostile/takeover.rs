//! Mallory claims keys of others. No acknowledged payload goes to anybody but who can open it.

use std::time::Duration;

use tessera_enclave::codec::party_info::PartyInfo;
use tessera_enclave::{KeyPair, PublicKey};

use crate::mallory::Manner;
use crate::scene::Scene;
use crate::support::client::send_body;
use crate::support::load::message;
use crate::support::process::Process;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_holder_is_down_is_not_taken_over() {
    let mut scene = Scene::start().await;
    let mut door = scene.mallory.open().await;
    door.relay_challenges_to(scene.mallory.client(scene.b()));
    let stolen: PublicKey = scene.b().public_key.parse().unwrap();
    let claims = |scene: &Scene| {
        let own = scene.mallory.claim(&[stolen, scene.mallory.key()]);
        let many = scene.mallory.claim(&vec![stolen; 500]);
        let as_b = PartyInfo { url: scene.b().p2p_url(), ..own.clone() };
        [own, many, as_b]
    };
    scene
        .beside(async |scene| {
            for _ in 0..5 {
                for claim in claims(scene) {
                    scene.mallory.announce(scene.a(), &claim).await.expect("an answer");
                }
            }
        })
        .await;

    scene.nodes[1].kill();
    assert!(door.pushed.try_recv().is_err(), "a payload for another was pushed to Mallory");
    let send = send_body(b"for b alone", &[&scene.b().public_key]);
    for _ in 0..8 {
        let answer = scene.a().client().post_json("/send", send.clone()).await;
        assert_eq!(answer.status, 410, "{}", answer.text());
        for claim in claims(&scene) {
            scene.mallory.announce(scene.a(), &claim).await.expect("an answer");
        }
    }
    assert!(door.pushed.try_recv().is_err(), "a payload for another was pushed to Mallory");
    scene.restart_b().await;
    scene.judge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_nobody_has_proven_gets_nothing() {
    let scene = Scene::start().await;
    let mut door = scene.mallory.open().await;
    let invented = *KeyPair::generate().unwrap().public();
    let claim = scene.mallory.claim(&[scene.mallory.key(), invented]);
    scene.mallory.announce(scene.a(), &claim).await.expect("an answer");
    let send = send_body(b"for its holder alone", &[&invented.to_string()]);
    let answer = scene.a().client().post_json("/send", send).await;
    assert!([404, 410].contains(&answer.status), "{} {}", answer.status, answer.text());
    assert!(door.pushed.try_recv().is_err(), "a payload was pushed to who cannot open it");

    // The control: what Mallory can open, it gets.
    scene.mallory.introduce(scene.a()).await;
    scene.a().client().send(b"for Mallory", &[&scene.mallory.spec.public_key]).await;
    assert!(door.pushed.try_recv().is_ok());
    scene.judge().await;
}

/// Mallory claims keys under ever new addresses of its own, and answers no challenge.
async fn claim_and_be_silent(scene: &Scene, claims: u64) {
    for claim in 0..claims {
        let url = format!("{}{claim}", scene.mallory.spec.p2p_url());
        let keys = (0..64).map(|key| PublicKey::from_bytes(&message(claim << 16 | key, 32)).unwrap());
        let recipients = keys.map(|key| (key, url.clone())).collect();
        let said = PartyInfo { url, recipients, parties: Vec::new() };
        // None while the node is not there.
        scene.mallory.announce(scene.a(), &said).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_are_never_proven_delay_no_proof_of_others() {
    let mut scene = Scene::start().await;
    let door = scene.mallory.open().await;
    door.behave(&[Manner::Silent]);
    scene.beside(async |scene| claim_and_be_silent(scene, 40).await).await;

    // A node that starts has no proof yet, and Mallory is the first to come.
    scene.nodes.iter_mut().for_each(Process::kill);
    scene.nodes[0] = Process::start(scene.a());
    scene.a().wait_until_serves().await;
    claim_and_be_silent(&scene, 40).await;
    scene.nodes[1] = Process::start(scene.b());
    let proven = scene.a().wait_until_knows(&scene.b().public_key);
    let flood = async {
        loop {
            claim_and_be_silent(&scene, 100).await;
        }
    };
    tokio::select! {
        () = flood => {}
        proven = tokio::time::timeout(Duration::from_secs(15), proven) => {
            proven.expect("the proof of another node waits for Mallory's");
        }
    }
    scene.wait_until_met().await;
    scene.judge().await;
}
