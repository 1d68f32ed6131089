//! A change of the pod template: who gets it when. The StatefulSet controller and the kubelet are played by the test.

use std::net::{IpAddr, Ipv4Addr};

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tessera_crds::names;
use tessera_operator::node::rollout::STORE_VOUCHED_FOR;

use crate::operator::Operator;
use crate::pods;
use crate::world::{World, condition};

const SERVING: [&str; 3] = ["a", "b", "c"];
const BROKEN: &str = "d";

/// Nobody listens there: what the node says of itself does not matter here.
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 78, 0, 1));

async fn selector(world: &World, node: &str) -> Value {
    let set = world.get("StatefulSet", &names::node::stateful_set(node)).await.unwrap();
    set["spec"]["template"]["spec"]["nodeSelector"]["disk"].clone()
}

/// Which of the nodes that serve have the template with this selector.
async fn changed(world: &World, disk: &str) -> Vec<&'static str> {
    let mut changed = Vec::new();
    for node in SERVING {
        if selector(world, node).await == disk {
            changed.push(node);
        }
    }
    changed
}

/// The StatefulSet controller has brought the newest template to the pod.
async fn bring_back(world: &World, node: &str) {
    let name = names::node::stateful_set(node);
    let generation = world.get("StatefulSet", &name).await.unwrap()["metadata"]["generation"].clone();
    let status = json!({"status": {"observedGeneration": generation, "replicas": 1, "readyReplicas": 1,
        "currentRevision": "newest", "updateRevision": "newest"}});
    let api = world.api("StatefulSet");
    api.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
}

/// A pod of the node runs, and the kubelet finds it ready.
pub(crate) async fn serve(world: &World, node: &str) {
    pods::make(world, node).await;
    pods::set_running(world, node, ADDRESS, true).await;
    bring_back(world, node).await;
}

async fn want_disk(world: &World, disk: &str) {
    let edit = json!({"spec": {"nodeDefaults": {"pod": {"nodeSelector": {"disk": disk}}}}});
    world.edit("TesseraNetwork", "net", edit).await;
}

/// A person says that the nodes reach the store, which in this world nobody does.
pub(crate) async fn vouch(world: &World) {
    let generation = world.network().await.metadata.generation.unwrap();
    let annotation = json!({"metadata": {"annotations": {STORE_VOUCHED_FOR: generation.to_string()}}});
    world.edit("TesseraNetwork", "net", annotation).await;
}

pub(crate) async fn until_waits(world: &World, node: &str, cause: &str) {
    let waits = |object: &Value| {
        condition(object, "Reconciling").is_some_and(|found| {
            found["reason"] == "RolloutWaiting" && found["message"].to_string().contains(cause)
        })
    };
    world.until("TesseraNode", node, waits).await;
}

#[tokio::test]
async fn a_change_reaches_nodes_that_serve_one_by_one_and_only_onto_a_store_that_is_ready() {
    let world = World::new("rollout").await;
    let _operator = Operator::start(&world);
    let all = [SERVING.as_slice(), &[BROKEN]].concat();
    world.create_fleet(&all).await;
    world.until_brought_up(&all).await;
    for node in SERVING {
        serve(&world, node).await;
        world.until_reason("TesseraNode", node, "Ready", "NodeUnreachable").await;
    }

    // The store does not answer: nobody that serves changes, and the node that does not serve changes at once.
    want_disk(&world, "fast").await;
    for node in SERVING {
        until_waits(&world, node, "secret store").await;
    }
    world
        .until("StatefulSet", &names::node::stateful_set(BROKEN), |set| {
            set["spec"]["template"]["spec"]["nodeSelector"]["disk"] == "fast"
        })
        .await;
    assert_eq!(changed(&world, "fast").await, [""; 0]);
    // What rolls no pod does not wait.
    world.edit("TesseraNode", "a", json!({"spec": {"clients": []}})).await;
    world.until("Secret", "a-client-ledger", Value::is_null).await;

    // From here on a person vouches for the store: one at a time, and the next only when the last is back.
    vouch(&world).await;
    for round in 1..=SERVING.len() {
        let begun = std::time::Instant::now();
        let done = loop {
            let done = changed(&world, "fast").await;
            if done.len() >= round {
                break done;
            }
            assert!(begun.elapsed() < crate::world::DEADLINE, "round {round}: {done:?}");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        };
        assert_eq!(done.len(), round, "{done:?}");
        for node in SERVING.iter().filter(|node| !done.contains(node)) {
            until_waits(&world, node, "not back yet").await;
        }
        assert_eq!(changed(&world, "fast").await.len(), round, "they wait");
        for node in done {
            bring_back(&world, node).await;
        }
    }
}

#[tokio::test]
async fn a_template_that_keeps_one_node_from_coming_back_goes_to_no_other() {
    let world = World::new("bad-template").await;
    let operator = Operator::start(&world);
    world.create_fleet(&SERVING).await;
    world.until_brought_up(&SERVING).await;
    for node in SERVING {
        serve(&world, node).await;
    }
    want_disk(&world, "wrong").await;
    vouch(&world).await;
    let one = |found: Vec<&'static str>| found.len() == 1;
    let end = std::time::Instant::now() + crate::world::DEADLINE;
    while !one(changed(&world, "wrong").await) {
        assert!(std::time::Instant::now() < end);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let first = changed(&world, "wrong").await[0];
    pods::set_running(&world, first, ADDRESS, false).await;
    // Also for an operator that remembers nothing.
    assert!(operator.terminate().success());
    let _operator = Operator::start(&world);
    for node in SERVING.iter().filter(|node| **node != first) {
        until_waits(&world, node, &format!("node {first} is not back yet")).await;
    }
    assert_eq!(changed(&world, "wrong").await, [first]);
    // A corrected spec reaches the node that does not serve at once.
    want_disk(&world, "right").await;
    world
        .until("StatefulSet", &names::node::stateful_set(first), |set| {
            set["spec"]["template"]["spec"]["nodeSelector"]["disk"] == "right"
        })
        .await;
}
