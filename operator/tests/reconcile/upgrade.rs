//! An image that goes out: one node first, and back if that node does not become ready. The StatefulSet controller and the kubelet
//! are played by the test.

use std::net::{IpAddr, Ipv4Addr};

use kube::ResourceExt;
use serde_json::{Value, json};
use tessera_crds::names;
use tessera_node_api::image_report::ImageReport;

use crate::images::{image, image_of, until_tried, want_image};
use crate::operator::Operator;
use crate::pods;
use crate::rollout::{serve, until_waits};
use crate::world::{World, condition};

const NODES: [&str; 3] = ["a", "b", "c"];
/// Nobody listens there.
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 78, 0, 2));

async fn serving(test: &str) -> (World, Operator) {
    let world = World::new(test).await;
    let operator = Operator::start(&world);
    world.create_fleet(&NODES).await;
    let rollout = json!({"maxUnavailable": 3, "observe": "4s", "progressDeadline": "30s"});
    world.edit("TesseraNetwork", "net", json!({"spec": {"rollout": rollout}})).await;
    world.until_brought_up(&NODES).await;
    for node in NODES {
        serve(&world, node).await;
        let served = |node: &Value| node["status"]["images"]["served"] == image("0");
        world.until("TesseraNode", node, served).await;
    }
    (world, operator)
}

/// A pod has tried the image, which writes this format; the first node has it.
async fn until_first_has(world: &World, digit: &str, format: u32) {
    want_image(world, digit).await;
    let check = until_tried(world, &[image(digit)]).await.remove(0);
    let report = ImageReport { store_format: format }.to_json();
    let ended = json!({"phase": "Succeeded", "containerStatuses": [{"name": "tessera-node", "image": image(digit), "imageID": "",
        "ready": false, "restartCount": 0, "state": {"terminated": {"exitCode": 0, "message": report}}}]});
    pods::set_status(world, &check.name_any(), ended).await;
    until_has(world, NODES[0], digit).await;
}

async fn until_has(world: &World, node: &str, digit: &str) {
    let has = |set: &Value| set["spec"]["template"]["spec"]["containers"][0]["image"] == image(digit);
    world.until("StatefulSet", &names::node::stateful_set(node), has).await;
}

/// The StatefulSet controller has made the pod anew, and it ends again and again.
async fn crash(world: &World, node: &str, digit: &str) {
    pods::delete(world, node).await;
    pods::make(world, node).await;
    let ended = json!({"exitCode": 1, "reason": "Error", "message": "ERROR: no such option"});
    let status = json!({"phase": "Running", "podIP": ADDRESS.to_string(),
        "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [{"name": "tessera-node", "image": image(digit), "imageID": "", "ready": false,
            "restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": ended}}]});
    pods::set_status(world, &names::node::pod(node, 0), status).await;
}

#[tokio::test]
async fn one_node_gets_an_image_first_and_the_others_follow_when_it_has_served() {
    let (world, operator) = serving("canary").await;
    until_first_has(&world, "1", 1).await;
    for node in ["b", "c"] {
        until_waits(&world, node, "node a got the new image first").await;
    }
    // Also for an operator that remembers nothing.
    assert!(operator.terminate().success());
    let _operator = Operator::start(&world);
    pods::delete(&world, "a").await;
    serve(&world, "a").await;
    for node in ["b", "c"] {
        until_has(&world, node, "1").await;
    }
}

#[tokio::test]
async fn an_image_that_ends_again_and_again_goes_back_while_the_store_is_down_and_reaches_no_other_node() {
    let (world, operator) = serving("rollback").await;
    until_first_has(&world, "1", 1).await;
    crash(&world, "a", "1").await;
    // Nobody vouches for the store any longer, and the operator dies in between.
    world.edit("TesseraNetwork", "net", json!({"spec": {"monitoring": []}})).await;
    assert!(operator.terminate().success());
    let operator = Operator::start(&world);
    until_has(&world, "a", "0").await;
    let message = world.until_reason("TesseraNode", "a", "Stalled", "ImageRolledBack").await;
    assert!(message.contains(&image("1")) && message.contains("no such option"), "{message}");
    pods::delete(&world, "a").await;
    serve(&world, "a").await;

    // It stays so, whoever asks: another operator, another spec in between.
    assert!(operator.terminate().success());
    let _operator = Operator::start(&world);
    want_image(&world, "0").await;
    let settled = |node: &Value| condition(node, "Stalled").is_none();
    world.until("TesseraNode", "a", settled).await;
    want_image(&world, "1").await;
    world.until_reason("TesseraNode", "a", "Stalled", "ImageRolledBack").await;
    for node in ["b", "c"] {
        until_waits(&world, node, "node a did not become ready with it").await;
    }
    for node in NODES {
        assert_eq!(image_of(&world, node).await, image("0"), "{node}");
    }
    // A person has it tried again.
    world.edit("TesseraNode", "a", json!({"spec": {"restartTrigger": 1}})).await;
    let tries = |node: &Value| condition(node, "Stalled").is_none();
    world.until("TesseraNode", "a", tries).await;
    until_tried(&world, &[image("1")]).await;
}

#[tokio::test]
async fn a_node_does_not_go_back_to_a_program_that_cannot_read_the_newer_format() {
    let (world, _operator) = serving("formats").await;
    until_first_has(&world, "2", 2).await;
    crash(&world, "a", "2").await;
    let message = world.until_reason("TesseraNode", "a", "Stalled", "CannotRollBack").await;
    assert!(message.contains(&image("0")), "{message}");
    assert_eq!(image_of(&world, "a").await, image("2"));
    assert_eq!(image_of(&world, "b").await, image("0"));
    // A newer image is the way out.
    want_image(&world, "3").await;
    until_has(&world, "a", "3").await;
}
