//! The chart's policies in the API server under test: rendered by helm, applied once, and waited for.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use http::Request;
use kube::Client;
use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::user::impersonate;

/// A namespace that the operator manages.
pub(crate) const MANAGED: &str = "policies-managed";
/// A namespace that may hold certificates of clients.
pub(crate) const CLIENTS: &str = "policies-clients";
/// The namespace of the release.
pub(crate) const RELEASE: &str = "policies-release";
/// A namespace whose owner guards its pods by a label.
pub(crate) const STORE: &str = "policies-store";
/// A namespace that has nothing to do with us.
pub(crate) const OPEN: &str = "policies-open";

pub(crate) const IMAGE: &str =
    "example.com/tessera-operator@sha256:0000000000000000000000000000000000000000000000000000000000000000";
pub(crate) const ALLOWED_IMAGES: &str = "example.com/tessera-node@sha256:";
pub(crate) const NODE_IMAGE: &str =
    "example.com/tessera-node@sha256:1111111111111111111111111111111111111111111111111111111111111111";

/// Returns when every policy refuses what it must refuse: a new one takes a second or two to bite.
pub(crate) async fn in_force() {
    static IN_FORCE: OnceCell<()> = OnceCell::const_new();
    IN_FORCE.get_or_init(install).await;
}

async fn install() {
    let client = impersonate(None).await;
    for (name, labels) in [
        (MANAGED, json!({})),
        (CLIENTS, json!({})),
        (RELEASE, json!({})),
        (STORE, json!({"tessera.rs/guard-pods": "true", "tessera.rs/secret-store": "true"})),
        (OPEN, json!({})),
    ] {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
        apply(&client, &format!("/api/v1/namespaces/{name}"), &namespace).await;
    }
    let objects = render();
    let policies = objects.iter().filter(|object| kind(object) == "ValidatingAdmissionPolicy");
    let bindings = objects.iter().filter(|object| kind(object) == "ValidatingAdmissionPolicyBinding");
    assert_eq!(policies.clone().count(), bindings.clone().count(), "each policy has its binding");
    for object in policies.clone().chain(bindings) {
        let plural = match kind(object) {
            "ValidatingAdmissionPolicy" => "validatingadmissionpolicies",
            _ => "validatingadmissionpolicybindings",
        };
        let path = format!("/apis/admissionregistration.k8s.io/v1/{plural}/{}", name(object));
        apply(&client, &path, object).await;
    }
    apply_canaries(&client, policies).await;
}

/// Each policy gets a twin with one rule that refuses a name no test uses; when all twins bite, the policies that were
/// written before them do, since the API server reads them all from one watch.
async fn apply_canaries(client: &Client, policies: impl Iterator<Item = &Value>) {
    let newest = policies.last().expect("the chart has policies");
    let name = format!("canary-{}", name(newest));
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"],
            }]},
            "validations": [{"expression": "object.metadata.name != 'policies-canary'"}],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    });
    let root = "/apis/admissionregistration.k8s.io/v1";
    apply(client, &format!("{root}/validatingadmissionpolicies/{name}"), &policy).await;
    apply(client, &format!("{root}/validatingadmissionpolicybindings/{name}"), &binding).await;
    let end = Instant::now() + Duration::from_mins(2);
    let canary = json!({"metadata": {"name": "policies-canary"}}).to_string();
    loop {
        let request = Request::post(format!("/api/v1/namespaces/{OPEN}/configmaps?dryRun=All"))
            .header("Content-Type", "application/json")
            .body(canary.clone().into_bytes());
        if client.request_text(request.unwrap()).await.is_err() {
            return;
        }
        assert!(Instant::now() < end, "the policies never came into force");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub(super) async fn apply(client: &Client, path: &str, object: &Value) {
    let request = Request::patch(format!("{path}?fieldManager=test&force=true&fieldValidation=Strict"))
        .header("Content-Type", "application/apply-patch+yaml")
        .body(object.to_string().into_bytes());
    if let Err(error) = client.request_text(request.unwrap()).await {
        panic!("{path}: {error}");
    }
}

/// The chart's object of that kind and name.
pub(super) fn rendered(of_kind: &str, of_name: &str) -> Value {
    let found = render().into_iter().find(|object| kind(object) == of_kind && name(object) == of_name);
    found.unwrap_or_else(|| panic!("the chart has no {of_kind} {of_name}"))
}

/// The chart with one more value, and with those of the tests.
pub(super) fn rendered_with(value: &str) -> Vec<Value> {
    render_with(&[format!("--set={value}")])
}

fn render() -> Vec<Value> {
    render_with(&[])
}

fn render_with(more: &[String]) -> Vec<Value> {
    let output = helm()
        .args([
            "template",
            "tessera",
            "charts/tessera-operator",
            "--kube-version=1.33",
            "--namespace",
            RELEASE,
        ])
        .arg(format!(
            "--set={},clusterName=test,namespaces={{{MANAGED}}},admission.breakGlass=true",
            image_values()
        ))
        .arg(format!("--set=admission.allowedImages={{{ALLOWED_IMAGES}}}"))
        // Warnings do not reach these tests.
        .arg("--set=admission.clearText=Deny")
        .arg(format!("--set=clientNamespaces.{CLIENTS}={{{MANAGED}}}"))
        .args(more)
        .output()
        .expect("helm runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    serde_yaml::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).expect("helm renders YAML"))
        .filter(|object| !object.is_null())
        .collect()
}

/// helm, in the root of the repository.
pub(crate) fn helm() -> Command {
    let mut command = Command::new(tool("helm"));
    command.current_dir(root());
    command
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate has a parent")
}

/// The path that `hack/tools` has for `name`.
fn tool(name: &str) -> PathBuf {
    let output = Command::new("hack/tools").arg(name).current_dir(root()).output().expect("hack/tools runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// Returns when the API server serves OpenReports' Report, as OpenReports defines it.
pub(super) async fn serve_open_reports() {
    let client = impersonate(None).await;
    let text = std::fs::read_to_string(tool("open-reports")).unwrap();
    let definition: Value = serde_yaml::from_str(&text).unwrap();
    let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{}", name(&definition));
    apply(&client, &path, &definition).await;
    let end = Instant::now() + Duration::from_mins(1);
    let is_served = async || {
        let list = Request::get("/apis/openreports.io/v1alpha1/reports").body(Vec::new()).unwrap();
        client.request_text(list).await.is_ok()
    };
    while !is_served().await {
        assert!(Instant::now() < end, "Reports are not served");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn kind(object: &Value) -> &str {
    object["kind"].as_str().unwrap_or_default()
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().expect("objects have names")
}

/// The chart's values for [`IMAGE`].
pub(super) fn image_values() -> String {
    let (repository, digest) = IMAGE.split_once('@').unwrap();
    format!("image.repository={repository},image.digest={digest}")
}
