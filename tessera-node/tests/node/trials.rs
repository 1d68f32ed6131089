//! The node tries its own listeners, and says how they treated it.

use jiff::SignedDuration;
use serde_json::{Value, json};
use tessera_node_api::paths::EXPIRED_FILE;

use crate::support::ca::{Ca, Wish};
use crate::support::{Net, Spec, eventually};

/// A leaf of `ca` for the node, which ended some minutes ago, or ends later.
fn write_expired(ca: &Ca, node: &Spec, directory: &str, ended: SignedDuration) {
    let issued = ca.issue(&Wish { until: -ended, ..node.wish() });
    let directory = node.dir.join(directory);
    std::fs::write(directory.join(EXPIRED_FILE), issued.certificate + &issued.key).unwrap();
}

/// What listeners did, once a round ended that `wanted` accepts: `<listener> <shown>: <outcome>`.
async fn trials(node: &Spec, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
    eventually("its listeners are tried", async || {
        let status = node.operator_client().get("/v1/status").await.json();
        let listeners = status["listenerTrials"]["listeners"].as_array()?.clone();
        let lines: Vec<_> = listeners.iter().flat_map(lines).collect();
        wanted(&lines).then_some(lines)
    })
    .await
}

fn lines(listener: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let name = text(&listener["name"]);
    let line = |trial: &Value| format!("{name} {}: {}", text(&trial["shown"]), text(&trial["outcome"]));
    listener["trials"].as_array().unwrap().iter().map(line).collect()
}

fn try_each_second(config: &Net) {
    let a = config.node("a");
    let path = a.dir.join("dynamic.json");
    let mut dynamic: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    dynamic["probeEverySeconds"] = json!(1);
    std::fs::write(&path, dynamic.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_listener_refuses_each_wrong_client_and_nothing_is_logged_as_an_attack() {
    let net = Net::new(&["a"]);
    let a = net.node("a");
    let admin = Ca::new("admin");
    admin.issue(&a.wish()).write(&a.dir.join("admin-tls"));
    let operator = tessera_node_api::identity::Identity::operator(crate::support::TRUST_DOMAIN).unwrap();
    admin.issue(&crate::support::ca::wish(&operator.to_string())).write(&a.dir.join("operator-tls"));
    write_expired(&net.ca, a, "tls", SignedDuration::from_mins(5));
    write_expired(&admin, a, "admin-tls", SignedDuration::from_mins(5));
    let _nodes = net.start().await;

    let found = trials(a, |lines| !lines.is_empty()).await;
    let mut expected = Vec::new();
    for listener in ["admin", "metrics", "P2P", "Q2T"] {
        let wrong = ["Plain", "NoCertificate", "ForeignCA", "Expired"];
        expected.extend(wrong.map(|shown| format!("{listener} {shown}: Refused")));
        // Nodes are served by P2P alone.
        let own = if listener == "P2P" { "Served" } else { "Refused" };
        expected.push(format!("{listener} Own: {own}"));
    }
    assert_eq!(found, expected);
    let scraped = a.scraper_client().get("/metrics").await;
    let refused = scraped.text().lines().filter(|line| line.contains("refused") && !line.starts_with('#'));
    let counted: Vec<_> = refused.filter(|line| !line.ends_with(" 0")).map(str::to_owned).collect();
    assert_eq!(counted, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_serves_whom_it_should_not_is_found() {
    let net = Net::new(&["a"]);
    let a = net.node("a");
    try_each_second(&net);
    let _nodes = net.start().await;
    let before = trials(a, |lines| !lines.is_empty()).await;
    assert!(!before.iter().any(|line| line.contains("Expired")), "none to try with: {before:?}");

    // "Expired" that is not: as if the listener did not look at the end.
    write_expired(&net.ca, a, "tls", SignedDuration::from_mins(-5));
    // Q2T refuses it for whom it speaks, and not for its end: that shows nothing of expired certificates. A round that was
    // under way has tried only the last listeners with it.
    let found = ["P2P Expired: Served", "Q2T Expired: Unclear"];
    trials(a, |lines| found.iter().all(|line| lines.iter().any(|other| other == line))).await;

    write_expired(&net.ca, a, "tls", SignedDuration::from_mins(5));
    let refused = |lines: &[String]| lines.contains(&"P2P Expired: Refused".to_owned());
    trials(a, refused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_tried_at_once() {
    let net = Net::new(&["a"]);
    let a = net.node("a");
    let _nodes = net.start().await;
    trials(a, |lines| !lines.is_empty()).await;
    write_expired(&net.ca, a, "tls", SignedDuration::from_mins(5));
    a.certify(&net.ca);
    // The period is a quarter of an hour.
    trials(a, |lines| lines.contains(&"P2P Expired: Refused".to_owned())).await;
}
