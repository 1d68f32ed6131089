//! Nodes that keep their payloads in a real `PostgreSQL`.
//!
//! Run by name, since it needs a server's programs:
//! `POSTGRES_BIN="$(hack/tools postgres)" cargo test -p tessera-node --test real_postgres`

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests fail as tests do.

#[path = "../support/mod.rs"]
mod support;

mod failover;
mod java;
mod login;
mod many;
mod replicas;
mod replicated;
mod strangers;

use futures::StreamExt;
use serde_json::json;
use support::client::send_body;
use support::postgres::{ROLE, Server, keep_in};
use support::{Net, Running, Spec, eventually};
use tessera_enclave::TxHash;

/// A network in which the nodes keep their payloads in databases of `server`, each in one of its own name.
fn databases(server: &Server, names: &[&str]) -> Net {
    let mut net = Net::new(names);
    for node in &mut net.nodes {
        let database = format!("of_{}", node.name);
        server.create_database(&database);
        keep_in(node, server, &database);
    }
    net
}

/// Waits until the node is ready.
async fn is_ready(node: &Spec) {
    eventually(&format!("{} is ready", node.name), async || {
        let status = node.operator_client().try_get("/v1/status").await?.json();
        (status["ready"] == json!(true)).then_some(())
    })
    .await;
}

/// What the node says of its database, once it is not available.
async fn complaint(node: &Spec) -> String {
    eventually("the database is missed", async || {
        let status = node.operator_client().try_get("/v1/status").await?.json();
        let database = &status["database"];
        (database["available"] == json!(false)).then(|| database["message"].as_str().unwrap().to_owned())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_are_kept_and_read_back() {
    let server = Server::start();
    let net = databases(&server, &["a", "b"]);
    let running = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let hash = a.client().send(b"hello", &[&b.public_key]).await;
    let large = vec![7; 3 << 20];
    let large_hash = a.client().send(&large, &[&b.public_key]).await;
    for running in running {
        running.stop().await;
    }

    let _running = net.start().await;
    for node in [a, b] {
        assert_eq!(node.client().receive(&hash).await, (200, b"hello".to_vec()), "{}", node.name);
        assert_eq!(node.client().receive(&large_hash).await, (200, large.clone()), "{}", node.name);
        let unknown = TxHash::of(b"nothing").to_string();
        assert_eq!(node.client().receive(&unknown).await.0, 404);
    }
    let rows = server.psql(
        "of_b",
        "SELECT count(*), min(payload_codec), min(timestamp) > 1600000000000 FROM encrypted_transaction",
    );
    assert_eq!(rows, "2|CBOR|t");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_payload_is_stored_sent_once_and_read() {
    let server = Server::start();
    let net = databases(&server, &["a", "b"]);
    let _running = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let stored = a.client().post_json("/storeraw", r#"{"payload":"aGVsbG8="}"#).await;
    let hash = stored.json()["key"].as_str().unwrap().to_owned();
    let raw = |hash: &str| format!("/transaction/{}?isRaw=true", support::client::segment(hash));
    assert_eq!(support::client::message_of(&a.client().get(&raw(&hash)).await), (200, b"hello".to_vec()));
    assert_eq!(a.client().get(&raw(&TxHash::of(b"nothing").to_string())).await.status, 404);

    let sent = json!({"hash": hash, "to": [b.public_key]}).to_string();
    // The client's retry of the same call is answered as the first.
    for _ in 0..2 {
        assert_eq!(a.client().post_json("/sendsignedtx", sent.clone()).await.status, 201);
    }
    assert_eq!(b.client().receive(&hash).await, (200, b"hello".to_vec()));
    assert_eq!(server.psql("of_a", "SELECT count(*) FROM encrypted_raw_transaction"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn sends_at_the_same_time_share_transactions() {
    const SENDS: usize = 400;
    let server = Server::start();
    let net = databases(&server, &["a", "b"]);
    let _running = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let sends = (0..SENDS).map(async |number: usize| {
        let message = number.to_be_bytes();
        (a.client().send(&message, &[&b.public_key]).await, message)
    });
    let sent: Vec<_> = futures::stream::iter(sends).buffer_unordered(32).collect().await;
    for (hash, message) in &sent {
        assert_eq!(b.client().receive(hash).await, (200, message.to_vec()));
    }
    assert_eq!(server.psql("of_a", "SELECT count(*) FROM encrypted_transaction"), SENDS.to_string());
    let (written, statements) = (
        a.metric("tessera_database_written_rows_total").await,
        a.metric("tessera_database_insert_statements_total").await,
    );
    assert_eq!(written, SENDS as u64);
    assert!(statements < written, "{statements} statements wrote {written} rows");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_and_comes_back_needs_no_restart() {
    let mut server = Server::start();
    let net = databases(&server, &["a", "b"]);
    let _running: Vec<Running> = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let hash = a.client().send(b"before", &[&b.public_key]).await;
    let resend = json!({"type": "INDIVIDUAL", "publicKey": b.public_key, "key": hash}).to_string();
    let asked_again = async || a.peer_client(b).post_json("/resend", resend.clone()).await.status;
    assert_eq!(asked_again().await, 200);
    let unknown = TxHash::of(b"nothing").to_string();
    server.crash();
    complaint(a).await;
    // What is not known is never "not found".
    assert_eq!(a.client().receive(&hash).await.0, 503);
    assert_eq!(a.client().receive(&unknown).await.0, 503);
    assert_eq!(a.client().post_json("/send", send_body(b"during", &[])).await.status, 503);
    assert_eq!(asked_again().await, 503);

    server.resume();
    is_ready(a).await;
    assert_eq!(asked_again().await, 200);
    assert_eq!(a.client().receive(&hash).await, (200, b"before".to_vec()));
    assert_eq!(a.client().receive(&unknown).await.0, 404);
    a.client().send(b"after", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_sends_and_reads_go_on() {
    let server = Server::start();
    let net = databases(&server, &["a"]);
    let _running = net.start().await;
    let a = net.node("a");
    let hash = a.client().send(b"before", &[]).await;
    // The code with which a server refuses when its disk is full.
    server.psql("of_a", "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no space' USING ERRCODE = '53100'; END $$");
    server.psql(
        "of_a",
        "CREATE TRIGGER full_disk BEFORE INSERT ON encrypted_transaction EXECUTE FUNCTION full_disk()",
    );
    let refused = a.client().post_json("/send", send_body(b"during", &[])).await;
    assert_eq!((refused.status, refused.text().contains("disk is full")), (503, true), "{}", refused.text());
    assert_eq!(a.client().receive(&hash).await, (200, b"before".to_vec()));
    server.psql("of_a", "DROP TRIGGER full_disk ON encrypted_transaction");
    a.client().send(b"after", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_database_in_its_place_is_not_taken_for_it() {
    let server = Server::start();
    let mut net = databases(&server, &["a"]);
    server.create_database("other");
    let _running = net.start().await;
    let hash = net.node("a").client().send(b"before", &[]).await;
    // An administrator renames databases, and the next connections reach an empty one.
    let a = &mut net.nodes[0];
    std::fs::write(a.dir.join("connection"), format!("postgresql://{ROLE}@{}/other", server.host())).unwrap();
    server
        .psql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ledger'");
    let said = complaint(a).await;
    assert!(said.contains("it is not the payload store"), "{said}");
    assert_eq!(a.client().receive(&hash).await.0, 503);
    std::fs::write(a.dir.join("connection"), format!("postgresql://{ROLE}@{}/of_a", server.host())).unwrap();
    is_ready(a).await;
    assert_eq!(a.client().receive(&hash).await, (200, b"before".to_vec()));
    let tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'";
    assert_eq!(server.psql("other", tables), "0", "nothing is made where nothing belongs");
}
