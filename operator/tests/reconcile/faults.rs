//! What goes wrong around us: status says which, nothing else breaks, it heals when the cause goes.

use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::operator::Operator;
use crate::world::{World, condition, is_stalled};

/// An object of a name that we need, made by somebody else, for each kind.
fn strangers() -> Vec<(&'static str, &'static str, Value)> {
    let spec = |kind: &str| match kind {
        "Service" => json!({"spec": {"ports": [{"port": 1}]}}),
        "NetworkPolicy" => json!({"spec": {"podSelector": {}}}),
        "PodDisruptionBudget" => json!({"spec": {"selector": {}, "maxUnavailable": 1}}),
        "StatefulSet" => json!({"spec": {"serviceName": "x", "selector": {"matchLabels": {"x": "y"}},
            "template": {"metadata": {"labels": {"x": "y"}}, "spec": {"containers": [{"name": "x", "image": "x"}]}}}}),
        _ => json!({}),
    };
    [
        ("ServiceAccount", "tessera-node-a"),
        ("ConfigMap", "a-config"),
        ("Secret", "a-tls"),
        ("Service", "a-p2p"),
        ("NetworkPolicy", "a"),
        ("PodDisruptionBudget", "a"),
        ("StatefulSet", "tessera-a"),
    ]
    .map(|(kind, name)| {
        let mut object = spec(kind);
        object["metadata"] = json!({"name": name});
        (kind, name, object)
    })
    .to_vec()
}

#[tokio::test]
async fn an_object_of_our_name_that_is_not_ours_is_named_and_left_alone() {
    for (kind, name, stranger) in strangers() {
        println!("{kind} {name}");
        let world = World::new("stranger").await;
        let made = world.create(kind, stranger).await;
        let _operator = Operator::start(&world);
        world.create_fleet(&["a", "b"]).await;
        let message = world.until_reason("TesseraNode", "a", "Stalled", "NameConflict").await;
        assert!(message.contains(&format!("{kind} {}/{name}", world.namespace)), "{message}");
        let live = world.api(kind).get(name).await.unwrap();
        assert_eq!(
            live.metadata.resource_version, made.metadata.resource_version,
            "{kind} {name} was written"
        );
        // The neighbour is not touched by it.
        world.until_reason("TesseraNode", "b", "Ready", "Starting").await;
        assert!(!is_stalled(&world.node("b").await));

        world.api(kind).delete(name, &DeleteParams::default()).await.unwrap();
        world.until_reason("TesseraNode", "a", "Ready", "Starting").await;
        assert!(!is_stalled(&world.node("a").await));
    }
}

#[tokio::test]
async fn a_lost_ca_is_not_replaced_by_another() {
    let world = World::new("lost-ca").await;
    let operator = Operator::start(&world);
    world.create_fleet(&["a"]).await;
    world.until_brought_up(&["a"]).await;
    assert!(operator.terminate().success());
    let name = world.ca_state();
    let secrets: kube::Api<k8s_openapi::api::core::v1::Secret> =
        kube::Api::namespaced(world.client.clone(), &world.operator_namespace);
    let mut saved = secrets.get(&name).await.unwrap();
    secrets.delete(&name, &DeleteParams::default()).await.unwrap();

    let _operator = Operator::start(&world);
    let message = world.until_reason("TesseraNetwork", "net", "Ready", "IssuerUnavailable").await;
    assert!(message.contains(&name), "{message}");
    assert!(secrets.get_opt(&name).await.unwrap().is_none());

    saved.metadata.resource_version = None;
    saved.metadata.uid = None;
    secrets.create(&kube::api::PostParams::default(), &saved).await.unwrap();
    world.until_reason("TesseraNetwork", "net", "CertificatesCurrent", "Current").await;
}

#[tokio::test]
async fn a_paused_node_is_not_repaired_and_says_so() {
    let world = World::new("paused").await;
    let _operator = Operator::start(&world);
    world.create_fleet(&["a", "b"]).await;
    world.until_brought_up(&["a", "b"]).await;
    world.edit("TesseraNode", "a", json!({"spec": {"paused": true}})).await;
    world.until_reason("TesseraNode", "a", "Ready", "Paused").await;
    for name in ["a", "b"] {
        world.api("PodDisruptionBudget").delete(name, &DeleteParams::default()).await.unwrap();
    }
    // The control: the neighbour is repaired.
    world.until("PodDisruptionBudget", "b", |object| !object.is_null()).await;
    assert!(world.get("PodDisruptionBudget", "a").await.is_none());
    world.edit("TesseraNode", "a", json!({"spec": {"paused": false}})).await;
    world.until("PodDisruptionBudget", "a", |object| !object.is_null()).await;
}

#[tokio::test]
async fn a_node_without_any_image_says_which_field_to_set() {
    let world = World::new("no-image").await;
    let _operator = Operator::start(&world);
    world.create("ConfigMap", crate::world::store_ca()).await;
    let mut network = crate::world::network();
    network["spec"].as_object_mut().unwrap().remove("nodeDefaults");
    world.create("TesseraNetwork", network).await;
    world.create("TesseraNode", crate::world::node("a")).await;
    let message = world.until_reason("TesseraNode", "a", "Stalled", "InvalidConfiguration").await;
    assert!(message.contains("spec.image"), "{message}");
    let image = format!("registry.example/tessera-node@sha256:{}", "1".repeat(64));
    world.edit("TesseraNode", "a", json!({"spec": {"image": image}})).await;
    world.until("TesseraNode", "a", |node| !node.is_null() && condition(node, "Stalled").is_none()).await;
}
