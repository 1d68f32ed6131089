//! How a node logs in, and what it refuses to use.

use crate::support::ca::Ca;
use crate::support::client::send_body;
use crate::support::postgres::{ROLE, Server, certify, keep_in, name_database};
use crate::support::process::{Process, binary};
use crate::support::{Net, Spec, eventually};
use crate::{databases, is_ready};

/// What the log of a node process says once it contains `text`.
async fn logged(log: &std::path::Path, text: &str) -> String {
    eventually(&format!("the log says {text:?}"), async || {
        let log = std::fs::read_to_string(log).ok()?;
        log.contains(text).then_some(log)
    })
    .await
}

fn start_logging(node: &Spec) -> (Process, std::path::PathBuf) {
    let log = node.dir.join("log");
    let mut command = binary();
    command.arg("run").arg("--configfile").arg(node.config_file());
    (Process::spawn_logging(command, &log), log)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_and_waited_for() {
    let server = Server::start();
    let mut net = databases(&server, &["a"]);
    let a = &mut net.nodes[0];
    let right = format!("postgresql://{ROLE}@{}/of_a", server.host());
    let write = |node: &Spec, text: &str| std::fs::write(node.dir.join("connection"), text).unwrap();
    write(a, &format!("{right}?sslmode=disable&password=planted"));
    let (_process, log) = start_logging(a);
    logged(&log, "asks for a weaker sslmode than verify-full").await;
    write(a, &right.replace("of_a", "absent"));
    logged(&log, "database \\\"absent\\\" does not exist (3D000)").await;
    write(a, &right.replace("127.0.0.1", "localhost"));
    logged(&log, "the certificate is for another name").await;
    std::fs::write(a.dir.join("database-ca.crt"), &Ca::new("stranger").pem).unwrap();
    write(a, &right);
    logged(&log, "the certificate is of no CA that we trust here").await;
    std::fs::write(a.dir.join("database-ca.crt"), &server.ca.pem).unwrap();
    certify(a, &Ca::new("stranger"));
    // TLS 1.3: the server's refusal comes after the handshake.
    logged(&log, "the other end refuses our certificate").await;
    certify(a, &server.ca);
    is_ready(a).await;
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(!log.contains("planted"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_loses_what_it_acknowledged_is_not_used() {
    let mut server = Server::start();
    let net = databases(&server, &["a"]);
    server.psql("postgres", "ALTER SYSTEM SET fsync = off");
    server.psql("postgres", "SELECT pg_reload_conf()");
    let a = net.node("a");
    let (_process, log) = start_logging(a);
    logged(&log, "the server runs with fsync = off").await;
    server.psql("postgres", "ALTER SYSTEM RESET fsync");
    server.crash();
    server.resume();
    is_ready(a).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_lose_rows_or_have_other_hashes_are_refused() {
    let server = Server::start();
    let net = databases(&server, &["a"]);
    let a = net.node("a");
    let (process, log) = start_logging(a);
    is_ready(a).await;
    drop(process);
    server.psql("of_a", "ALTER TABLE encrypted_raw_transaction SET UNLOGGED");
    let (_process, _) = start_logging(a);
    logged(&log, "run ALTER TABLE encrypted_raw_transaction SET LOGGED").await;
    server.psql("of_a", "ALTER TABLE encrypted_raw_transaction SET LOGGED");
    server.psql("of_a", "INSERT INTO encrypted_transaction (hash, encoded_payload) VALUES (decode(repeat('07', 32), 'hex'), '')");
    logged(&log, "hashes of another length than 64 bytes").await;
    server.psql("of_a", "DELETE FROM encrypted_transaction");
    is_ready(a).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_are_durable_whatever_the_default_of_the_server_is() {
    let server = Server::start();
    let net = databases(&server, &["a"]);
    server.psql("postgres", "ALTER DATABASE of_a SET synchronous_commit = off");
    let _running = net.start().await;
    net.node("a").client().send(b"hello", &[]).await;
    // The setting at the commit, which a deferred trigger sees.
    server.psql("of_a", "CREATE TABLE seen (setting text)");
    server.psql("of_a", &format!("GRANT INSERT ON seen TO {ROLE}"));
    server.psql("of_a", "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$");
    server.psql("of_a", "CREATE CONSTRAINT TRIGGER see AFTER INSERT ON encrypted_transaction DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION see()");
    net.node("a").client().send(b"again", &[]).await;
    assert_eq!(server.psql("of_a", "SELECT setting FROM seen"), "on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_make_tables_is_told_what_to_run() {
    let server = Server::start();
    server.psql("postgres", "CREATE DATABASE guarded");
    server.psql("guarded", "REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    let mut net = Net::new(&["a"]);
    keep_in(&mut net.nodes[0], &server, "guarded");
    let a = net.node("a");
    let (_process, log) = start_logging(a);
    logged(&log, "Run `tessera-node database-schema`").await;
    let schema = binary().arg("database-schema").output().unwrap();
    let schema = String::from_utf8(schema.stdout).unwrap();
    server.psql(
        "guarded",
        &format!("{schema} GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {ROLE}"),
    );
    is_ready(a).await;
    a.client().send(b"hello", &[]).await;
    assert_eq!(server.psql("guarded", "SELECT count(*) FROM encrypted_transaction"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_and_certificates_change_without_a_restart() {
    let server = Server::start();
    server.psql("postgres", "CREATE ROLE secretive LOGIN PASSWORD 'first password'");
    server.psql("postgres", "CREATE DATABASE secret OWNER secretive");
    let mut net = Net::new(&["a"]);
    let string = |password: &str| {
        let (host, port) =
            server.host().split_once(':').map(|(host, port)| (host.to_owned(), port.to_owned())).unwrap();
        format!("host={host} port={port} user=secretive dbname=secret password='{password}'")
    };
    name_database(&mut net.nodes[0], &string("first password"), &server.ca);
    certify(net.node("a"), &server.ca);
    let running = net.start().await;
    let a = net.node("a");
    let hash = a.client().send(b"before", &[]).await;
    server.psql("postgres", "ALTER ROLE secretive PASSWORD 'second password'");
    std::fs::write(a.dir.join("connection"), string("second password")).unwrap();
    server.psql(
        "postgres",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'secretive'",
    );
    assert_eq!(a.client().receive(&hash).await, (200, b"before".to_vec()));
    a.client().send(b"after", &[]).await;
    drop(running);

    // A certificate that is renewed, whose predecessor the server no longer takes.
    let net = databases(&server, &["b"]);
    let _running = net.start().await;
    let b = net.node("b");
    let hash = b.client().send(b"before", &[]).await;
    let shown = |node: &Spec| std::fs::read(node.dir.join("database-tls/tls.crt")).unwrap();
    let before = shown(b);
    certify(b, &server.ca);
    assert_ne!(before, shown(b));
    server
        .psql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ledger'");
    assert_eq!(b.client().receive(&hash).await, (200, b"before".to_vec()));
    server.await_sql("SELECT count(DISTINCT client_serial) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'ledger'", "1");
    assert_eq!(b.client().post_json("/send", send_body(b"after", &[])).await.status, 201);
}
