//! A namespace that is gone, or not there yet, stops no `helm upgrade`.

use http::Request;
use serde_json::{Value, json};

use super::chart;
use super::user::impersonate;

const RELEASE: &str = "upgrade-release";
const GONE: &str = "upgrade-gone";
const LATER: &str = "upgrade-later";

/// Without the policies and definitions, which other tests of this API server share.
fn upgrade() {
    let output = chart::helm()
        .args(["upgrade", "--install", "tessera-upgrade", "charts/tessera-operator", "--namespace", RELEASE])
        .args(["--kubeconfig", &std::env::var("TESSERA_TEST_KUBECONFIG").unwrap()])
        .arg(format!("--set={},clusterName=test,namespaces={{{GONE},{LATER}}}", chart::image_values()))
        .arg("--set=admission.enabled=false,crds.install=false")
        .output()
        .expect("helm runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
}

#[tokio::test]
async fn a_namespace_that_is_gone_or_not_there_yet_stops_no_upgrade() {
    chart::in_force().await;
    make_namespace("kube-system").await;
    make_namespace(RELEASE).await;
    make_namespace(GONE).await;
    upgrade();
    assert!(has_role(GONE).await);
    remove_namespace(GONE).await;
    upgrade();
    make_namespace(LATER).await;
    upgrade();
    assert!(has_role(LATER).await);
}

async fn make_namespace(name: &str) {
    let namespace = json!({"metadata": {"name": name}});
    let request = Request::post("/api/v1/namespaces").header("Content-Type", "application/json");
    let made =
        impersonate(None).await.request_text(request.body(namespace.to_string().into_bytes()).unwrap()).await;
    assert!(matches!(&made, Ok(_) | Err(kube::Error::Api(_))), "{made:?}");
}

/// As the namespace controller would: its content, then its finalizer.
async fn remove_namespace(name: &str) {
    let client = impersonate(None).await;
    let send = async |request: Request<Vec<u8>>| client.request_text(request).await;
    for resource in ["roles", "rolebindings"] {
        let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{name}/{resource}");
        send(Request::delete(path).body(Vec::new()).unwrap()).await.unwrap();
    }
    let account = format!("/api/v1/namespaces/{name}/serviceaccounts");
    send(Request::delete(account).body(Vec::new()).unwrap()).await.unwrap();
    let path = format!("/api/v1/namespaces/{name}");
    send(Request::delete(&path).body(Vec::new()).unwrap()).await.unwrap();
    let live: Value =
        serde_json::from_str(&send(Request::get(&path).body(Vec::new()).unwrap()).await.unwrap()).unwrap();
    let mut live = live;
    live["spec"]["finalizers"] = json!([]);
    let finalize = Request::put(format!("{path}/finalize")).header("Content-Type", "application/json");
    send(finalize.body(live.to_string().into_bytes()).unwrap()).await.unwrap();
}

async fn has_role(namespace: &str) -> bool {
    let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles/tessera-operator");
    impersonate(None).await.request_text(Request::get(path).body(Vec::new()).unwrap()).await.is_ok()
}
