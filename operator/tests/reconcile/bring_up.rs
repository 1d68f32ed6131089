//! Everything is made, once, and then nothing is written.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::operator::Operator;
use crate::world::{World, condition, network, node, store_ca};

const EXPECTED: [&str; 31] = [
    "ConfigMap a-config",
    "ConfigMap a-dynamic",
    "ConfigMap b-config",
    "ConfigMap b-dynamic",
    "ConfigMap net-ca",
    "ConfigMap net-peers",
    "NetworkPolicy a",
    "NetworkPolicy a-client-ledger",
    "NetworkPolicy b",
    "NetworkPolicy b-client-ledger",
    "NetworkPolicy net-default-deny",
    "NetworkPolicy net-monitoring-prometheus",
    "NetworkPolicy net-nodes-deny",
    "PodDisruptionBudget a",
    "PodDisruptionBudget b",
    "Secret a-admin-tls",
    "Secret a-client-ledger",
    "Secret a-tls",
    "Secret b-admin-tls",
    "Secret b-client-ledger",
    "Secret b-tls",
    "Secret net-monitoring-prometheus",
    "Secret tessera-ca-<namespace>.net",
    "Service a",
    "Service a-p2p",
    "Service b",
    "Service b-p2p",
    "ServiceAccount tessera-node-a",
    "ServiceAccount tessera-node-b",
    "StatefulSet tessera-a",
    "StatefulSet tessera-b",
];

#[tokio::test]
async fn every_object_is_made_and_nothing_else() {
    let world = World::new("bring-up").await;
    let operator = Operator::start(&world);
    world.create_fleet(&["a", "b"]).await;
    world.until_brought_up(&["a", "b"]).await;
    assert_eq!(operator.core_limit(), "0 0 bytes", "CA keys must not reach a core file");

    let owned = world.owned().await.into_keys();
    let owned: Vec<_> = owned.map(|key| key.replace(&world.namespace, "<namespace>")).collect();
    assert_eq!(owned, EXPECTED);
}

/// Touches network and nodes by an annotation until each kind was reconciled so many times more.
pub(crate) async fn reconcile_more(world: &World, operator: &Operator, nodes: &[&str], times: u64) {
    for round in 1..=times {
        let before = operator.reconciles_of_each_kind();
        let annotation = json!({"metadata": {"annotations": {"round": round.to_string()}}});
        world.edit("TesseraNetwork", "net", annotation.clone()).await;
        for name in nodes {
            world.edit("TesseraNode", name, annotation.clone()).await;
        }
        operator.until_reconciled_since(before).await;
    }
}

#[tokio::test]
async fn nothing_is_written_and_nothing_read_when_nothing_changes_also_after_a_restart() {
    let world = World::new("quiet").await;
    let operator = Operator::start(&world);
    world.create_fleet(&["a", "b"]).await;
    world.until_brought_up(&["a", "b"]).await;
    reconcile_more(&world, &operator, &["a", "b"], 6).await;
    let before = world.contents().await;
    let requests = operator.requests();
    reconcile_more(&world, &operator, &["a", "b"], 4).await;
    assert_eq!(operator.requests(), requests, "an idle reconcile asks the API server for nothing");
    assert_eq!(world.contents().await, before);
    assert!(operator.terminate().success());

    let operator = Operator::start(&world);
    reconcile_more(&world, &operator, &["a", "b"], 4).await;
    assert_eq!(world.contents().await, before);

    // The control: an edit does yield a write.
    world.edit("ConfigMap", "a-dynamic", json!({"metadata": {"labels": {"tessera.rs/by": "hand"}}})).await;
    world
        .until("ConfigMap", "a-dynamic", |object| object["metadata"]["labels"]["tessera.rs/by"].is_null())
        .await;
    assert_ne!(world.contents().await, before);
}

#[tokio::test]
async fn peers_follow_the_nodes_that_come_and_go_and_pods_are_not_rolled() {
    let world = World::new("peers").await;
    let _operator = Operator::start(&world);
    world.create_fleet(&["a", "b"]).await;
    world.until_brought_up(&["a", "b"]).await;
    let template = world.get("StatefulSet", "tessera-a").await.unwrap()["spec"]["template"].clone();

    world.create("TesseraNode", node("c")).await;
    let url = format!("https://c-p2p.{}.svc:9000/", world.namespace);
    let names_c = |object: &serde_json::Value| {
        object["data"]["peers.json"].as_str().is_some_and(|text| text.contains(&url))
    };
    world.until("ConfigMap", "net-peers", names_c).await;
    world.api("TesseraNode").delete("c", &kube::api::DeleteParams::default()).await.unwrap();
    world.until("ConfigMap", "net-peers", |object| !names_c(object)).await;
    world.until("TesseraNetwork", "net", |object| object["status"]["nodes"]["total"] == 2).await;
    assert_eq!(world.get("StatefulSet", "tessera-a").await.unwrap()["spec"]["template"], template);
}

#[tokio::test]
async fn a_node_that_is_touched_wakes_no_other() {
    const EDITS: u64 = 10;
    let nodes = ["a", "b", "c", "d", "e", "f"];
    let world = World::new("touched").await;
    let operator = Operator::start(&world);
    world.create_fleet(&nodes).await;
    world.until_brought_up(&nodes).await;
    let [nodes_before, networks_before] = operator.reconciles_of_each_kind();
    for round in 0..EDITS {
        let before = operator.reconciles_of_each_kind()[0];
        world
            .edit("TesseraNode", "a", json!({"metadata": {"annotations": {"round": round.to_string()}}}))
            .await;
        operator.until_reconciled_since([before, 0]).await;
    }
    let [nodes_after, networks_after] = operator.reconciles_of_each_kind();
    // Each node looks at itself now and then; waking all for each edit would be 60.
    let of_nodes = nodes_after - nodes_before;
    assert!((EDITS..3 * EDITS).contains(&of_nodes), "{of_nodes} reconciles of nodes after {EDITS} edits");
    let of_networks = networks_after - networks_before;
    assert!(of_networks < EDITS, "{of_networks} reconciles of the network after {EDITS} edits of a node");
}

#[tokio::test]
async fn two_networks_in_one_namespace_share_nothing() {
    let world = World::new("two").await;
    let _operator = Operator::start(&world);
    world.create_fleet(&["a"]).await;
    let mut other = network();
    other["metadata"]["name"] = json!("other");
    other["spec"]["trustDomain"] = json!("other.example");
    world.create("TesseraNetwork", other).await;
    let mut b = node("b");
    b["spec"]["networkRef"]["name"] = json!("other");
    world.create("TesseraNode", b).await;

    let names = |node: &'static str| {
        move |object: &serde_json::Value| {
            let peers = object["data"]["peers.json"].as_str().unwrap_or_default();
            peers.contains(&format!("https://{node}-p2p.")) && peers.matches("\"url\"").count() == 1
        }
    };
    world.until("ConfigMap", "net-peers", names("a")).await;
    world.until("ConfigMap", "other-peers", names("b")).await;
    let roots = async |kind: &str, name: &str| {
        let object = world.until(kind, name, |object| object["data"]["ca.crt"].is_string()).await;
        object["data"]["ca.crt"].as_str().unwrap().to_owned()
    };
    let mut cas = Vec::new();
    for (network, of) in [("net", "a"), ("other", "b")] {
        let one = |object: &serde_json::Value| object["status"]["nodes"]["total"] == 1;
        world.until("TesseraNetwork", network, one).await;
        let ca = roots("ConfigMap", &format!("{network}-ca")).await;
        let trusted = STANDARD.decode(roots("Secret", &format!("{of}-tls")).await).unwrap();
        assert_eq!(trusted, ca.as_bytes(), "{of} trusts the CA of {network} alone");
        cas.push(ca);
    }
    assert_ne!(cas[0], cas[1], "each network has a CA of its own");
}

#[tokio::test]
async fn a_node_waits_for_its_network_and_a_network_for_its_store_ca() {
    let world = World::new("order").await;
    let _operator = Operator::start(&world);
    world.create("TesseraNode", node("a")).await;
    let message = world.until_reason("TesseraNode", "a", "Ready", "NetworkNotFound").await;
    assert!(message.contains("net"), "{message}");

    world.create("TesseraNetwork", network()).await;
    let message = world.until_reason("TesseraNetwork", "net", "Stalled", "InvalidReference").await;
    assert!(message.contains("store-ca"), "{message}");
    // A bad reference to the store's CA stops nothing else.
    world.until_reason("TesseraNode", "a", "Ready", "Starting").await;

    world.create("ConfigMap", store_ca()).await;
    let gone = |object: &serde_json::Value| condition(object, "Stalled").is_none();
    world.until("TesseraNetwork", "net", gone).await;
}

#[tokio::test]
async fn a_deleted_node_finishes_at_once() {
    let world = World::new("delete").await;
    let operator = Operator::start(&world);
    world.create_fleet(&["a"]).await;
    world.until_brought_up(&["a"]).await;
    assert!(operator.terminate().success());
    // No operator, no store: nothing may hold it back.
    world.api("TesseraNode").delete("a", &kube::api::DeleteParams::default()).await.unwrap();
    assert!(world.get("TesseraNode", "a").await.is_none());
}
