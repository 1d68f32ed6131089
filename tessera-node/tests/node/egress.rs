//! The node tries what its pod must not reach, and says what came of it.

use serde_json::{Value, json};
use tessera_node_api::paths::EGRESS_FILE;
use tokio::net::TcpListener;

use crate::support::{Net, Port, Spec, eventually};

const LOCAL: &str = "127.0.0.1";

async fn listening() -> (TcpListener, String) {
    let listener = TcpListener::bind((LOCAL, 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

fn refusing() -> (Port, String) {
    let port = Port::reserve(LOCAL.parse().unwrap());
    let address = format!("{LOCAL}:{}", port.number());
    (port, address)
}

fn guarded(forbidden: &str, allowed: &str) -> Net {
    Net::with(&["a"], |config| {
        config["tesseraNode"]["egressGuard"] =
            json!({"forbidden": forbidden, "allowed": allowed, "timeoutSeconds": 1});
    })
}

fn try_each_second(node: &Spec) {
    let path = node.dir.join("dynamic.json");
    let mut dynamic: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    dynamic["probeEverySeconds"] = json!(1);
    std::fs::write(&path, dynamic.to_string()).unwrap();
}

fn must_not_reach(node: &Spec, targets: &[&str]) {
    let (file, partial) = (node.dir.join(EGRESS_FILE), node.dir.join("egress.partial"));
    std::fs::write(&partial, json!({"version": 1, "mustNotReach": targets}).to_string()).unwrap();
    std::fs::rename(partial, file).unwrap();
}

/// Waits for a round that came out so: the forbidden targets, then the allowed one.
async fn tried(node: &Spec, wanted: &[(&str, &str)]) -> Value {
    let wanted: Vec<_> =
        wanted.iter().map(|(target, reach)| json!({"target": target, "reach": reach})).collect();
    eventually(&format!("a round comes out as {wanted:?}"), async || {
        let status = node.operator_client().get("/v1/status").await.json();
        let trials = &status["egressTrials"];
        let mut found = trials["forbidden"].as_array()?.clone();
        found.push(trials["allowed"].clone());
        (found == wanted).then_some(status)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_egress_that_opens_is_found_and_so_is_one_that_closes() {
    let ((_store, store), (_forbidden, forbidden), (_named, named)) =
        (listening().await, refusing(), refusing());
    let net = guarded(&forbidden, &store);
    let a = net.node("a");
    try_each_second(a);
    must_not_reach(a, &[&named]);
    let _nodes = net.start().await;
    let status = tried(a, &[(&forbidden, "Failed"), (&named, "Failed"), (&store, "Reached")]).await;
    assert!(status["egressClosedSince"].is_string() && status["now"].is_string(), "{status}");

    let opened = TcpListener::bind(&named).await.unwrap();
    tried(a, &[(&forbidden, "Failed"), (&named, "Reached"), (&store, "Reached")]).await;
    drop(opened);
    tried(a, &[(&forbidden, "Failed"), (&named, "Failed"), (&store, "Reached")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_store_a_failed_connect_stands_beside_one_that_should_not_have_failed() {
    let ((store, allowed), (_forbidden, forbidden)) = (listening().await, refusing());
    let net = guarded(&forbidden, &allowed);
    let a = net.node("a");
    try_each_second(a);
    let _nodes = net.start().await;
    tried(a, &[(&forbidden, "Failed"), (&allowed, "Reached")]).await;
    drop(store);
    tried(a, &[(&forbidden, "Failed"), (&allowed, "Failed")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_the_network_names_later_is_tried_at_once() {
    let ((_store, store), (_forbidden, forbidden), (_open, open)) =
        (listening().await, refusing(), listening().await);
    let net = guarded(&forbidden, &store);
    let a = net.node("a");
    let _nodes = net.start().await;
    tried(a, &[(&forbidden, "Failed"), (&store, "Reached")]).await;
    // The period is a quarter of an hour.
    must_not_reach(a, &[&open]);
    tried(a, &[(&forbidden, "Failed"), (&open, "Reached"), (&store, "Reached")]).await;
}
