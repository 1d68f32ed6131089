//! A node that ships its logs to a real OpenTelemetry collector, and to one that rejects records.
//!
//! Run by name, since it needs a collector's binary:
//! `OTELCOL_BIN="$(hack/tools otelcol)" cargo test -p tessera-node --test real_collector`

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests fail as tests do.

#[path = "../support/mod.rs"]
mod support;

mod collector;
mod rejecting;

use std::time::{Duration, Instant};

use collector::Collector;
use serde_json::{Value, json};
use support::ca::Ca;
use support::process::{Process, binary};
use support::{Net, Spec, eventually};

/// The node's API deadline for a send is longer; a collector must add nothing that could be seen beside it.
const SOON: Duration = Duration::from_secs(2);
/// Between two attempts of the node at a collector that has been away for long.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Names the collector to the node, as the operator does: the file is replaced whole.
fn name_collector(node: &Spec, endpoint: &str, ca: &str) {
    let logging = json!({"version": 1, "endpoint": endpoint, "caBundle": ca});
    let (file, partial) = (node.dir.join("logging.json"), node.dir.join("logging.partial"));
    std::fs::write(&partial, logging.to_string()).unwrap();
    std::fs::rename(partial, file).unwrap();
}

/// Its sends are log records.
fn start(node: &Spec) -> Process {
    let mut command = binary();
    command.arg("run").arg("--configfile").arg(node.config_file()).env("RUST_LOG", "info,tessera_node=debug");
    Process::spawn(command)
}

async fn logging(node: &Spec) -> Option<Value> {
    let status = node.operator_client().try_get("/v1/status").await?.json();
    status.get("logging").cloned()
}

/// The status of the shipping, once it is so.
async fn until(node: &Spec, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + LONGEST_PAUSE + support::PATIENCE;
    loop {
        if let Some(status) = logging(node).await.filter(&holds) {
            return status;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}: {:?}", logging(node).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn is_accepted(logging: &Value) -> bool {
    logging["acceptedAt"].is_string() && logging.get("error").is_none()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_canary_and_the_records_of_a_node_arrive_over_mutual_tls() {
    let net = Net::new(&["a"]);
    let a = net.node("a");
    let own = Ca::new("collector");
    let collector = Collector::new(&own);
    let process = collector.start(&net.ca);
    name_collector(a, &collector.endpoint(), &own.pem);
    let _node = start(a);
    until(a, "the canary is accepted", is_accepted).await;
    let identity = a.identity().to_string();
    eventually("canary and records are in the collector's output", async || {
        let output = collector.output();
        let all = ["Body: Str(log canary)", "Body: Str(dynamic configuration in use)", &identity];
        all.iter().all(|text| output.contains(text)).then_some(())
    })
    .await;
    assert_eq!(a.metric("tessera_logs_dropped_total").await, 0);
    assert!(a.metric("tessera_logs_canary_accepted_seconds").await > 0);
    drop(process);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_trusts_another_ca_is_served_once_the_node_s_certificate_is_of_that() {
    let net = Net::new(&["a"]);
    let a = net.node("a");
    let (own, other) = (Ca::new("collector"), Ca::new("other"));
    let collector = Collector::new(&own);
    let process = collector.start(&other);
    name_collector(a, &collector.endpoint(), &own.pem);
    let _node = start(a);
    let refused =
        until(a, "the collector refuses the certificate", |logging| logging["error"].is_string()).await;
    assert!(refused["error"].as_str().unwrap().contains("certificate"), "{refused}");
    assert!(refused.get("acceptedAt").is_none(), "{refused}");
    a.certify(&other);
    until(a, "the new certificate is accepted", is_accepted).await;
    drop(process);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_down_slows_no_send_and_what_the_buffer_cannot_hold_is_counted() {
    let net = Net::new(&["a"]);
    let a = net.node("a");
    let own = Ca::new("collector");
    let collector = Collector::new(&own);
    name_collector(a, &collector.endpoint(), &own.pem);
    let _node = start(a);
    a.wait_until_serves().await;
    until(a, "the collector is missed", |logging| logging["error"].is_string()).await;
    let deadline = Instant::now() + support::PATIENCE * 4;
    while a.metric("tessera_logs_dropped_total").await == 0 {
        assert!(Instant::now() < deadline, "the buffer does not fill");
        send_many(a).await;
    }
    let lost = until(a, "the loss is in the status", |logging| logging["dropped"].as_u64() > Some(0)).await;
    assert!(lost["lostAt"].is_string(), "{lost}");
    let process = collector.start(&net.ca);
    until(a, "the collector is back", is_accepted).await;
    eventually("the records that waited arrive", async || {
        collector.output().contains("Body: Str(transaction sent)").then_some(())
    })
    .await;
    drop(process);
}

/// On several connections at once; each send is one record.
async fn send_many(node: &Spec) {
    let on_one_connection = async || {
        let mut session = node.client().session().await.unwrap();
        for _ in 0..32 {
            let started = Instant::now();
            session.send(b"x", &[]).await;
            assert!(started.elapsed() < SOON, "a send took {:?}", started.elapsed());
        }
    };
    futures::future::join_all((0..8).map(|_| on_one_connection())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_rejected_within_an_answer_of_200_is_not_accepted() {
    let net = Net::new(&["a"]);
    let a = net.node("a");
    let endpoint = rejecting::start(&net).await;
    name_collector(a, &endpoint, &net.ca.pem);
    let _node = start(a);
    let rejected = until(a, "the rejection is reported", |logging| logging["error"].is_string()).await;
    assert_eq!(rejected["error"], "it rejected the canary record: quota");
    assert!(rejected["rejected"].as_u64() > Some(0) && rejected.get("acceptedAt").is_none(), "{rejected}");
    assert!(a.metric("tessera_logs_rejected_total").await > 0);
}
