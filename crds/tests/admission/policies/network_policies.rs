//! NetworkPolicies of others.

use serde_json::{Value, json};

use super::{MANAGED, OPEN, User, create, metadata, patch, put};

const NETWORK_POLICIES: &str = "networking.k8s.io/v1/networkpolicies";
const POLICY: &str = "tessera-operator-network-policies";

fn allowing(selector: &Value) -> Value {
    json!({"metadata": {"name": "theirs"}, "spec": {"podSelector": selector, "ingress": [{}]}})
}

fn labels(labels: &Value) -> Value {
    json!({"matchLabels": labels})
}

fn expression(key: &str, operator: &str, values: &[&str]) -> Value {
    let mut expression = json!({"key": key, "operator": operator});
    if !values.is_empty() {
        expression["values"] = json!(values);
    }
    json!({"matchExpressions": [expression]})
}

#[tokio::test]
async fn an_allow_rule_that_can_select_a_node_is_refused() {
    let name = "app.kubernetes.io/name";
    for selector in [
        json!({}),
        labels(&json!({name: "tessera-node"})),
        labels(&json!({"tessera.rs/node": "a"})),
        labels(&json!({"tessera.rs/network": "org-a"})),
        labels(&json!({"statefulset.kubernetes.io/pod-name": "tessera-a-0"})),
        labels(&json!({"team": "payments"})),
        labels(&json!({"app.kubernetes.io/managed-by": "tessera-operator"})),
        expression(name, "In", &["geth", "tessera-node"]),
        expression(name, "Exists", &[]),
        expression(name, "NotIn", &["geth"]),
        expression("tessera.rs/node", "Exists", &[]),
        expression("app", "DoesNotExist", &[]),
        expression("app", "NotIn", &["geth"]),
        expression("team", "In", &["payments"]),
    ] {
        let answer = create(User::Admin, NETWORK_POLICIES, MANAGED, &allowing(&selector)).await;
        answer.is_refused(POLICY, &["DoesNotExist", "spec.clients"]);
        create(User::Admin, NETWORK_POLICIES, OPEN, &allowing(&selector)).await.is_admitted();
    }
}

#[tokio::test]
async fn an_allow_rule_that_cannot_select_a_node_is_admitted() {
    let name = "app.kubernetes.io/name";
    for selector in [
        labels(&json!({"app": "geth"})),
        labels(&json!({name: "besu"})),
        labels(&json!({"team": "payments", name: "besu"})),
        labels(&json!({"app.kubernetes.io/managed-by": "Helm"})),
        expression(name, "In", &["geth", "besu"]),
        expression(name, "NotIn", &["tessera-node"]),
        expression(name, "DoesNotExist", &[]),
        expression("tessera.rs/node", "DoesNotExist", &[]),
        expression("app", "Exists", &[]),
        expression("app", "In", &["geth"]),
    ] {
        create(User::Admin, NETWORK_POLICIES, MANAGED, &allowing(&selector)).await.is_admitted();
    }
}

#[tokio::test]
async fn ingress_and_egress_rules_open_and_a_denial_opens_nothing() {
    let mut egress = allowing(&json!({}));
    egress["spec"].as_object_mut().unwrap().remove("ingress");
    egress["spec"]["egress"] = json!([{}]);
    create(User::Admin, NETWORK_POLICIES, MANAGED, &egress).await.is_refused(POLICY, &[]);
    let denial = json!({
        "metadata": {"name": "deny-all"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    });
    create(User::Admin, NETWORK_POLICIES, MANAGED, &denial).await.is_admitted();
}

#[tokio::test]
async fn a_change_is_judged_as_a_creation_is() {
    let mut policy = allowing(&labels(&json!({"app": "geth"})));
    policy["metadata"]["name"] = json!("theirs-to-change");
    put(User::Admin, NETWORK_POLICIES, MANAGED, &policy).await;
    let change = async |change: &Value| {
        patch(User::Admin, NETWORK_POLICIES, MANAGED, "theirs-to-change", change).await
    };
    change(&json!({"spec": {"podSelector": {"matchLabels": {"app": null}}}})).await.is_refused(POLICY, &[]);
    change(&json!({"spec": {"podSelector": {"matchLabels": {"app": "besu"}}}})).await.is_admitted();
    change(&json!({"metadata": {"annotations": {"note": "x"}}})).await.is_admitted();
}

#[tokio::test]
async fn the_operators_own_policies_pass() {
    let mut policy = allowing(&labels(&json!({"tessera.rs/node": "a"})));
    policy["metadata"] = metadata("a", "a");
    create(User::Operator, NETWORK_POLICIES, MANAGED, &policy).await.is_admitted();
}
