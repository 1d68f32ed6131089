//! Nothing of a deleted network stays in the operator's namespace, and the same manifests come back.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, DynamicObject, PostParams};
use kube::core::ApiResource;
use serde_json::json;

use crate::operator::Operator;
use crate::world::{DEADLINE, World, network, node, owned_kinds};

fn secrets(world: &World) -> Api<Secret> {
    Api::namespaced(world.client.clone(), &world.operator_namespace)
}

/// A Secret as an operator made it for a network.
async fn plant(world: &World, namespace: &str, network: &str) -> String {
    let name = tessera_crds::names::network::ca_state(namespace, network);
    let secret = serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "tessera-operator"}},
        "type": "tessera.rs/ca-state",
    }));
    secrets(world).create(&PostParams::default(), &secret.unwrap()).await.unwrap();
    name
}

async fn exists(world: &World, name: &str) -> bool {
    secrets(world).get_opt(name).await.expect("the API server answers").is_some()
}

async fn until_gone(world: &World, name: &str) {
    let end = std::time::Instant::now() + DEADLINE;
    while exists(world, name).await {
        assert!(std::time::Instant::now() < end, "Secret {name} stays");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// Deletes network and node, and what they own: this API server has no garbage collector.
async fn delete_fleet(world: &World) {
    for (kind, name) in [("TesseraNode", "a"), ("TesseraNetwork", "net")] {
        world.api(kind).delete(name, &DeleteParams::default()).await.unwrap();
    }
    delete_owned(world).await;
}

async fn delete_owned(world: &World) {
    for kind in owned_kinds() {
        let api: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), &world.namespace, &kind);
        for name in names(world, &kind).await {
            let deleted = api.delete(&name, &DeleteParams::default()).await;
            assert!(deleted.is_ok() || exists_not(&api, &name).await, "{} {name}", kind.kind);
        }
    }
}

async fn exists_not(api: &Api<DynamicObject>, name: &str) -> bool {
    api.get_opt(name).await.expect("the API server answers").is_none()
}

async fn names(world: &World, kind: &ApiResource) -> Vec<String> {
    let owned = world.owned().await;
    let of_kind = owned.keys().filter_map(|key| key.strip_prefix(&kind.kind)?.strip_prefix(' '));
    of_kind.filter(|name| *name != world.ca_state()).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_fleet_that_is_deleted_and_applied_again_comes_back() {
    let world = World::new("again").await;
    let operator = Operator::start(&world);
    world.create_fleet(&["a"]).await;
    world.until_brought_up(&["a"]).await;
    let before = world.network().await.status.unwrap().cas;

    delete_fleet(&world).await;
    until_gone(&world, &world.ca_state()).await;
    assert!(operator.terminate().success());
    // What the operator put back before it saw the deletion has an owner that is gone.
    delete_owned(&world).await;

    let _operator = Operator::start(&world);
    world.create("TesseraNetwork", network()).await;
    world.create("TesseraNode", node("a")).await;
    world.until_brought_up(&["a"]).await;
    let after = world.network().await.status.unwrap().cas;
    assert_eq!((before.len(), after.len()), (2, 2));
    assert!(before.iter().all(|ca| !after.contains(ca)), "a CA of the deleted network is in use");
}

#[tokio::test]
async fn the_ca_state_of_a_network_deleted_meanwhile_goes_and_no_other() {
    let world = World::new("meanwhile").await;
    let operator = Operator::start(&world);
    world.create_fleet(&["a"]).await;
    world.until_brought_up(&["a"]).await;
    assert!(operator.terminate().success());
    delete_fleet(&world).await;

    // Its network is gone and a node of it is not.
    let with_node = plant(&world, &world.namespace, "kept").await;
    let mut orphan = node("orphan");
    orphan["spec"]["networkRef"]["name"] = json!("kept");
    world.create("TesseraNode", orphan).await;
    // In a namespace that this operator does not manage.
    let unmanaged = plant(&world, "elsewhere", "net").await;
    // Of a network that lives, and that this operator has never seen.
    let mut live = network();
    live["metadata"]["name"] = json!("live");
    world.create("TesseraNetwork", live).await;
    let of_live = plant(&world, &world.namespace, "live").await;

    let _operator = Operator::start(&world);
    // Later in the alphabet than the others: they were judged before it.
    until_gone(&world, &world.ca_state()).await;
    for name in [with_node, unmanaged, of_live] {
        assert!(exists(&world, &name).await, "{name} was removed");
    }
}
