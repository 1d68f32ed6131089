//! Accepting the loss of a volume is a right of its own: the right to edit a TesseraNode does not include it.

use std::time::{Duration, Instant};

use http::Request;
use kube::Client;
use serde_json::{Value, json};

use super::chart::{self, MANAGED};
use super::user::impersonate;
use super::{User, path, put};
use crate::api_server::ApiServer;
use crate::fixture;

const POLICY: &str = "tessera-operator-accept-loss";
const NODES: &str = "tessera.rs/v1alpha1/tesseranodes";
const RBAC: &str = "rbac.authorization.k8s.io";
const STORE: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210";

/// A user who may write TesseraNodes of the managed namespace; with `accepts` bound to that ClusterRole, too.
async fn user(name: &str, accepts: Option<&str>) -> Client {
    let writes = json!([{
        "apiGroups": ["tessera.rs"], "resources": ["tesseranodes"], "verbs": ["create", "get", "patch"],
    }]);
    make_role(name, &writes).await;
    bind(name, name, "Role", name).await;
    if let Some(role) = accepts {
        bind(&format!("{name}-accepts"), name, "ClusterRole", role).await;
    }
    let client = impersonate(Some((name.to_owned(), Vec::new()))).await;
    until_allowed(&client, "patch", "", "").await;
    if accepts.is_some() {
        until_allowed(&client, "create", "accept-loss", "").await;
    }
    client
}

/// RBAC takes a moment to know a binding.
async fn until_allowed(client: &Client, verb: &str, subresource: &str, name: &str) {
    let attributes = json!({
        "group": "tessera.rs", "resource": "tesseranodes", "subresource": subresource, "verb": verb,
        "namespace": MANAGED, "name": name,
    });
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    });
    let end = Instant::now() + Duration::from_mins(1);
    loop {
        let request = Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
            .header("Content-Type", "application/json");
        let answer: Value =
            client.request(request.body(review.to_string().into_bytes()).unwrap()).await.unwrap();
        if answer["status"]["allowed"] == true {
            return;
        }
        assert!(Instant::now() < end, "RBAC never allowed {verb} tesseranodes/{subresource}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn make_role(name: &str, rules: &Value) {
    let role = json!({"metadata": {"name": name}, "rules": rules});
    put(User::Admin, &format!("{RBAC}/v1/roles"), MANAGED, &role).await;
}

async fn bind(binding: &str, user: &str, kind: &str, role: &str) {
    let binding = json!({
        "metadata": {"name": binding}, "roleRef": {"apiGroup": RBAC, "kind": kind, "name": role},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": user}],
    });
    put(User::Admin, &format!("{RBAC}/v1/rolebindings"), MANAGED, &binding).await;
}

/// The chart's ClusterRole, which lets its subjects accept losses and nothing else; under another name, since the chart's own
/// belongs to a release.
async fn cluster_role() -> &'static str {
    const NAME: &str = "loss-acceptance";
    let mut role = chart::rendered("ClusterRole", "tessera-operator-accept-loss");
    role["metadata"]["name"] = json!(NAME);
    chart::apply(&impersonate(None).await, &format!("/apis/{RBAC}/v1/clusterroles/{NAME}"), &role).await;
    NAME
}

/// Makes a TesseraNode, and its kind before.
async fn node(name: &str) {
    ApiServer::start("loss").await;
    let mut node = fixture::node();
    node["metadata"] = json!({"name": name});
    put(User::Admin, NODES, MANAGED, &node).await;
}

/// The API server's message if the policy refuses.
async fn send_as(client: &Client, method: &str, name: &str, body: &Value) -> Result<(), String> {
    let (path, content) = match method {
        "PATCH" => (format!("{}/{name}", path(NODES, MANAGED)), "application/merge-patch+json"),
        _ => (path(NODES, MANAGED), "application/json"),
    };
    let request = Request::builder().method(method).uri(&path).header("Content-Type", content);
    match client.request_text(request.body(body.to_string().into_bytes()).unwrap()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.message.contains(&format!("'{POLICY}'")) => {
            Err(status.message.clone())
        }
        Err(error) => panic!("{method} {path}: the policy did not decide: {error}"),
    }
}

async fn annotate(client: &Client, name: &str, store: Option<&str>) -> Result<(), String> {
    send_as(client, "PATCH", name, &json!({"metadata": {"annotations": {"tessera.rs/accept-loss": store}}}))
        .await
}

#[track_caller]
fn is_refused(outcome: &Result<(), String>, words: &[&str]) {
    let Err(message) = outcome else { panic!("admitted") };
    for word in words {
        assert!(message.contains(word), "no {word:?} in: {message}");
    }
}

#[tokio::test]
async fn the_annotation_needs_the_right_to_create_its_sub_resource() {
    let editor = user("loss-editor", None).await;
    let accepter = user("loss-accepter", Some(cluster_role().await)).await;
    node("lost").await;
    let needs = ["tesseranodes/accept-loss", "node lost"];

    is_refused(&annotate(&editor, "lost", Some(STORE)).await, &needs);
    is_refused(&annotate(&accepter, "lost", Some("all of them")).await, &["hexadecimal"]);
    assert_eq!(annotate(&accepter, "lost", Some(STORE)).await, Ok(()));

    // An editor goes on editing beside it, and cannot turn it to another store, nor set again what was removed.
    let note = json!({"metadata": {"annotations": {"note": "x"}}});
    assert_eq!(send_as(&editor, "PATCH", "lost", &note).await, Ok(()));
    is_refused(&annotate(&editor, "lost", Some(OTHER)).await, &needs);
    assert_eq!(annotate(&editor, "lost", None).await, Ok(()));
    is_refused(&annotate(&editor, "lost", Some(STORE)).await, &needs);
}

#[tokio::test]
async fn a_node_is_created_with_the_annotation_by_the_same_right() {
    let editor = user("loss-creator", None).await;
    let accepter = user("loss-creating-accepter", Some(cluster_role().await)).await;
    ApiServer::start("loss").await;
    let mut node = fixture::node();
    node["metadata"] = json!({"name": "with-loss", "annotations": {"tessera.rs/accept-loss": STORE}});
    is_refused(&send_as(&editor, "POST", "", &node).await, &["tesseranodes/accept-loss", "node with-loss"]);
    assert_eq!(send_as(&accepter, "POST", "", &node).await, Ok(()));
}

#[tokio::test]
async fn the_right_for_one_node_is_none_for_another() {
    let rules = json!([{
        "apiGroups": ["tessera.rs"], "resources": ["tesseranodes/accept-loss"], "resourceNames": ["one"],
        "verbs": ["create"],
    }]);
    let owner = user("loss-owner", None).await;
    make_role("loss-of-one", &rules).await;
    bind("loss-owner-one", "loss-owner", "Role", "loss-of-one").await;
    node("one").await;
    node("another").await;
    until_allowed(&owner, "create", "accept-loss", "one").await;
    assert_eq!(annotate(&owner, "one", Some(STORE)).await, Ok(()));
    is_refused(&annotate(&owner, "another", Some(STORE)).await, &["node another"]);
}
