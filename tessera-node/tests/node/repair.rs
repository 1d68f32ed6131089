//! A payload that is damaged on disk is fetched from peers by the running node.

use serde_json::json;
use tessera_node::args::RepairArgs;
use tessera_node::repair::{self, Answer};

use crate::support::damage::{flip_a_bit_of, lose_the_name_of};
use crate::support::{Net, Running, Spec};

/// As `tessera-node repair` does.
pub(crate) async fn repair(node: &Spec, hash: &str, peer: Option<&Spec>) -> Answer {
    let args = RepairArgs {
        hash: Some(hash.parse().unwrap()),
        list: false,
        peer: peer.map(|peer| peer.p2p_url().parse().unwrap()),
        socket: node.dir.join("probe.sock"),
    };
    tokio::task::spawn_blocking(move || repair::ask(&args)).await.unwrap()
}

/// As `tessera-node repair --list` does.
async fn listed(node: &Spec) -> String {
    let args = RepairArgs { hash: None, list: true, peer: None, socket: node.dir.join("probe.sock") };
    let answer = tokio::task::spawn_blocking(move || repair::ask(&args)).await.unwrap();
    assert_eq!(answer.code, 0, "{answer:?}");
    answer.sentence
}

/// Stops the node, damages the record, and starts it again.
pub(crate) async fn damage(net: &Net, nodes: &mut Vec<Running>, name: &str, hash: &str) {
    let at = net.nodes.iter().position(|node| node.name == name).unwrap();
    nodes.remove(at).stop().await;
    flip_a_bit_of(net.node(name), hash);
    nodes.insert(at, net.node(name).start());
    net.wait_until_met().await;
}

async fn corrupt_records(node: &Spec) -> u64 {
    node.metric("tessera_store_corrupt_records").await
}

async fn participants(node: &Spec, hash: &str) -> Vec<String> {
    let path = format!("/transaction/{}/participants", crate::support::client::segment(hash));
    let mut keys: Vec<_> = node.client().get(&path).await.text().split(',').map(str::to_owned).collect();
    keys.sort();
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_gets_its_damaged_payload_from_the_sender() {
    let net = Net::new(&["a", "b"]);
    let mut nodes = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let hash = a.client().send(b"kept", &[&b.public_key]).await;
    let other = a.client().send(b"other", &[&b.public_key]).await;
    damage(&net, &mut nodes, "b", &hash).await;
    // A read finds it: the stop was clean, so nothing was replayed.
    assert_eq!(listed(b).await, "no damaged payload is known");
    assert_eq!(b.client().receive(&hash).await.0, 500);
    assert_eq!(corrupt_records(b).await, 1);
    assert_eq!(listed(b).await, format!("transaction {hash}"));

    let answer = repair(b, &hash, None).await;
    assert_eq!(answer.code, 0, "{answer:?}");
    assert_eq!(answer.sentence, format!("the payload {hash} is repaired: 1 of 1 peers gave it"));
    assert_eq!(b.client().receive(&hash).await, (200, b"kept".to_vec()));
    assert_eq!(corrupt_records(b).await, 0);
    assert_eq!(listed(b).await, "no damaged payload is known");

    // It is durable, and supersedes the damaged record.
    nodes.pop().unwrap().stop().await;
    let verified = tessera_node::verify::verify(&b.dir.join("data")).unwrap();
    assert!(verified.is_sound(), "{verified}");
    let _again = b.start();
    b.wait_until_knows(&a.public_key).await;
    for (hash, message) in [(&hash, "kept"), (&other, "other")] {
        assert_eq!(b.client().receive(hash).await, (200, message.into()));
    }
    assert_eq!(corrupt_records(b).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_gets_its_damaged_payload_from_all_recipients() {
    let net = Net::new(&["a", "b", "c"]);
    let mut nodes = net.start().await;
    let [a, b, c] = ["a", "b", "c"].map(|name| net.node(name));
    let hash = a.client().send(b"kept", &[&b.public_key, &c.public_key]).await;
    let before = participants(a, &hash).await;
    assert_eq!(before.len(), 3);
    damage(&net, &mut nodes, "a", &hash).await;

    let answer = repair(a, &hash, None).await;
    assert_eq!(answer.code, 0, "{answer:?}");
    assert!(answer.sentence.ends_with("2 of 2 peers gave it"), "{answer:?}");
    assert_eq!(a.client().receive(&hash).await, (200, b"kept".to_vec()));
    assert_eq!(participants(a, &hash).await, before, "a box of every recipient is back");
    // So a recipient gets its own from there again.
    damage(&net, &mut nodes, "c", &hash).await;
    let answer = repair(c, &hash, Some(b)).await;
    assert_eq!(answer.code, 1, "b keeps no box of c: {answer:?}");
    assert_eq!(c.client().receive(&hash).await.0, 500);
    let answer = repair(c, &hash, Some(a)).await;
    assert_eq!(answer.code, 0, "{answer:?}");
    assert_eq!(c.client().receive(&hash).await, (200, b"kept".to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_that_lacks_a_peers_answer_is_incomplete_and_goes_on_with_that_peer() {
    let net = Net::new(&["a", "b", "c"]);
    let mut nodes = net.start().await;
    let [a, b, c] = ["a", "b", "c"].map(|name| net.node(name));
    let hash = a.client().send(b"kept", &[&b.public_key, &c.public_key]).await;
    let before = participants(a, &hash).await;
    damage(&net, &mut nodes, "a", &hash).await;
    nodes.pop().unwrap().stop().await;

    let answer = repair(a, &hash, None).await;
    assert_eq!(answer.code, 5, "{answer:?}");
    let says = |what: &str| assert!(answer.sentence.contains(what), "{answer:?}");
    says(&format!("the payload {hash} is repaired, incomplete: 1 of 2 peers gave it: "));
    says(&format!("{} did not answer: ", c.at(c.p2p)));
    says("with --peer");
    assert_eq!(a.client().receive(&hash).await, (200, b"kept".to_vec()));
    assert_eq!(participants(a, &hash).await.len(), 2);
    let answer = repair(a, &hash, None).await;
    assert_eq!(answer.code, 3, "{answer:?}");
    assert!(answer.sentence.contains("--peer"), "{answer:?}");
    let answer = repair(a, &hash, Some(c)).await;
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(answer.sentence.contains("can be read, and nothing is added"), "{answer:?}");

    nodes.push(c.start());
    net.wait_until_met().await;
    for says in ["has more recipients' boxes now", "has all that the peer gave"] {
        let answer = repair(a, &hash, Some(c)).await;
        assert_eq!(answer.code, 0, "{answer:?}");
        assert!(answer.sentence.contains(says), "{answer:?}");
        assert_eq!(participants(a, &hash).await, before);
    }
    assert_eq!(a.client().receive(&hash).await, (200, b"kept".to_vec()));

    // One peer alone cannot make it complete.
    damage(&net, &mut nodes, "a", &hash).await;
    let answer = repair(a, &hash, Some(b)).await;
    assert_eq!(answer.code, 5, "{answer:?}");
    assert!(answer.sentence.contains("1 other peers were not asked"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_peer_has_stays_damaged_and_the_sentence_says_why() {
    let net = Net::new(&["a", "b", "c"]);
    let mut nodes = net.start().await;
    let [a, b, c] = ["a", "b", "c"].map(|name| net.node(name));
    let hash = a.client().send(b"alone", &[]).await;
    damage(&net, &mut nodes, "a", &hash).await;
    nodes.pop().unwrap().stop().await;

    let answer = repair(a, &hash, None).await;
    assert_eq!(answer.code, 1, "{answer:?}");
    let says = |node: &Spec, what: &str| format!("{} {what}", node.at(node.p2p));
    assert!(
        answer.sentence.contains(&says(b, "has no such payload for this node's keys, or cannot give it now")),
        "{answer:?}"
    );
    assert!(answer.sentence.contains(&says(c, "did not answer: ")), "{answer:?}");
    assert_eq!(a.client().receive(&hash).await.0, 500, "never a 404");
    // Writes go on.
    assert_eq!(a.client().post_json("/send", json!({"payload": "aGk="}).to_string()).await.status, 201);

    let nobody = repair(a, &hash, Some(a)).await;
    assert_eq!(nobody.code, 1);
    assert!(nobody.sentence.ends_with("no known peer has this address"), "{nobody:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_nothing_to_repair_in_what_is_whole_or_unknown() {
    let net = Net::new(&["a", "b"]);
    let _nodes = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let whole = a.client().send(b"whole", &[&b.public_key]).await;
    let unknown = tessera_enclave::base64::encode(&[7; 64]);
    for (hash, says) in [(&whole, "is not damaged: there is nothing to repair"), (&unknown, "check the hash")]
    {
        let answer = repair(b, hash, None).await;
        assert_eq!(answer.code, 3, "{answer:?}");
        assert!(answer.sentence.contains(says), "{answer:?}");
    }
    // With a peer, there may be more of a whole one.
    let answer = repair(b, &whole, Some(a)).await;
    assert_eq!(answer.code, 0, "{answer:?}");
    assert!(answer.sentence.contains("can be read, and has all that the peer gave"), "{answer:?}");
    let answer = repair(b, &unknown, Some(a)).await;
    assert_eq!(answer.code, 3, "{answer:?}");
    assert_eq!(b.client().receive(&unknown).await.0, 404, "a repair of nothing leaves nothing behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_payload_that_was_never_sent_is_for_its_client_to_store_again() {
    let net = Net::new(&["a"]);
    let mut nodes = net.start().await;
    let a = net.node("a");
    let kept = a.client().post_json("/storeraw", json!({"payload": "aGVsbG8="}).to_string()).await;
    let hash = kept.json()["key"].as_str().unwrap().to_owned();
    damage(&net, &mut nodes, "a", &hash).await;
    let answer = repair(a, &hash, None).await;
    assert_eq!(answer.code, 3, "{answer:?}");
    assert!(answer.sentence.contains("no peer has it"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_a_record_with_its_name_gets_it_by_its_hash() {
    let net = Net::new(&["a", "b"]);
    let mut nodes = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let hash = a.client().send(b"lost", &[&b.public_key]).await;
    let other = a.client().send(b"other", &[&b.public_key]).await;
    nodes.pop().unwrap().stop().await;
    lose_the_name_of(b, &hash);
    std::fs::remove_file(b.dir.join("data/index.redb")).unwrap();
    let _again = b.start();
    net.wait_until_met().await;
    assert_eq!(b.client().receive(&hash).await.0, 503);
    let answer = repair(b, &hash, None).await;
    assert_eq!(answer.code, 0, "{answer:?}");
    for (hash, message) in [(&hash, "lost"), (&other, "other")] {
        assert_eq!(b.client().receive(hash).await, (200, message.into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_payload_is_fetched_as_well() {
    let net = Net::new(&["a", "b"]);
    let mut nodes = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let message = vec![7; 5 << 20];
    let hash = a.client().send(&message, &[&b.public_key]).await;
    damage(&net, &mut nodes, "b", &hash).await;
    let answer = repair(b, &hash, None).await;
    assert_eq!(answer.code, 0, "{answer:?}");
    assert_eq!(b.client().receive(&hash).await, (200, message));
}
