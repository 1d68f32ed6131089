//! Which machines a node prefers, and what of it rolls a pod.

use crate::fixtures::{inputs, node, node_json, settings};
use crate::node::desired::desired;
use crate::node::resolve::resolve;
use crate::node::rollout::LiveWorkload;

const PREFERRED: &str =
    "/spec/template/spec/affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution";

fn ledger(app: &str) -> serde_json::Value {
    serde_json::json!({"podSelector": {"matchLabels": {"app": app}}})
}

/// The planned workload of a node with these sources of a client, beside `live`.
fn workload(
    from: &serde_json::Value,
    pod: &serde_json::Value,
    live: Option<&serde_json::Value>,
) -> serde_json::Value {
    let mut json = node_json("node-a");
    json["spec"]["clients"] = serde_json::json!([{"name": "geth", "from": from}]);
    json["spec"]["pod"] = pod.clone();
    let mut resolved = resolve(&node(json), &inputs(), &settings()).unwrap();
    resolved.workload = live.map(|live| LiveWorkload::of(&serde_json::from_value(live.clone()).unwrap()));
    desired(&resolved).workload.body
}

fn preferred(body: &serde_json::Value) -> Vec<serde_json::Value> {
    body.pointer(PREFERRED).and_then(serde_json::Value::as_array).cloned().unwrap_or_default()
}

#[test]
fn a_node_prefers_machines_without_pods_of_its_ledgers_after_what_the_user_says() {
    let term = |selector: serde_json::Value| {
        let mut term = selector;
        term["topologyKey"] = "kubernetes.io/hostname".into();
        serde_json::json!({"weight": 50, "podAffinityTerm": term})
    };
    let pods = serde_json::json!({"matchLabels": {"app": "geth"}});
    let namespaces = serde_json::json!({"matchLabels": {"team": "ledger"}});
    let from = serde_json::json!([
        ledger("geth"), ledger("geth"),
        {"podSelector": pods, "namespaceSelector": namespaces}, {"namespaceSelector": namespaces},
        {"ipBlock": {"cidr": "192.0.2.0/24"}}, {"podSelector": {}}, {"namespaceSelector": {}},
    ]);
    let ours = [
        term(serde_json::json!({"labelSelector": pods})),
        term(serde_json::json!({"labelSelector": pods, "namespaceSelector": namespaces})),
        term(serde_json::json!({"labelSelector": {}, "namespaceSelector": namespaces})),
    ];
    assert_eq!(preferred(&workload(&from, &serde_json::json!({}), None)), ours);
    let theirs = serde_json::json!({"weight": 100, "podAffinityTerm": {"topologyKey": "zone"}});
    let affinity = serde_json::json!({
        "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []},
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone"}],
            "preferredDuringSchedulingIgnoredDuringExecution": [theirs],
        },
    });
    let with = workload(&from, &serde_json::json!({"affinity": affinity}), None);
    assert_eq!(preferred(&with), [&[theirs], &ours[..]].concat());
    let all = with.pointer("/spec/template/spec/affinity").unwrap();
    assert!(all["nodeAffinity"].is_object());
    assert_eq!(
        all["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"],
        affinity["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    );
    let addresses = serde_json::json!([{"ipBlock": {"cidr": "192.0.2.0/24"}}]);
    let without = workload(&addresses, &serde_json::json!({}), None);
    assert!(without["spec"]["template"]["spec"].get("affinity").is_none());
    let many: Vec<_> = (0..16).flat_map(|n| [ledger(&format!("a{n}")), ledger(&format!("b{n}"))]).collect();
    assert_eq!(preferred(&workload(&many.into(), &serde_json::json!({}), None)).len(), 16, "bounded");
}

#[test]
fn neither_another_client_nor_another_operator_rolls_a_pod() {
    let none = serde_json::json!({});
    let theirs = |zone: &str| {
        serde_json::json!({"affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution":
            [{"weight": 50, "podAffinityTerm": {"topologyKey": zone}}]}}})
    };
    let (one, two) = (serde_json::json!([ledger("one")]), serde_json::json!([ledger("one"), ledger("two")]));
    let template = |body: &serde_json::Value| body["spec"]["template"].clone();
    for pod in [&none, &theirs("zone")] {
        let live = workload(&one, pod, None);
        for from in [&two, &serde_json::json!([ledger("three")])] {
            let kept = workload(from, pod, Some(&live));
            assert_eq!(
                (template(&kept), &kept["metadata"]["annotations"]),
                (template(&live), &live["metadata"]["annotations"])
            );
        }
        // What the user says of placement counts at once, and then so do today's clients.
        for other in [theirs("rack"), none.clone(), theirs("zone")].iter().filter(|other| *other != pod) {
            assert_eq!(template(&workload(&two, other, Some(&live))), template(&workload(&two, other, None)));
        }
        // So does what somebody edits.
        let mut edited = live.clone();
        edited.pointer_mut(PREFERRED).unwrap().as_array_mut().unwrap().reverse();
        edited["metadata"]["annotations"][crate::node::rollout::LEDGER_TERMS] = "7".into();
        let put_back = workload(&one, pod, Some(&edited));
        assert_eq!(template(&put_back), template(&live));
    }
    // As revision 1 made it: nothing of ledgers.
    let mut first = workload(&serde_json::json!([{"ipBlock": {"cidr": "192.0.2.0/24"}}]), &none, None);
    let annotations = first["metadata"]["annotations"].as_object_mut().unwrap();
    annotations.remove(crate::node::rollout::LEDGER_TERMS);
    annotations.insert(crate::node::rollout::TEMPLATE_REVISION.into(), "1".into());
    assert_eq!(template(&workload(&one, &none, Some(&first))), template(&first));
    let changed = serde_json::json!({"labels": {"team": "a"}});
    let rolled = workload(&one, &changed, Some(&first));
    assert_eq!(template(&rolled), template(&workload(&one, &changed, None)));
    assert_eq!(preferred(&rolled).len(), 1);
}
