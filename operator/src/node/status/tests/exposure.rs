//! The address that a node announces, and its load balancer.

use super::*;
use crate::node::load_balancer::LiveLoadBalancer;

const URL: &str = "https://a.world.example:9443";

fn exposed() -> World {
    let mut world = ready();
    world.object["spec"]["exposure"] = json!({
        "type": "LoadBalancer", "loadBalancer": {"advertisedURL": URL, "sourceCIDRs": ["203.0.113.0/28"]},
    });
    world
}

fn p2p(status: &TesseraNodeStatus) -> &str {
    &status.endpoints.as_ref().unwrap().p2p
}

#[test]
fn the_status_has_an_address_once_a_pod_runs_with_it() {
    let mut world = exposed();
    world.applied.waiting = Some("its turn".into());
    let waits = world.status();
    assert_eq!(p2p(&waits), "https://node-a-p2p.org-a.svc:9000/");
    let mut world = exposed();
    world.observed.workload.as_mut().unwrap().up_to_date = false;
    assert_eq!(p2p(&world.status()), "https://node-a-p2p.org-a.svc:9000/");
    let runs = exposed().status();
    assert_eq!(p2p(&runs), "https://a.world.example:9443/");
    let events = of_transition(&waits, &runs);
    assert!(events.iter().any(|event| event.reason == "AddressChanged"), "{events:?}");
    // It is taken back: until a pod runs without it, partners find the node where they did.
    let mut back = ready();
    back.object["status"] = serde_json::to_value(&runs).unwrap();
    back.applied.waiting = Some("its turn".into());
    assert_eq!(p2p(&back.status()), "https://a.world.example:9443/");
    // It is stopped: the address is free for another node.
    let mut stopped = ready();
    stopped.object["spec"]["replicas"] = json!(0);
    stopped.object["status"] = serde_json::to_value(&runs).unwrap();
    stopped.observed.pods.clear();
    stopped.observed.workload = Some(Workload { up_to_date: true, ..Workload::default() });
    assert_eq!(p2p(&stopped.status()), "https://node-a-p2p.org-a.svc:9000/");
}

#[test]
fn a_load_balancer_without_an_address_is_awaited_and_the_node_serves_all_the_same() {
    let awaits = exposed().status();
    assert_eq!(reason(&awaits, ConditionType::Ready), "True Ready");
    assert_eq!(reason(&awaits, ConditionType::Reconciling), "True AwaitingLoadBalancer");
    let mut world = exposed();
    let addresses = vec!["203.0.113.77".into()];
    world.observed.load_balancer = Some(LiveLoadBalancer { addresses, sources: Vec::new() });
    let status = world.status();
    assert!(find(&status.conditions, ConditionType::Reconciling).is_none());
    assert_eq!(status.endpoints.unwrap().load_balancer, ["203.0.113.77"]);
}

#[test]
fn an_address_that_the_node_cannot_have_stalls_it_and_keeps_it_as_it_is() {
    let mut inputs = inputs();
    let mut other = exposed().object;
    other["metadata"]["name"] = json!("node-0");
    other["status"] = json!({"endpoints": {"q2t": "https://q2t", "p2p": format!("{URL}/")}});
    inputs.others = vec![std::sync::Arc::new(node(other))];
    for before in ["https://node-a-p2p.org-a.svc:9000/", "https://old.world.example/"] {
        let mut world = exposed();
        world.object["status"] = json!({"endpoints": {"q2t": "https://q2t", "p2p": before}});
        let status = world.status_upon(&inputs);
        assert_eq!(reason(&status, ConditionType::Stalled), "True InvalidConfiguration");
        assert_eq!(reason(&status, ConditionType::Ready), "True Ready");
        assert_eq!(p2p(&status), before);
    }
}
