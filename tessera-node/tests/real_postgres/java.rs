//! Tables that Java Tessera made, and what each of the two reads of the other.

use serde_json::json;
use tessera_enclave::PayloadCodec;

use crate::is_ready;
use crate::support::Net;
use crate::support::postgres::{ROLE, Server, keep_in};

/// As Java's script for `PostgreSQL` made them before version 22.1.
const OLD_TABLES: &str = "CREATE TABLE ENCRYPTED_TRANSACTION (ENCODED_PAYLOAD BYTEA NOT NULL, HASH BYTEA NOT NULL, \
     TIMESTAMP NUMERIC(19), PRIMARY KEY (HASH)); \
     CREATE TABLE ENCRYPTED_RAW_TRANSACTION (ENCRYPTED_KEY BYTEA NOT NULL, ENCRYPTED_PAYLOAD BYTEA NOT NULL, \
     NONCE BYTEA NOT NULL, SENDER BYTEA NOT NULL, TIMESTAMP NUMERIC(19), HASH BYTEA NOT NULL, PRIMARY KEY (HASH))";
/// Java's script for version 22.1.
const ADD_CODEC: &str = "ALTER TABLE ENCRYPTED_TRANSACTION ADD COLUMN PAYLOAD_CODEC VARCHAR(50)";

/// A node, and the database `java` with Java's old tables.
fn old_tables() -> (Server, Net) {
    let server = Server::start();
    server.create_database("java");
    server.psql("java", &format!("SET ROLE {ROLE}; {OLD_TABLES}"));
    let mut net = Net::new(&["a"]);
    keep_in(&mut net.nodes[0], &server, "java");
    (server, net)
}

#[tokio::test(flavor = "multi_thread")]
async fn old_tables_are_used_as_they_are_and_get_the_new_codec_with_their_new_column() {
    let (server, net) = old_tables();
    let _running = net.start().await;
    let a = net.node("a");
    let old = a.client().send(b"old", &[]).await;
    assert_eq!(a.client().post_json("/storeraw", r#"{"payload":"aGVsbG8="}"#).await.status, 200);
    let columns =
        "SELECT count(*) FROM information_schema.columns WHERE table_name = 'encrypted_transaction'";
    assert_eq!(server.psql("java", columns), "3", "the table is as it was");
    let row = server.psql("java", "SELECT encode(encoded_payload, 'hex') FROM encrypted_transaction");
    let payload = PayloadCodec::Legacy.decode(&hex::decode(&row).unwrap().into()).unwrap();
    assert_eq!(payload.hash().to_string(), old, "the row is in the codec that Java without the column reads");
    // Rows are older than the column for the time.
    server.psql("java", "UPDATE encrypted_transaction SET timestamp = NULL");
    assert_eq!(a.client().receive(&old).await, (200, b"old".to_vec()));

    // While the node runs; its next connections find the column.
    server.psql("java", ADD_CODEC);
    server
        .psql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ledger'");
    server.await_sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'ledger'", "5");
    is_ready(a).await;
    let new = a.client().send(b"new", &[]).await;
    let codecs = server.psql("java", "SELECT string_agg(coalesce(payload_codec, '-'), ' ' ORDER BY timestamp NULLS FIRST) FROM encrypted_transaction");
    assert_eq!(codecs, "- CBOR");
    assert_eq!(a.client().receive(&old).await, (200, b"old".to_vec()));
    assert_eq!(a.client().receive(&new).await, (200, b"new".to_vec()));

    // Statements that are prepared on the table as it was fail, and are prepared again.
    server.psql("java", "ALTER TABLE encrypted_transaction ALTER COLUMN payload_codec TYPE text");
    assert_eq!(a.client().receive(&new).await, (200, b"new".to_vec()));
    let newest = a.client().send(b"newest", &[]).await;
    assert_eq!(a.client().receive(&newest).await, (200, b"newest".to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_no_tessera_wrote_is_unreadable_and_never_not_found() {
    let server = Server::start();
    let net = crate::databases(&server, &["a"]);
    let _running = net.start().await;
    let a = net.node("a");
    let hash = a.client().send(b"hello", &[]).await;
    for (change, back) in [
        ("payload_codec = 'XML'", "payload_codec = 'CBOR'"),
        ("payload_codec = 'LEGACY'", "payload_codec = 'CBOR'"),
    ] {
        server.psql("of_a", &format!("UPDATE encrypted_transaction SET {change}"));
        let read = a.client().receive(&hash).await;
        assert_eq!(read.0, 503, "{change}: {}", String::from_utf8_lossy(&read.1));
        server.psql("of_a", &format!("UPDATE encrypted_transaction SET {back}"));
        assert_eq!(a.client().receive(&hash).await, (200, b"hello".to_vec()), "{back}");
    }
    let status = a.operator_client().get("/v1/status").await.json();
    assert_eq!(status["database"]["available"], json!(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_table_never_hides_the_one_with_the_payloads() {
    let server = Server::start();
    let mut net = crate::databases(&server, &["a"]);
    let running = net.start().await;
    let hash = net.node("a").client().send(b"hello", &[]).await;
    for running in running {
        running.stop().await;
    }
    // As a Java node left it: its tables alone, and beside them a schema that the role's search path has first.
    server.psql("of_a", "DROP TABLE tessera_node_store; CREATE SCHEMA ledger AUTHORIZATION ledger");
    keep_in(&mut net.nodes[0], &server, "of_a");
    let _running = net.start().await;
    assert_eq!(net.node("a").client().receive(&hash).await, (200, b"hello".to_vec()));
    assert_eq!(server.psql("of_a", "SELECT to_regclass('ledger.encrypted_transaction') IS NULL"), "t");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_from_before_the_new_column_spoil_no_row() {
    let (server, net) = old_tables();
    let _running = net.start().await;
    let a = net.node("a");
    let old = a.client().send(b"old", &[]).await;
    server.psql("java", ADD_CODEC);
    // Another replica, which knows the column, wrote this row.
    let new = a.client().send(b"new", &[]).await;
    server.psql("java", "UPDATE encrypted_transaction SET payload_codec = 'CBOR', encoded_payload = '\\x00'");
    // Never read in the codec of the old connections: an error, and not a payload or "not found".
    for hash in [&old, &new] {
        let read = a.client().receive(hash).await;
        assert_eq!(read.0, 503, "{}", String::from_utf8_lossy(&read.1));
    }
    let newest = a.client().send(b"newest", &[]).await;
    assert_eq!(a.client().receive(&newest).await, (200, b"newest".to_vec()));
}
