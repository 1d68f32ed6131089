//! The load balancer of an exposed node, on a real API server that fills in its own defaults; the test is its controller.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::bring_up::reconcile_more;
use crate::operator::Operator;
use crate::world::World;

const SERVICE: &str = "a-exposed";

fn exposure(annotations: &Value) -> Value {
    json!({"spec": {"exposure": {"type": "LoadBalancer", "loadBalancer": {
        "advertisedURL": "https://a.world.example:9443", "sourceCIDRs": ["203.0.113.0/28"], "annotations": annotations,
    }}}})
}

/// As controllers do: a finalizer, an annotation of its own, and in the end the address.
async fn take(world: &World) {
    let metadata = json!({
        "finalizers": ["service.kubernetes.io/load-balancer-cleanup"], "annotations": {"controller.example/id": "7"},
    });
    world.edit("Service", SERVICE, json!({ "metadata": metadata })).await;
    let status: Value = json!({"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.77"}]}}});
    let patched =
        world.api("Service").patch_status(SERVICE, &PatchParams::default(), &Patch::Merge(status)).await;
    patched.expect("the status is admitted");
}

#[tokio::test]
async fn the_load_balancer_of_an_exposed_node_is_made_left_alone_and_removed() {
    let world = World::new("exposure").await;
    let operator = Operator::start(&world);
    world.create_fleet(&["a"]).await;
    world.until_brought_up(&["a"]).await;
    let both = json!({"example.com/scheme": "public", "example.com/pool": "partners"});
    world.edit("TesseraNode", "a", exposure(&both)).await;
    world.until("Service", SERVICE, |service| service["spec"]["type"] == "LoadBalancer").await;
    take(&world).await;
    let has_address = |node: &Value| node["status"]["endpoints"]["loadBalancer"] == json!(["203.0.113.77"]);
    world.until("TesseraNode", "a", has_address).await;
    let version = |service: Value| service["metadata"]["resourceVersion"].clone();
    let before = version(world.get("Service", SERVICE).await.expect("it is there"));
    reconcile_more(&world, &operator, &["a"], 2).await;
    assert_eq!(
        version(world.get("Service", SERVICE).await.expect("it is there")),
        before,
        "the operator wrote it"
    );

    // An annotation that is taken from the spec goes, and the controller's stays.
    world.edit("TesseraNode", "a", exposure(&json!({"example.com/scheme": null}))).await;
    let without = |service: &Value| service["metadata"]["annotations"]["example.com/scheme"].is_null();
    let service = world.until("Service", SERVICE, without).await;
    let metadata = &service["metadata"];
    assert_eq!(metadata["annotations"]["example.com/pool"], "partners");
    assert_eq!(metadata["annotations"]["controller.example/id"], "7");
    assert_eq!(metadata["finalizers"], json!(["service.kubernetes.io/load-balancer-cleanup"]));

    let only = json!({"spec": {"exposure": {"type": "ClusterOnly", "loadBalancer": null}}});
    world.edit("TesseraNode", "a", only).await;
    world.until("Service", SERVICE, |service| service["metadata"]["deletionTimestamp"].is_string()).await;
    world.edit("Service", SERVICE, json!({"metadata": {"finalizers": null}})).await;
    world.until("Service", SERVICE, Value::is_null).await;
    let is_gone = |node: &Value| node["status"]["endpoints"]["loadBalancer"].is_null();
    world.until("TesseraNode", "a", is_gone).await;
    assert!(world.get("Service", "a-p2p").await.is_some(), "the other Services stay");
    assert!(operator.terminate().success());
}
