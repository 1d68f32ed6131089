//! A volume grows with the spec, where its class allows it.

use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tessera_crds::names;

use crate::operator::Operator;
use crate::world::{World, condition};

/// The claim as the StatefulSet controller and a provisioner would leave it.
async fn bound_claim(world: &World, class: &str) -> Api<PersistentVolumeClaim> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(world.client.clone(), &world.namespace);
    let claim = json!({
        "metadata": {"name": "data-tessera-a-0", "labels": {"app.kubernetes.io/name": "tessera-node", "tessera.rs/node": "a"}},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": class, "volumeName": "pv",
            "resources": {"requests": {"storage": "1Gi"}}},
    });
    claims.create(&PostParams::default(), &serde_json::from_value(claim).unwrap()).await.unwrap();
    let bound = json!({"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}});
    claims.patch_status("data-tessera-a-0", &PatchParams::default(), &Patch::Merge(bound)).await.unwrap();
    claims
}

async fn make_class(world: &World, name: &str, expandable: bool) {
    let class =
        json!({"metadata": {"name": name}, "provisioner": "test", "allowVolumeExpansion": expandable});
    let classes: Api<StorageClass> = Api::all(world.client.clone());
    classes.create(&PostParams::default(), &serde_json::from_value(class).unwrap()).await.unwrap();
}

fn size(claim: &PersistentVolumeClaim) -> String {
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    resources.and_then(|resources| resources.requests.as_ref()?.get("storage")).unwrap().0.clone()
}

#[tokio::test]
async fn an_accepted_loss_reaches_the_node_by_its_configuration() {
    const STORE: &str = "0123456789abcdef0123456789abcdef";
    let world = World::new("accept").await;
    let _operator = Operator::start(&world);
    world.create_fleet(&["a"]).await;
    world.until_brought_up(&["a"]).await;
    let accepted = json!({"metadata": {"annotations": {"tessera.rs/accept-loss": STORE}}});
    world.edit("TesseraNode", "a", accepted).await;
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), &world.namespace);
    let holds = |map: Option<&ConfigMap>| {
        map.and_then(|map| map.data.as_ref())
            .is_some_and(|data| data.values().any(|text| text.contains(STORE)))
    };
    let waited = kube::runtime::wait::await_condition(maps, "a-dynamic", holds);
    tokio::time::timeout(crate::world::DEADLINE, waited).await.expect("it is configured").unwrap();
}

#[tokio::test]
async fn a_larger_size_goes_to_the_claim() {
    let world = World::new("grow").await;
    make_class(&world, "grows", true).await;
    let _operator = Operator::start(&world);
    world.create_fleet(&["a"]).await;
    world.until_brought_up(&["a"]).await;
    let claims = bound_claim(&world, "grows").await;
    world.edit("TesseraNode", "a", json!({"spec": {"storage": {"embedded": {"size": "2Gi"}}}})).await;
    let grown = |claim: Option<&PersistentVolumeClaim>| claim.is_some_and(|claim| size(claim) == "2Gi");
    let waited = kube::runtime::wait::await_condition(claims, "data-tessera-a-0", grown);
    tokio::time::timeout(crate::world::DEADLINE, waited).await.expect("it grows").unwrap();
}

#[tokio::test]
async fn a_class_that_does_not_grow_stalls_the_node_with_the_reason() {
    let world = World::new("fixed").await;
    make_class(&world, "fixed", false).await;
    let _operator = Operator::start(&world);
    world.create_fleet(&["a"]).await;
    world.until_brought_up(&["a"]).await;
    let claims = bound_claim(&world, "fixed").await;
    world.edit("TesseraNode", "a", json!({"spec": {"storage": {"embedded": {"size": "2Gi"}}}})).await;
    let message = world.until_reason("TesseraNode", "a", "Stalled", "InvalidConfiguration").await;
    assert!(message.contains("data-tessera-a-0") && message.contains("resize"), "{message}");
    assert_eq!(size(&claims.get("data-tessera-a-0").await.unwrap()), "1Gi");
    let back = || json!({"spec": {"storage": {"embedded": {"size": "1Gi"}}}});
    world.until("TesseraNode", "a", |node| node["status"]["volumes"][0]["capacity"] == "1Gi").await;
    world.edit("TesseraNode", "a", back()).await;
    world.until("TesseraNode", "a", |node| condition(node, "Stalled").is_none()).await;
    // Readiness does not speak of it: what is wrong in this world is that the claim's volume does not exist.
    world.until_reason("TesseraNode", "a", "Ready", "VolumeLost").await;
}

/// The claim as the StatefulSet controller makes it; nobody provisions a volume for it.
async fn pending_claim(world: &World, class: &str) -> Api<PersistentVolumeClaim> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(world.client.clone(), &world.namespace);
    let claim = json!({
        "metadata": {"name": "data-tessera-a-0", "labels": {"app.kubernetes.io/name": "tessera-node", "tessera.rs/node": "a"}},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": class,
            "resources": {"requests": {"storage": "1Gi"}}},
    });
    claims.create(&PostParams::default(), &serde_json::from_value(claim).unwrap()).await.unwrap();
    claims
}

/// The claim is gone, once nothing guards it any more.
async fn until_removed(claims: &Api<PersistentVolumeClaim>) {
    let going = |claim: Option<&PersistentVolumeClaim>| {
        claim.is_none_or(|claim| claim.metadata.deletion_timestamp.is_some())
    };
    let waited = kube::runtime::wait::await_condition(claims.clone(), "data-tessera-a-0", going);
    tokio::time::timeout(crate::world::DEADLINE, waited).await.expect("it is removed").unwrap();
    // The controller that takes this finalizer away does not run here.
    let unguarded = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    let _ = claims.patch("data-tessera-a-0", &PatchParams::default(), &unguarded).await;
}

#[tokio::test]
async fn a_class_or_a_size_that_gives_no_volume_can_be_taken_back() {
    let world = World::new("take-back").await;
    let _operator = Operator::start(&world);
    world.create_fleet(&["a"]).await;
    world.until_brought_up(&["a"]).await;
    let embedded = |class: &str, size: &str| json!({"spec": {"storage": {"embedded": {"storageClassName": class, "size": size}}}});
    let set = names::node::stateful_set("a");
    let asks = |set: &Value, class: &str, size: &str| {
        let spec = &set["spec"]["volumeClaimTemplates"][0]["spec"];
        spec["storageClassName"] == class && spec["resources"]["requests"]["storage"] == size
    };

    // Nobody has a claim yet: the workload alone comes again.
    world.edit("TesseraNode", "a", embedded("nowhere", "1Gi")).await;
    world.until("StatefulSet", &set, |set| asks(set, "nowhere", "1Gi")).await;

    // The claim waits for a volume that never comes.
    let claims = pending_claim(&world, "nowhere").await;
    let before = world.get("StatefulSet", &set).await.unwrap()["metadata"]["uid"].clone();
    world.edit("TesseraNode", "a", embedded("standard", "1Gi")).await;
    until_removed(&claims).await;
    let made_again = |set: &Value| asks(set, "standard", "1Gi") && set["metadata"]["uid"] != before;
    world.until("StatefulSet", &set, made_again).await;
    world.edit("TesseraNode", "a", embedded("standard", "512Mi")).await;
    world.until("StatefulSet", &set, |set| asks(set, "standard", "512Mi")).await;

    // With a volume, nothing of the kind.
    bound_claim(&world, "standard").await;
    world
        .until("TesseraNode", "a", |node| node["status"]["volumes"][0]["storageClassName"] == "standard")
        .await;
    let kept = world.get("StatefulSet", &set).await.unwrap()["metadata"]["uid"].clone();
    let api = world.api("TesseraNode");
    let refused = api.patch("a", &PatchParams::default(), &Patch::Merge(embedded("nowhere", "512Mi"))).await;
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("storageClassName is immutable"), "{message}");
    assert_eq!(world.get("StatefulSet", &set).await.unwrap()["metadata"]["uid"], kept);
}
