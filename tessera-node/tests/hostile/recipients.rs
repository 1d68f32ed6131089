//! Mallory among the recipients: it is down, silent, or lies. Its co-recipients and the sender's other payloads go on.

use futures::future::join_all;

use crate::mallory::Manner;
use crate::scene::Scene;
use crate::support::Spec;
use crate::support::client::send_body;

const CALLERS: usize = 12;
/// All but the honest one.
const LIES: &[Manner] = &[
    Manner::Silent,
    Manner::Garbage,
    Manner::OtherHash,
    Manner::Endless,
    Manner::Close,
    Manner::Refuse,
    Manner::NoHandshake,
];

/// Statuses of sends to Mallory and B, of which some overlap.
async fn sends_to_both(scene: &Scene, each: usize) -> Vec<u16> {
    let mallory_first = [scene.mallory.spec.public_key.as_str(), &scene.b().public_key];
    let b_first = [mallory_first[1], mallory_first[0]];
    let bodies = [mallory_first, b_first].map(|to| send_body(b"for both", &to));
    let callers = (0..CALLERS).map(async |_| {
        let mut session = scene.a().client().session().await.expect("a ledger is served");
        let mut statuses = Vec::new();
        for body in bodies.iter().cycle().take(each) {
            statuses.push(session.post_json("/send", body.clone()).await.status);
        }
        statuses
    });
    join_all(callers).await.concat()
}

async fn handshakes(node: &Spec) -> u64 {
    node.metric("tessera_handshakes_total{port=\"P2p\"}").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_recipient_costs_the_others_no_connection() {
    let mut scene = Scene::start().await;
    let door = scene.mallory.open().await;
    scene.mallory.introduce(scene.a()).await;
    drop(door);
    let before = handshakes(scene.b()).await;
    scene
        .beside(async |scene| {
            let statuses = sends_to_both(scene, 10).await;
            assert!(statuses.iter().all(|status| *status == 410), "{statuses:?}");
        })
        .await;
    let made = handshakes(scene.b()).await - before;
    // As many as sends overlap, and a few more where the pair's own did.
    assert!(made <= 40, "{made} new connections to B in more than 240 sends beside a dead recipient");
    scene.judge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_that_is_silent_or_lies_acknowledges_nothing_and_delays_no_other_send() {
    let mut scene = Scene::start().await;
    let door = scene.mallory.open().await;
    scene.mallory.introduce(scene.a()).await;
    door.behave(LIES);
    scene
        .beside(async |scene| {
            let statuses = sends_to_both(scene, 1).await;
            assert!(statuses.iter().all(|status| [410, 500, 503].contains(status)), "{statuses:?}");
        })
        .await;
    scene.judge().await;
}
