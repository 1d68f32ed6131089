//! `checklist.mode: Enforce`: a change that widens what is there waits for its lines; everything else goes through.

use std::net::{IpAddr, Ipv4Addr};

use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::events::events_of;
use crate::operator::Operator;
use crate::partners::{bundle, given, partner};
use crate::pods;
use crate::world::{World, condition, network, node, store_ca};

/// Nobody listens there: what the node says of itself does not matter here.
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 78, 0, 9));

/// A person accepts the violation of `line`.
async fn accept(world: &World, line: &str) {
    let exception = json!({
        "apiVersion": "tessera.rs/v1alpha1", "kind": "TesseraAttestation",
        "metadata": {"name": format!("accept-{}", line.to_lowercase())},
        "spec": {"networkRef": {"name": "net"}, "line": line, "type": "Exception", "statement": "For this test.",
            "by": "test-admin", "expires": (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)).to_string()},
    });
    world.create("TesseraAttestation", exception).await;
}

/// The lines of the object that are violated.
fn violated(object: &Value) -> Vec<String> {
    let lines = object["status"]["checklist"]["lines"].as_array().cloned().unwrap_or_default();
    let violated = lines.into_iter().filter(|line| line["result"] == "Violated");
    violated.map(|line| line["id"].as_str().unwrap_or_default().to_owned()).collect()
}

fn held(node: &Value) -> Vec<String> {
    let held = node["status"]["held"].as_array().cloned().unwrap_or_default();
    held.iter().map(|held| held["field"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Keys in a token are out of this store's reach, whether it answers or not.
fn demand() -> Value {
    json!({"mode": "Enforce", "hardware": {"minimum": "NonExtractable"}})
}

/// Waits until the operator has judged the network as its spec is now, by its store and by its cluster, where no policy denies exec.
async fn until_judged(world: &World) -> Value {
    let judged = |network: &Value| {
        let violated = violated(network);
        network["status"]["observedGeneration"] == network["metadata"]["generation"]
            && ["HardwareKeys", "NoRemoteRoot"].iter().all(|id| violated.iter().any(|it| it == id))
    };
    world.until("TesseraNetwork", "net", judged).await
}

#[tokio::test]
async fn a_new_node_waits_until_each_violation_is_accepted() {
    let world = World::new("enforce-new").await;
    let operator = Operator::start(&world);
    world.create("ConfigMap", store_ca()).await;
    let mut enforced = network();
    enforced["spec"]["checklist"] = demand();
    world.create("TesseraNetwork", enforced).await;
    // At once: a node must not slip in before the network is judged.
    world.create("TesseraNode", node("a")).await;
    let message = world.until_reason("TesseraNode", "a", "Ready", "ChecklistHeld").await;
    assert!(message.contains("is Violated") && message.contains("type Exception"), "{message}");
    let waiting = world.until("TesseraNode", "a", |node| held(node) == ["spec"]).await;
    assert!(condition(&waiting, "Reconciling").is_none(), "{waiting:#}");

    let lines = violated(&until_judged(&world).await);
    assert!(lines.len() > 1, "{lines:?}");
    let (last, others) = lines.split_last().unwrap();
    for line in others {
        accept(&world, line).await;
    }
    let held_by = |node: &Value| node["status"]["held"][0]["line"].clone();
    world.until("TesseraNode", "a", |node| held_by(node) == **last).await;
    // A new process knows no better.
    assert!(operator.terminate().success());
    let operator = Operator::start(&world);
    operator.until_serves().await;
    let before = operator.reconciles_of_each_kind();
    world.edit("TesseraNode", "a", json!({"metadata": {"annotations": {"round": "1"}}})).await;
    operator.until_reconciled_since([before[0], 0]).await;
    let made: Vec<_> =
        world.owned().await.into_keys().filter(|key| key.contains(" a") || key.contains("-a")).collect();
    assert_eq!(made, [""; 0], "nothing of the node is made");
    let peers = world.until("ConfigMap", "net-peers", |map| !map.is_null()).await;
    assert!(!peers["data"]["peers.json"].to_string().contains("a-p2p"), "it is nobody's peer: {peers:#}");

    accept(&world, last).await;
    world.until("StatefulSet", "tessera-a", |set| !set.is_null()).await;
    world.until("TesseraNode", "a", |node| held(node).is_empty()).await;
    world
        .until("ConfigMap", "net-peers", |map| map["data"]["peers.json"].to_string().contains("a-p2p"))
        .await;
    let reasons = events_of(&world, "TesseraNode", "a").await.into_iter().map(|(reason, _)| reason);
    let reasons: Vec<_> = reasons.filter(|reason| reason.starts_with("ChecklistHeld")).collect();
    assert_eq!(reasons, ["ChecklistHeld"], "once");
}

fn client(name: &str, apps: &[&str]) -> Value {
    let from = apps.iter().map(|app| json!({"podSelector": {"matchLabels": {"app": app}}}));
    json!({"name": name, "from": from.collect::<Vec<_>>()})
}

fn image(digit: &str) -> String {
    format!("registry.example/tessera-node@sha256:{}", digit.repeat(64))
}

async fn ledger_secret(world: &World) -> String {
    let secret = world.until("Secret", "a-client-ledger", |secret| !secret.is_null()).await;
    secret["metadata"]["uid"].as_str().unwrap().to_owned()
}

/// What is held has come nowhere.
async fn has_only_what_it_had(world: &World) {
    assert!(world.get("Secret", "a-client-second").await.is_none());
    let config = world.get("ConfigMap", "a-dynamic").await.unwrap().to_string();
    assert!(config.contains("a.ledger") && !config.contains("a.second"), "{config}");
    let policy = world.get("NetworkPolicy", "a").await.unwrap()["spec"].to_string();
    assert!(policy.contains("\"ledger\"") && !policy.contains("\"intruder\""), "{policy}");
}

#[tokio::test]
async fn a_new_client_waits_while_the_workload_its_image_and_repairs_go_on() {
    let world = World::new("enforce-client").await;
    let operator = Operator::start(&world);
    world.create_fleet(&["a"]).await;
    world.until_brought_up(&["a"]).await;
    let secret = ledger_secret(&world).await;
    world.edit("TesseraNetwork", "net", json!({"spec": {"checklist": demand()}})).await;
    until_judged(&world).await;

    // One edit of everything: the image goes through, and so does what is taken away.
    let clients = [client("ledger", &["intruder", "ledger"]), client("second", &["second"])];
    world.edit("TesseraNode", "a", json!({"spec": {"clients": clients, "image": image("1")}})).await;
    let both = |node: &Value| held(node) == ["spec.clients[ledger].from", "spec.clients[second]"];
    world.until("TesseraNode", "a", both).await;
    let runs = |digit: &'static str| {
        move |set: &Value| set["spec"]["template"]["spec"]["containers"][0]["image"] == image(digit)
    };
    world.until("StatefulSet", "tessera-a", runs("1")).await;
    has_only_what_it_had(&world).await;
    assert_eq!(ledger_secret(&world).await, secret, "the client that is there keeps its certificate");

    // Repair: what is deleted comes back, and nothing more with it.
    for (kind, name) in [
        ("Secret", "a-client-ledger"),
        ("StatefulSet", "tessera-a"),
        ("ConfigMap", "a-dynamic"),
        ("NetworkPolicy", "a-client-ledger"),
    ] {
        world.api(kind).delete(name, &DeleteParams::default()).await.unwrap();
        let is_new = |object: &Value| object["metadata"]["deletionTimestamp"].is_null() && !object.is_null();
        world.until(kind, name, is_new).await;
        has_only_what_it_had(&world).await;
    }

    // A new process, and a status that is lost: what is live tells what was there.
    assert!(operator.terminate().success());
    let lost = Patch::Merge(json!({"status": null}));
    world.api("TesseraNode").patch_status("a", &PatchParams::default(), &lost).await.unwrap();
    let _operator = Operator::start(&world);
    let node = world.until("TesseraNode", "a", both).await;
    assert!(node["status"]["observedGeneration"].is_number(), "{node:#}");
    has_only_what_it_had(&world).await;
    world.edit("TesseraNode", "a", json!({"spec": {"image": image("2")}})).await;
    world.until("StatefulSet", "tessera-a", runs("2")).await;

    // A node that serves says what is held; a stop and a start are held by nothing.
    pods::make(&world, "a").await;
    pods::set_running(&world, "a", ADDRESS, true).await;
    let message = world.until_reason("TesseraNode", "a", "Ready", "ChecklistHeld").await;
    assert!(message.contains("spec.clients[second]") && message.contains("goes on as it was"), "{message}");

    let mut lines = violated(&world.get("TesseraNode", "a").await.unwrap());
    lines.extend(violated(&until_judged(&world).await));
    lines.sort();
    lines.dedup();
    for line in lines {
        accept(&world, &line).await;
    }
    world.until("Secret", "a-client-second", |secret| !secret.is_null()).await;
    world.until("TesseraNode", "a", |node| held(node).is_empty()).await;
    let lets_in = |policy: &Value| policy["spec"].to_string().contains("\"intruder\"");
    world.until("NetworkPolicy", "a", lets_in).await;
}

fn lets_in_addresses(policy: &Value, cidr: &str) -> bool {
    policy["spec"].to_string().contains(cidr)
}

#[tokio::test]
async fn a_new_partner_and_new_addresses_of_one_that_is_there_wait_and_its_bundle_may_come_back() {
    let world = World::new("enforce-partner").await;
    let operator = Operator::start(&world);
    world.create("ConfigMap", store_ca()).await;
    for name in ["org-b", "org-c"] {
        world.create("ConfigMap", bundle(name)).await;
    }
    let mut known = network();
    known["spec"]["monitoring"] = json!([]);
    known["spec"]["partners"] = json!([partner("org-b")]);
    world.create("TesseraNetwork", known).await;
    world.create("TesseraNode", node("a")).await;
    world.until("ConfigMap", "net-peers", |peers| given(peers) == ["org-b"]).await;
    world.until("NetworkPolicy", "a", |policy| lets_in_addresses(policy, "203.0.113.0/28")).await;

    // Demand and widening in one edit: a node may be quicker than the network, and waits for it.
    let mut wider = partner("org-b");
    wider["from"] =
        json!([{"ipBlock": {"cidr": "203.0.113.0/28"}}, {"ipBlock": {"cidr": "198.51.100.0/28"}}]);
    let spec = json!({"spec": {"checklist": demand(), "partners": [wider, partner("org-c")]}});
    world.edit("TesseraNetwork", "net", spec).await;
    let is_held = |network: &Value| held(network) == ["spec.partners[org-c]"];
    let only_known = async || {
        assert_eq!(given(&world.get("ConfigMap", "net-peers").await.unwrap()), ["org-b"]);
        let policy = world.get("NetworkPolicy", "a").await.unwrap();
        assert!(!lets_in_addresses(&policy, "198.51.100.0/28"), "{policy:#}");
    };
    world.until("TesseraNetwork", "net", is_held).await;
    only_known().await;

    // A bundle that is away for a while, and a new process.
    world.api("ConfigMap").delete("org-b-ca", &DeleteParams::default()).await.unwrap();
    world.until("ConfigMap", "net-peers", |peers| given(peers).is_empty()).await;
    assert!(operator.terminate().success());
    let _operator = Operator::start(&world);
    world.create("ConfigMap", bundle("org-b")).await;
    world.until("ConfigMap", "net-peers", |peers| given(peers) == ["org-b"]).await;
    world.until("TesseraNetwork", "net", is_held).await;
    only_known().await;

    let lines = violated(&until_judged(&world).await);
    for line in lines {
        accept(&world, &line).await;
    }
    world.until("ConfigMap", "net-peers", |peers| given(peers) == ["org-b", "org-c"]).await;
    world.until("TesseraNetwork", "net", |network| held(network).is_empty()).await;
}

#[tokio::test]
async fn a_network_that_only_audits_holds_nothing() {
    let world = World::new("audit").await;
    let _operator = Operator::start(&world);
    world.create_fleet(&["a"]).await;
    let demand = json!({"mode": "Audit", "hardware": {"minimum": "NonExtractable"}});
    world.edit("TesseraNetwork", "net", json!({"spec": {"checklist": demand}})).await;
    until_judged(&world).await;
    world.edit("TesseraNode", "a", json!({"spec": {"clients": [client("second", &["second"])]}})).await;
    world.until("Secret", "a-client-second", |secret| !secret.is_null()).await;
    world.create("TesseraNode", node("b")).await;
    world.until("StatefulSet", "tessera-b", |set| !set.is_null()).await;
}
