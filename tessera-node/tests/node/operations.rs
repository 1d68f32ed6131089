//! What the operator, the kubelet and a scraper see, and what survives a restart.

use serde_json::json;
use tessera_node::args::{ProbeArgs, Question};
use tessera_node::probe;

use crate::support::client::segment;
use crate::support::{Net, Spec, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_payloads_and_needs_no_announcement_by_hand() {
    let net = Net::new(&["a", "b"]);
    let mut nodes = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let hash = a.client().send(b"kept", &[&b.public_key]).await;
    nodes.pop().unwrap().stop().await;
    let _again = b.start();
    b.wait_until_knows(&a.public_key).await;
    assert_eq!(b.client().receive(&hash).await, (200, b"kept".to_vec()));
    // A's pooled connection to B is dead by now; the push finds out and connects anew.
    let hash = a.client().send(b"new", &[&b.public_key]).await;
    assert_eq!(b.client().receive(&hash).await, (200, b"new".to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_payload_is_a_500_and_the_others_are_read() {
    let net = Net::new(&["a"]);
    let a = net.node("a");
    let running = a.start();
    a.wait_until_knows(&a.public_key).await;
    let damaged = a.client().send(b"first", &[]).await;
    let sound = a.client().send(b"second", &[]).await;
    running.stop().await;

    flip_a_bit_of_the_first_record(a);
    let _again = a.start();
    a.wait_until_knows(&a.public_key).await;
    // Not a 404: a ledger node would take that as "not a party", permanently.
    assert_eq!(a.client().receive(&damaged).await.0, 500);
    assert_eq!(a.client().receive(&sound).await, (200, b"second".to_vec()));
    let new = a.client().send(b"third", &[]).await;
    assert_eq!(a.client().receive(&new).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_payload_is_repaired_by_the_next_push_of_it() {
    let net = Net::new(&["a", "b"]);
    let mut nodes = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let kept = a.client().post_json("/storeraw", json!({"payload": "aGVsbG8="}).to_string()).await;
    let hash = kept.json()["key"].as_str().unwrap().to_owned();
    let send = json!({"hash": hash, "to": [b.public_key]}).to_string();
    assert_eq!(a.client().post_json("/sendsignedtx", send.clone()).await.status, 201);
    nodes.pop().unwrap().stop().await;
    flip_a_bit_behind(b, a.public_key.as_str());

    let _again = b.start();
    b.wait_until_knows(&a.public_key).await;
    assert_eq!(b.client().receive(&hash).await.0, 500);
    assert_eq!(a.client().post_json("/sendsignedtx", send).await.status, 201);
    assert_eq!(b.client().receive(&hash).await, (200, b"hello".to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_records_with_their_names_still_takes_new_payloads() {
    let net = Net::new(&["a", "b"]);
    let mut nodes = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let lost = a.client().send(b"lost", &[&b.public_key]).await;
    nodes.pop().unwrap().stop().await;
    for entry in std::fs::read_dir(b.dir.join("data")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let _again = b.start();
    b.wait_until_knows(&a.public_key).await;
    // The index still knows it. Which others are gone is not known, so none is denied.
    assert_eq!(b.client().receive(&lost).await.0, 500);
    let never_seen = tessera_enclave::base64::encode(&[7; 64]);
    assert_eq!(b.client().receive(&never_seen).await.0, 503);
    let pushed = a.client().send(b"new", &[&b.public_key]).await;
    assert_eq!(b.client().receive(&pushed).await, (200, b"new".to_vec()));
}

/// Each record holds its sender's key; the bit is in the first record's.
fn flip_a_bit_of_the_first_record(node: &Spec) {
    flip_a_bit_behind(node, &node.public_key);
}

/// In the first record of that sender.
fn flip_a_bit_behind(node: &Spec, sender: &str) {
    let key = tessera_enclave::base64::decode_strict(sender).unwrap();
    for entry in std::fs::read_dir(node.dir.join("data")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap_or_default();
        if let Some(at) = bytes.windows(key.len()).position(|window| window == key) {
            bytes[at] ^= 1;
            return std::fs::write(path, bytes).unwrap();
        }
    }
    panic!("no file holds the record");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_what_is_in_use() {
    let net = Net::new(&["a", "b"]);
    let _nodes = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let status = eventually("a is ready and has reached b", async || {
        let status = a.operator_client().get("/v1/status").await.json();
        (status["ready"] == json!(true) && status["peersReached"] == json!([b.p2p_url()])).then_some(status)
    })
    .await;
    assert_eq!(status["identity"], json!("spiffe://org.test/node/a"));
    assert_eq!(status["keys"][0]["publicKey"], json!(a.public_key));
    assert_eq!(status["keys"][0]["state"], json!("Default"));
    assert_eq!(status["database"]["available"], json!(true));
    assert_eq!(status["awaiting"], json!([]));
    assert_eq!(status["trustFingerprints"].as_array().unwrap().len(), 1);
    assert_eq!(status["dynamicConfigSha256"].as_str().unwrap().len(), 64);
    let parsed: tessera_node_api::admin::Status = serde_json::from_value(status).unwrap();
    assert_eq!(parsed.protocol, tessera_node_api::admin::PROTOCOL);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_dynamic_configuration_is_reported_and_the_good_one_kept() {
    let net = Net::new(&["a"]);
    let _nodes = net.start().await;
    let a = net.node("a");
    std::fs::write(a.dir.join("dynamic.json"), r#"{"version":1,"peerz":[]}"#).unwrap();
    eventually("the error is reported", async || {
        let status = a.operator_client().get("/v1/status").await.json();
        status["reloadErrors"].to_string().contains("unknown field `peerz`").then_some(())
    })
    .await;
    assert_eq!(a.client().get("/upcheck").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_comes_later_is_found_without_a_restart() {
    let net = Net::new(&["a", "b"]);
    let (a, b) = (net.node("a"), net.node("b"));
    a.write_dynamic(&[]);
    b.write_dynamic(&[]);
    let _nodes = [a.start(), b.start()];
    a.wait_until_knows(&a.public_key).await;
    b.wait_until_knows(&b.public_key).await;
    assert!(!a.peer_client(b).get("/partyinfo").await.text().contains(&b.public_key));
    a.write_dynamic(&[b.p2p_url()]);
    // B is told of A by A alone, and then tells A of itself.
    net.wait_until_met().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_are_answered_over_the_socket() {
    let net = Net::new(&["a"]);
    let a = net.node("a");
    assert!(ask(a, Question::Live).await.unwrap_err().contains("no answer"));
    let _node = a.start();
    eventually("it is ready", async || ask(a, Question::Ready).await.ok()).await;
    assert_eq!(ask(a, Question::Startup).await, Ok(()));
    assert_eq!(ask(a, Question::Live).await, Ok(()));
    // Without a certificate a node lives and does not serve.
    let net = Net::new(&["b"]);
    let b = net.node("b");
    std::fs::remove_file(b.dir.join("tls/tls.key")).unwrap();
    let _node = b.start();
    eventually("it lives", async || ask(b, Question::Live).await.ok()).await;
    eventually("it says what it awaits", async || {
        ask(b, Question::Ready).await.unwrap_err().contains("tls.key").then_some(())
    })
    .await;
    b.certify(&net.ca);
    eventually("it heals", async || ask(b, Question::Ready).await.ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_what_happened() {
    let net = Net::new(&["a", "b"]);
    let _nodes = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let hash = a.client().send(b"counted", &[&b.public_key]).await;
    let scraped = a.scraper_client().get("/metrics").await;
    assert!(scraped.header("content-type").starts_with("application/openmetrics-text"));
    let text = scraped.text();
    for line in [
        "tessera_request_duration_seconds_count{port=\"Q2T\",route=\"send\",status=\"2xx\"} 1",
        "tessera_push_duration_seconds_count{outcome=\"stored\"} 1",
        "tessera_store_written_records_total 1",
        "tessera_store_batch_size_count 1",
        "tessera_store_volume_free_bytes ",
        "tessera_store_live_bytes ",
        "tessera_store_compactions_total 0",
        "tessera_store_reclaimed_bytes_total 0",
        "tessera_store_damaged_segments 0",
        "tessera_keys 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(text.trim_end().ends_with("# EOF"));
    for secret in [hash.as_str(), &segment(&hash), &a.public_key, &b.public_key] {
        assert!(!text.contains(secret), "a hash or a key is a label");
    }
}

async fn ask(node: &Spec, question: Question) -> Result<(), String> {
    let args = ProbeArgs { question, socket: node.dir.join("probe.sock") };
    tokio::task::spawn_blocking(move || probe::ask(&args)).await.unwrap()
}
