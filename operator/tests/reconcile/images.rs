//! A node that serves gets another image only after a pod has run it. The kubelet is played by the test.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};
use tessera_crds::names;

use crate::operator::Operator;
use crate::pods;
use crate::rollout::{serve, until_waits, vouch};
use crate::world::{DEADLINE, World, condition};

const NODES: [&str; 2] = ["a", "b"];

pub(crate) fn image(digit: &str) -> String {
    format!("registry.example/tessera-node@sha256:{}", digit.repeat(64))
}

/// The image of all nodes, on a store that a person vouches for.
pub(crate) async fn want_image(world: &World, digit: &str) {
    let edit = json!({"spec": {"nodeDefaults": {"image": image(digit)}}});
    world.edit("TesseraNetwork", "net", edit).await;
    vouch(world).await;
}

pub(crate) async fn image_of(world: &World, node: &str) -> String {
    let set = world.get("StatefulSet", &names::node::stateful_set(node)).await.unwrap();
    set["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
}

async fn images(world: &World) -> [String; 2] {
    [image_of(world, NODES[0]).await, image_of(world, NODES[1]).await]
}

/// Waits until exactly these images are tried.
pub(crate) async fn until_tried(world: &World, wanted: &[String]) -> Vec<Pod> {
    let begun = std::time::Instant::now();
    loop {
        let checks = pods::image_checks(world).await;
        let tried: Vec<_> =
            checks.iter().filter_map(|pod| pod.spec.as_ref()?.containers[0].image.clone()).collect();
        if tried == wanted {
            return checks;
        }
        assert!(begun.elapsed() < DEADLINE, "{tried:?} are tried, not {wanted:?}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

async fn until_nothing_waits(world: &World) {
    let waits =
        |node: &Value| condition(node, "Reconciling").is_some_and(|it| it["reason"] == "RolloutWaiting");
    for node in NODES {
        world.until("TesseraNode", node, |node| !waits(node)).await;
    }
}

#[tokio::test]
async fn an_image_reaches_a_node_that_serves_only_after_a_pod_has_run_it() {
    let world = World::new("images").await;
    let _operator = Operator::start(&world);
    world.create_fleet(&NODES).await;
    world.edit("TesseraNetwork", "net", json!({"spec": {"rollout": {"observe": "3s"}}})).await;
    world.until_brought_up(&NODES).await;
    for node in NODES {
        serve(&world, node).await;
        world.until_reason("TesseraNode", node, "Ready", "NodeUnreachable").await;
    }

    // One wrong letter.
    want_image(&world, "1").await;
    let check = until_tried(&world, &[image("1")]).await.remove(0);
    let why = "rpc error: code = NotFound desc = no such image";
    let waiting = json!({"phase": "Pending", "containerStatuses": [{"name": "tessera-node", "image": image("1"), "imageID": "",
        "ready": false, "restartCount": 0, "state": {"waiting": {"reason": "ErrImagePull", "message": why}}}]});
    pods::set_status(&world, &check.name_any(), waiting).await;
    for node in NODES {
        until_waits(&world, node, why).await;
        until_waits(&world, node, &check.name_any()).await;
    }
    assert_eq!(images(&world).await, [image("0"), image("0")], "nobody that serves gets it");

    // Taken back: the pod goes, and nobody was touched.
    want_image(&world, "0").await;
    until_tried(&world, &[]).await;
    until_nothing_waits(&world).await;
    assert_eq!(images(&world).await, [image("0"), image("0")]);

    // An image that runs goes out, one node at a time.
    want_image(&world, "2").await;
    let check = until_tried(&world, &[image("2")]).await.remove(0);
    pods::set_status(&world, &check.name_any(), json!({"phase": "Succeeded"})).await;
    let begun = std::time::Instant::now();
    let first = loop {
        let images = images(&world).await;
        if let Some(first) = images.iter().position(|it| *it == image("2")) {
            break first;
        }
        assert!(begun.elapsed() < DEADLINE);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    let (first, second) = (NODES[first], NODES[1 - first]);
    assert_eq!(first, NODES[0], "the first by name");
    until_waits(&world, second, &format!("node {first} got the new image first")).await;

    // Once a node has served with it for a while, that is proof enough.
    pods::delete(&world, first).await;
    serve(&world, first).await;
    let changed = |set: &Value| set["spec"]["template"]["spec"]["containers"][0]["image"] == image("2");
    world.until("StatefulSet", &names::node::stateful_set(second), changed).await;
    until_tried(&world, &[]).await;
}

#[tokio::test]
async fn a_node_that_does_not_serve_waits_for_no_check() {
    let world = World::new("images-down").await;
    let _operator = Operator::start(&world);
    world.create_fleet(&NODES).await;
    world.until_brought_up(&NODES).await;
    want_image(&world, "3").await;
    let changed = |set: &Value| set["spec"]["template"]["spec"]["containers"][0]["image"] == image("3");
    for node in NODES {
        world.until("StatefulSet", &names::node::stateful_set(node), changed).await;
    }
    assert!(pods::image_checks(&world).await.is_empty());
}
