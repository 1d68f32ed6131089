//! The node tries which clients its database accepts, and reports it.

use serde_json::{Value, json};

use crate::support::ca::Ca;
use crate::support::postgres::{Server, certify, name_database};
use crate::support::{Net, Spec, eventually};
use crate::{databases, is_ready};

/// The address and the outcomes of the node's trials of its database.
async fn tried(node: &Spec) -> (String, Vec<(String, String)>) {
    eventually("the database was tried", async || {
        let status = node.operator_client().try_get("/v1/status").await?.json();
        let servers = status["serverTrials"].as_array()?.clone();
        let database = servers.into_iter().find(|server| server["name"] == "database")?;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let trials = database["trials"].as_array().unwrap().iter();
        let trials = trials.map(|trial| (text(&trial["shown"]), text(&trial["outcome"]))).collect();
        Some((text(&database["address"]), trials))
    })
    .await
}

fn outcomes(of: [(&str, &str); 3]) -> Vec<(String, String)> {
    of.map(|(shown, outcome)| (shown.to_owned(), outcome.to_owned())).to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_demands_a_certificate_refuses_strangers() {
    let server = Server::start();
    let net = databases(&server, &["a"]);
    let _running = net.start().await;
    let (address, trials) = tried(net.node("a")).await;
    assert_eq!(address, server.host());
    assert_eq!(trials, outcomes([("NoCertificate", "Refused"), ("ForeignCA", "Refused"), ("Own", "Served")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_a_password_alone_is_seen_to_do_so() {
    let server = Server::start();
    server.psql("postgres", "CREATE ROLE secretive LOGIN PASSWORD 'planted'");
    server.psql("postgres", "CREATE DATABASE secret OWNER secretive");
    let mut net = Net::new(&["a"]);
    let connection = format!("postgresql://secretive:planted@{}/secret", server.host());
    name_database(&mut net.nodes[0], &connection, &server.ca);
    certify(net.node("a"), &server.ca);
    let _running = net.start().await;
    let (address, trials) = tried(net.node("a")).await;
    assert!(!address.contains("planted"), "{address}");
    // The server checks each certificate that a client shows, and demands none.
    assert_eq!(trials, outcomes([("NoCertificate", "Served"), ("ForeignCA", "Refused"), ("Own", "Served")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_waits_for_its_database_says_so_to_the_operator() {
    let server = Server::start();
    let net = databases(&server, &["a"]);
    let a = net.node("a");
    certify(a, &Ca::new("stranger"));
    let running = a.start();
    let waiting = eventually("the node says what it waits for", async || {
        let status = a.operator_client().try_get("/v1/status").await?.json();
        status["awaiting"].to_string().contains("the database cannot be used: 127.0.0.1").then_some(status)
    })
    .await;
    assert_eq!((&waiting["ready"], &waiting["database"]["available"]), (&json!(false), &json!(false)));
    assert_eq!(waiting["payloadStore"], Value::Null, "nobody knows which it is");
    certify(a, &server.ca);
    is_ready(a).await;
    drop(running);
}
