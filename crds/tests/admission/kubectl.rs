//! What a pipeline of manifests does: apply, apply again, diff. Nothing may differ, or it would never come to rest.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use kube::ResourceExt;
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;

use crate::api_server::ApiServer;
use crate::fixture;

#[tokio::test]
async fn client_side_apply_comes_to_rest() {
    comes_to_rest("client-side", &[]).await;
}

#[tokio::test]
async fn server_side_apply_comes_to_rest() {
    comes_to_rest("server-side", &["--server-side"]).await;
}

async fn comes_to_rest(test: &str, options: &[&str]) {
    let server = ApiServer::start(test).await;
    for object in [fixture::network(), fixture::node()] {
        let first = kubectl(&server, "apply", options, &object);
        assert!(first.status.success(), "{}", text(&first));
        observe(&server, &object).await;
        let before = live(&server, &object).await;

        let second = kubectl(&server, "apply", options, &object);
        assert!(second.status.success(), "{}", text(&second));
        let diff = kubectl(&server, "diff", options, &object);

        // `kubectl diff` exits with 0 for no difference, 1 for some and more for a failure.
        assert_eq!(diff.status.code(), Some(0), "{}", text(&diff));
        let after = live(&server, &object).await;
        assert_eq!(before.resource_version(), after.resource_version(), "the second wrote");
    }
}

/// As the operator does at once: until then the status is a default, which the next write of the object stores.
async fn observe(server: &ApiServer, object: &Value) {
    let mut observed = serde_json::to_value(live(server, object).await).unwrap();
    observed["status"] = serde_json::json!({"observedGeneration": 1});
    server.replace_status(&observed).await.unwrap();
}

async fn live(server: &ApiServer, object: &Value) -> DynamicObject {
    let kind = GroupVersionKind::gvk("tessera.rs", "v1alpha1", object["kind"].as_str().unwrap());
    let resource = ApiResource::from_gvk(&kind);
    let api: Api<DynamicObject> = Api::namespaced_with(server.client.clone(), &server.namespace, &resource);
    api.get(object["metadata"]["name"].as_str().unwrap()).await.unwrap()
}

fn kubectl(server: &ApiServer, verb: &str, options: &[&str], object: &Value) -> Output {
    let mut child = Command::new("kubectl")
        .args([
            &format!("--kubeconfig={}", server.kubeconfig),
            "--namespace",
            &server.namespace,
            verb,
            "-f",
            "-",
        ])
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kubectl is on the PATH; hack/apiserver puts it there");
    child.stdin.take().unwrap().write_all(object.to_string().as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
