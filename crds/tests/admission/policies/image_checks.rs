//! Pods that try an image: the operator alone makes them, and makes no other.

use serde_json::{Value, json};

use super::chart::NODE_IMAGE;
use super::{MANAGED, User, create, delete, patch, put};

const PODS: &str = "v1/pods";
const POLICY: &str = "tessera-operator-image-checks";

fn check(name: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "labels": {"app.kubernetes.io/name": "tessera-image-check"},
            "ownerReferences": [{"apiVersion": "tessera.rs/v1alpha1", "kind": "TesseraNetwork", "name": "net",
                "uid": "uid", "controller": true}],
        },
        "spec": {
            "serviceAccountName": "default", "automountServiceAccountToken": false,
            "containers": [{"name": "tessera-node", "image": NODE_IMAGE, "command": ["/tessera-node"], "args": ["--version"]}],
        },
    })
}

#[tokio::test]
async fn the_operator_alone_makes_a_pod_that_tries_an_image() {
    create(User::Operator, PODS, MANAGED, &check("image-check-a")).await.is_admitted();
    for user in [User::Admin, User::StatefulSetController, User::BreakGlass] {
        create(user, PODS, MANAGED, &check("image-check-a"))
            .await
            .is_refused(POLICY, &["only the Tessera operator"]);
    }
    // Success lets an image on, so no other pod becomes one.
    let plain =
        json!({"metadata": {"name": "plain"}, "spec": {"containers": [{"name": "c", "image": NODE_IMAGE}]}});
    put(User::Admin, PODS, MANAGED, &plain).await;
    let label = json!({"metadata": {"labels": {"app.kubernetes.io/name": "tessera-image-check"}}});
    patch(User::Admin, PODS, MANAGED, "plain", &label)
        .await
        .is_refused(POLICY, &["only the Tessera operator"]);
}

#[tokio::test]
async fn it_can_reach_and_hold_nothing() {
    type Change = (&'static str, fn(&mut Value));
    let changes: [Change; 9] = [
        ("a token", |pod| pod["spec"]["automountServiceAccountToken"] = json!(true)),
        ("an account", |pod| pod["spec"]["serviceAccountName"] = json!("ledger")),
        ("a volume", |pod| {
            pod["spec"]["volumes"] = json!([{"name": "v", "secret": {"secretName": "a-tls"}}]);
        }),
        ("the host's network", |pod| pod["spec"]["hostNetwork"] = json!(true)),
        ("another command", |pod| pod["spec"]["containers"][0]["args"] = json!(["run"])),
        ("an environment", |pod| {
            pod["spec"]["containers"][0]["envFrom"] = json!([{"secretRef": {"name": "a-tls"}}]);
        }),
        ("an init container", |pod| {
            pod["spec"]["initContainers"] = json!([{"name": "i", "image": NODE_IMAGE}]);
        }),
        ("one variable", |pod| {
            pod["spec"]["containers"][0]["env"] =
                json!([{"name": "k", "valueFrom": {"secretKeyRef": {"name": "a-tls", "key": "tls.key"}}}]);
        }),
        ("no owner", |pod| pod["metadata"]["ownerReferences"] = json!([])),
    ];
    // What the webhooks of a cluster add to all pods.
    let mut marked = check("image-check-b");
    marked["metadata"]["labels"]["topology"] = json!("a");
    marked["spec"]["containers"][0]["env"] = json!([{"name": "ZONE", "value": "a"}]);
    create(User::Operator, PODS, MANAGED, &marked).await.is_admitted();
    for (what, change) in changes {
        let mut pod = check("image-check-b");
        change(&mut pod);
        println!("{what}");
        create(User::Operator, PODS, MANAGED, &pod).await.is_refused(POLICY, &["must print the version"]);
    }
}

#[tokio::test]
async fn the_operator_makes_and_removes_no_other_pod() {
    let plain =
        json!({"metadata": {"name": "ledger-0"}, "spec": {"containers": [{"name": "c", "image": "x"}]}});
    create(User::Operator, PODS, MANAGED, &plain).await.is_refused(POLICY, &["only those that try an image"]);
    put(User::Admin, PODS, MANAGED, &plain).await;
    delete(User::Operator, PODS, MANAGED, "ledger-0").await.is_refused(POLICY, &["ledger-0"]);
    let note = json!({"metadata": {"annotations": {"x": "y"}}});
    patch(User::Operator, PODS, MANAGED, "ledger-0", &note).await.is_refused(POLICY, &["ledger-0"]);
    patch(User::Admin, PODS, MANAGED, "ledger-0", &note).await.is_admitted();
    // Its own it removes, and so may anybody else.
    put(User::Operator, PODS, MANAGED, &check("image-check-c")).await;
    patch(User::Admin, PODS, MANAGED, "image-check-c", &note).await.is_admitted();
    delete(User::Admin, PODS, MANAGED, "image-check-c").await.is_admitted();
    delete(User::Operator, PODS, MANAGED, "image-check-c").await.is_admitted();
}

#[tokio::test]
async fn an_image_that_is_not_allowed_is_not_tried() {
    let mut pod = check("image-check-d");
    pod["spec"]["containers"][0]["image"] = json!("evil.example/tessera-node@sha256:00");
    create(User::Operator, PODS, MANAGED, &pod)
        .await
        .is_refused("tessera-operator-images", &["admission.allowedImages", "image-check-d"]);
}
