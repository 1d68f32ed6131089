//! What the chart's admission policies refuse, and beside each refusal the twin that they let through.
//!
//! The chart is rendered by helm and applied once. Requests are made by impersonation; each impersonated user is a member of
//! `system:masters`, so that a refusal is never RBAC's. Most are dry runs.

mod accept_loss;
mod attestations;
mod chart;
mod clear_text;
mod client_namespaces;
mod connect;
mod image_checks;
mod network_policies;
mod objects;
mod operator;
mod pods;
mod rights;
mod secret_store;
mod tokens;
mod upgrade;
mod user;
mod values;
mod workloads;

use http::Request;
use serde_json::{Value, json};

pub(crate) use chart::{CLIENTS, MANAGED, OPEN, RELEASE, STORE};
pub(crate) use user::User;

/// What the API server says to a request.
#[derive(Debug)]
pub(crate) enum Answer {
    Admitted,
    /// By a policy of ours, with its message.
    Refused(String),
}

impl Answer {
    #[track_caller]
    pub(crate) fn is_admitted(&self) {
        assert!(matches!(self, Self::Admitted), "{self:?}");
    }

    /// Refused by `policy`, or by one whose name starts so, with a message that holds `words`. Of several that refuse, the
    /// API server names any one.
    #[track_caller]
    pub(crate) fn is_refused(&self, policy: &str, words: &[&str]) {
        let Self::Refused(message) = self else { panic!("admitted; {policy} should refuse") };
        assert!(message.contains(&format!("'{policy}")), "{message}");
        assert!(message.contains("denied request"), "an evaluation error: {message}");
        for word in words {
            assert!(message.contains(word), "no {word:?} in: {message}");
        }
    }
}

/// Sends `body` as `user`. Any failure but a policy's refusal is the test's.
pub(crate) async fn send(user: User, method: &str, path: &str, body: &Value) -> Answer {
    let content = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let request =
        Request::builder().method(method).uri(path).header("Content-Type", content).body(bytes).unwrap();
    match user.client().await.request_text(request).await {
        Ok(_) => Answer::Admitted,
        // No kubelet runs: a connection that is admitted finds no pod.
        Err(kube::Error::Api(status)) if status.code == 404 && path.contains("/pods/") => Answer::Admitted,
        Err(kube::Error::Api(status)) if status.message.contains("ValidatingAdmissionPolicy") => {
            assert_eq!(status.code, 403, "{}", status.message);
            Answer::Refused(status.message.clone())
        }
        Err(error) => panic!("{method} {path}: the API server did not decide: {error}"),
    }
}

/// Where objects of `resource` lie, for example `apps/v1/statefulsets`; `v1` is the core group.
pub(crate) fn path(resource: &str, namespace: &str) -> String {
    let (version, plural) = resource.rsplit_once('/').unwrap();
    let root = if version == "v1" { "/api" } else { "/apis" };
    format!("{root}/{version}/namespaces/{namespace}/{plural}")
}

pub(crate) async fn create(user: User, resource: &str, namespace: &str, object: &Value) -> Answer {
    send(user, "POST", &format!("{}?dryRun=All", path(resource, namespace)), object).await
}

pub(crate) async fn patch(user: User, resource: &str, namespace: &str, name: &str, patch: &Value) -> Answer {
    send(user, "PATCH", &format!("{}/{name}?dryRun=All", path(resource, namespace)), patch).await
}

pub(crate) async fn delete(user: User, resource: &str, namespace: &str, name: &str) -> Answer {
    send(user, "DELETE", &format!("{}/{name}?dryRun=All", path(resource, namespace)), &Value::Null).await
}

/// Makes `object`, for good; that it is there already is as well.
pub(crate) async fn put(user: User, resource: &str, namespace: &str, object: &Value) {
    let name = object["metadata"]["name"].as_str().unwrap();
    let request = Request::post(path(resource, namespace)).header("Content-Type", "application/json");
    let sent = user.client().await.request_text(request.body(object.to_string().into_bytes()).unwrap()).await;
    match sent {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        Err(error) => panic!("{resource} {name} cannot be made: {error}"),
    }
}

/// Metadata as the operator writes it for an object of node `node`.
pub(crate) fn metadata(name: &str, node: &str) -> Value {
    json!({
        "name": name,
        "labels": {
            "app.kubernetes.io/managed-by": "tessera-operator", "app.kubernetes.io/name": "tessera-node",
            "tessera.rs/network": "org-a", "tessera.rs/node": node,
        },
        "annotations": {"tessera.rs/desired-hash": "0"},
        "ownerReferences": [{
            "apiVersion": "tessera.rs/v1alpha1", "kind": "TesseraNode", "name": node, "uid": "uid-of-the-node",
            "controller": true, "blockOwnerDeletion": true,
        }],
    })
}

/// The pod template of node `node`, as far as policies read it.
pub(crate) fn template(node: &str) -> Value {
    json!({
        "metadata": {"labels": metadata("", node)["labels"]},
        "spec": {
            "serviceAccountName": format!("tessera-node-{node}"),
            "containers": [{"name": "tessera-node", "image": chart::NODE_IMAGE, "command": ["/tessera-node"]}],
        },
    })
}

/// The StatefulSet of node `node`.
pub(crate) fn stateful_set(node: &str) -> Value {
    json!({
        "metadata": metadata(&format!("tessera-{node}"), node),
        "spec": {
            "serviceName": format!("{node}-p2p"), "replicas": 1,
            "selector": {"matchLabels": {"tessera.rs/node": node}}, "template": template(node),
        },
    })
}
