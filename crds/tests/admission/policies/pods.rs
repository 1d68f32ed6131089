//! Pods that run as a node or as the operator, or look like one.

use serde_json::{Value, json};

use super::chart::{IMAGE, NODE_IMAGE};
use super::{MANAGED, OPEN, RELEASE, STORE, User, create, patch, put, send, template};

const PODS: &str = "v1/pods";
const POLICY: &str = "tessera-operator-pods";
const LABELS: &str = "tessera-operator-pod-labels";
const OWN: &str = "tessera-operator-own-pods";

/// The pod that the StatefulSet controller makes for node `node`.
fn pod(node: &str) -> Value {
    let mut pod = template(node);
    pod["metadata"]["name"] = json!(format!("tessera-{node}-0"));
    pod["metadata"]["ownerReferences"] = owner("apps/v1", "StatefulSet", &format!("tessera-{node}"));
    pod
}

fn owner(version: &str, kind: &str, name: &str) -> Value {
    json!([{"apiVersion": version, "kind": kind, "name": name, "uid": "uid", "controller": true}])
}

fn plain(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "x"}]}})
}

#[tokio::test]
async fn a_nodes_pod_comes_from_the_stateful_set_controller() {
    create(User::StatefulSetController, PODS, MANAGED, &pod("a")).await.is_admitted();
    for user in [User::Admin, User::Operator, User::ReplicaSetController, User::BreakGlass] {
        create(user, PODS, MANAGED, &pod("a")).await.is_refused("tessera-operator-", &[]);
    }
    create(User::Admin, PODS, MANAGED, &plain("geth-0")).await.is_admitted();
    create(User::Admin, PODS, MANAGED, &plain("tessera-a-0")).await.is_refused(POLICY, &["named tessera-*"]);
    create(User::Admin, PODS, OPEN, &plain("tessera-a-0")).await.is_admitted();
}

/// A forged revision makes the controller run a node's ServiceAccount for a StatefulSet of others.
#[tokio::test]
async fn a_nodes_pod_belongs_to_the_nodes_stateful_set() {
    for (version, kind, name) in [
        ("apps/v1", "StatefulSet", "s"),
        ("apps/v1", "StatefulSet", "tessera-b"),
        ("apps/v1", "ReplicaSet", "tessera-a"),
        ("apps.kruise.io/v1", "StatefulSet", "tessera-a"),
    ] {
        let mut forged = pod("a");
        forged["metadata"]["ownerReferences"] = owner(version, kind, name);
        let answer = create(User::StatefulSetController, PODS, MANAGED, &forged).await;
        answer.is_refused(POLICY, &["does not belong"]);
    }
    let mut other_name = pod("a");
    other_name["metadata"]["name"] = json!("s-0");
    create(User::StatefulSetController, PODS, MANAGED, &other_name)
        .await
        .is_refused(POLICY, &["does not belong"]);
    let mut other_account = pod("a");
    other_account["spec"]["serviceAccountName"] = json!("tessera-provisioner");
    create(User::StatefulSetController, PODS, MANAGED, &other_account)
        .await
        .is_refused(POLICY, &["does not belong"]);
}

/// The operator's exec probe asks for it, so nobody may have it, not even who makes all other pods of ours.
#[tokio::test]
async fn no_pod_has_the_name_of_the_exec_probe() {
    let mut probe = pod("exec");
    probe["metadata"]["name"] = json!("tessera-exec-probe");
    create(User::StatefulSetController, PODS, MANAGED, &probe)
        .await
        .is_refused(POLICY, &["tessera-exec-probe"]);
    let own = own_pod("tessera-exec-probe");
    create(User::ReplicaSetController, PODS, RELEASE, &own).await.is_refused(OWN, &["tessera-exec-probe"]);
    create(User::Admin, PODS, RELEASE, &plain("tessera-exec-probe")).await.is_refused(OWN, &[]);
}

#[tokio::test]
async fn a_nodes_pod_runs_its_one_container() {
    let sidecar = json!({"name": "istio-proxy", "image": NODE_IMAGE});
    let mut injected = pod("a");
    injected["spec"]["containers"].as_array_mut().unwrap().push(sidecar.clone());
    let answer = create(User::StatefulSetController, PODS, MANAGED, &injected).await;
    answer.is_refused(POLICY, &["istio-proxy", "injects"]);
    let mut initialised = pod("a");
    initialised["spec"]["initContainers"] = json!([sidecar]);
    create(User::StatefulSetController, PODS, MANAGED, &initialised)
        .await
        .is_refused(POLICY, &["istio-proxy"]);
    let mut wrapped = pod("a");
    wrapped["spec"]["containers"][0]["command"] = json!(["/bin/sh"]);
    create(User::StatefulSetController, PODS, MANAGED, &wrapped).await.is_refused(POLICY, &[]);
}

/// The policy on NetworkPolicies relies on it.
#[tokio::test]
async fn a_nodes_pod_has_no_label_of_common_selectors() {
    let labelled = |key: &str| {
        let mut labelled = pod("a");
        labelled["metadata"]["labels"][key] = json!("geth");
        labelled
    };
    for key in ["app", "app.kubernetes.io/component", "role"] {
        let answer = create(User::StatefulSetController, PODS, MANAGED, &labelled(key)).await;
        answer.is_refused(POLICY, &["commonly selected", key]);
    }
    create(User::StatefulSetController, PODS, MANAGED, &labelled("team")).await.is_admitted();
}

#[tokio::test]
async fn a_running_node_keeps_image_labels_and_containers() {
    put(User::StatefulSetController, PODS, MANAGED, &pod("run")).await;
    let image = "example.com/tessera-node@sha256:22";
    let change = json!([{"op": "replace", "path": "/spec/containers/0/image", "value": image}]);
    let path = "/api/v1/namespaces/policies-managed/pods/tessera-run-0?dryRun=All";
    json_patch(User::Admin, path, &change).await.is_refused(POLICY, &["spec.image"]);
    for labels in [
        json!({"tessera.rs/node": null}),
        json!({"tessera.rs/node": "other"}),
        json!({"app.kubernetes.io/name": null}),
    ] {
        let answer =
            patch(User::Admin, PODS, MANAGED, "tessera-run-0", &json!({"metadata": {"labels": labels}}))
                .await;
        answer.is_refused(LABELS, &["tessera-run-0"]);
    }
    let note = json!({"metadata": {"labels": {"backup": "no"}, "annotations": {"a": "b"}}});
    patch(User::Admin, PODS, MANAGED, "tessera-run-0", &note).await.is_admitted();
}

/// A debugging container in a pod can mount the pod's token.
#[tokio::test]
async fn ephemeral_containers_are_refused_where_exec_is() {
    let debug = async |user, namespace, pod: &str| {
        let debugger = json!({"spec": {"ephemeralContainers": [{"name": "debugger", "image": "x"}]}});
        patch(user, PODS, namespace, &format!("{pod}/ephemeralcontainers"), &debugger).await
    };
    put(User::StatefulSetController, PODS, MANAGED, &pod("debugged")).await;
    debug(User::Admin, MANAGED, "tessera-debugged-0").await.is_refused(POLICY, &["ephemeral"]);
    debug(User::BreakGlass, MANAGED, "tessera-debugged-0").await.is_admitted();
    put(User::ReplicaSetController, PODS, RELEASE, &own_pod("tessera-operator-5d9c-x2")).await;
    debug(User::Admin, RELEASE, "tessera-operator-5d9c-x2").await.is_refused(OWN, &["nothing else"]);
    put(User::Admin, PODS, STORE, &plain("vault-to-debug")).await;
    debug(User::Admin, STORE, "vault-to-debug")
        .await
        .is_refused("tessera-operator-guarded-pods", &["ephemeralcontainers", "vault-to-debug"]);
    debug(User::BreakGlass, STORE, "vault-to-debug").await.is_admitted();
    for namespace in [MANAGED, RELEASE, OPEN] {
        put(User::Admin, PODS, namespace, &plain("geth-to-debug")).await;
        debug(User::Admin, namespace, "geth-to-debug").await.is_admitted();
    }
}

async fn json_patch(user: User, target: &str, patch: &Value) -> super::Answer {
    // `send` speaks merge patches, which replace a list whole.
    let containers = json!({"spec": {"containers": [{
        "name": "tessera-node", "image": patch[0]["value"], "command": ["/tessera-node"],
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent", "resources": {},
    }]}});
    send(user, "PATCH", target, &containers).await
}

/// The nodes' NetworkPolicies let pods with these labels in, and the nodes out to them.
#[tokio::test]
async fn nobody_elses_pod_looks_like_a_node() {
    for (key, value) in [
        ("tessera.rs/node", "a"),
        ("tessera.rs/network", "org-a"),
        ("app.kubernetes.io/name", "tessera-node"),
        ("app.kubernetes.io/managed-by", "tessera-operator"),
    ] {
        let mut labelled = plain("thief");
        labelled["metadata"]["labels"] = json!({key: value});
        create(User::Admin, PODS, MANAGED, &labelled).await.is_refused(LABELS, &["thief"]);
        create(User::ReplicaSetController, PODS, MANAGED, &labelled).await.is_refused(LABELS, &["thief"]);
        create(User::Admin, PODS, OPEN, &labelled).await.is_admitted();
    }
    put(User::Admin, PODS, MANAGED, &plain("later")).await;
    let label = |key: &str, value: &str| json!({"metadata": {"labels": {key: value}}});
    let gain = async |patched: &Value| patch(User::Admin, PODS, MANAGED, "later", patched).await;
    gain(&label("tessera.rs/network", "org-a")).await.is_refused(LABELS, &["later"]);
    gain(&label("app.kubernetes.io/name", "geth")).await.is_admitted();
}

/// A pod of the operator.
fn own_pod(name: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "labels": {"app.kubernetes.io/name": "tessera-operator"},
            "ownerReferences": owner("apps/v1", "ReplicaSet", "tessera-operator-5d9c"),
        },
        "spec": {"serviceAccountName": "tessera-operator", "containers": [{"name": "operator", "image": IMAGE}]},
    })
}

#[tokio::test]
async fn the_operators_pods_come_from_its_deployment_and_run_its_image() {
    let own = own_pod("tessera-operator-5d9c-x1");
    create(User::ReplicaSetController, PODS, RELEASE, &own).await.is_admitted();
    create(User::Admin, PODS, RELEASE, &own).await.is_refused(OWN, &["Deployment"]);
    let mut of_others = own.clone();
    of_others["metadata"]["ownerReferences"] = owner("apps/v1", "ReplicaSet", "thief-5d9c");
    create(User::ReplicaSetController, PODS, RELEASE, &of_others).await.is_refused(OWN, &["Deployment"]);
    let mut other_image = own.clone();
    other_image["spec"]["containers"][0]["image"] = json!("evil.example/operator@sha256:00");
    create(User::ReplicaSetController, PODS, RELEASE, &other_image)
        .await
        .is_refused(OWN, &["image of this release"]);
    let mut labelled = plain("thief");
    labelled["metadata"]["labels"] = json!({"app.kubernetes.io/name": "tessera-operator"});
    create(User::Admin, PODS, RELEASE, &labelled).await.is_refused(OWN, &["label"]);
    create(User::Admin, PODS, RELEASE, &plain("prometheus-0")).await.is_admitted();
}
