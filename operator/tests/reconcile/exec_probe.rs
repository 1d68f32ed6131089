//! `NoRemoteRoot` is what the API server answers: without the policy exec is open, with it exec is denied, and a right that leads
//! past it is named. The policy is a twin of the chart's for the namespace of the test alone.

use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::operator::Operator;
use crate::world::{World, line, network, store_ca};

const POLICY: &str = "tessera-operator-connect";
const HOLDER: &str = "exec-probe-test-scraper";

async fn apply(world: &World, group: &str, kind: &str, name: &str, mut object: Value) {
    let api = cluster_wide(world, group, kind);
    (object["apiVersion"], object["kind"]) = (json!(format!("{group}/v1")), json!(kind));
    object["metadata"] = json!({"name": name});
    let applied = api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(object)).await;
    applied.expect("it is admitted");
}

fn cluster_wide(world: &World, group: &str, kind: &str) -> Api<DynamicObject> {
    let plural = match kind {
        "ValidatingAdmissionPolicy" => "validatingadmissionpolicies".to_owned(),
        _ => format!("{}s", kind.to_lowercase()),
    };
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind), &plural);
    Api::all_with(world.client.clone(), &resource)
}

const ADMISSION: &str = "admissionregistration.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";

async fn guard(world: &World) {
    let policy = json!({"spec": {
        "matchConstraints": {"resourceRules": [{
            "apiGroups": [""], "apiVersions": ["*"], "operations": ["CONNECT"], "resources": ["pods/exec"],
        }]},
        "validations": [{"expression": "!request.name.startsWith('tessera-')", "reason": "Forbidden"}],
    }});
    apply(world, ADMISSION, "ValidatingAdmissionPolicy", POLICY, policy).await;
    let namespace = json!({"matchLabels": {"kubernetes.io/metadata.name": world.namespace}});
    let binding = json!({"spec": {
        "policyName": POLICY, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": namespace},
    }});
    apply(world, ADMISSION, "ValidatingAdmissionPolicyBinding", POLICY, binding).await;
}

async fn until_line(world: &World, id: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let network = world.until("TesseraNetwork", "net", |network| line(network, id).is_some_and(&holds)).await;
    line(&network, id).cloned().unwrap_or_default()
}

fn pod_part(line: &Value) -> &str {
    let part = line["parts"].as_array().and_then(|parts| parts.iter().find(|part| part["name"] == "Pod"));
    part.and_then(|part| part["result"].as_str()).unwrap_or_default()
}

#[tokio::test]
async fn exec_into_nodes_is_denied_by_the_policy_and_by_nothing_else() {
    let world = World::new("exec-probe").await;
    let _operator = Operator::start(&world);
    world.create("ConfigMap", store_ca()).await;
    let mut often = network();
    often["spec"]["checklist"] = json!({"probeEvery": "10s"});
    world.create("TesseraNetwork", often).await;
    let line = async |reason: &'static str| {
        until_line(&world, "NoRemoteRoot", move |line| line["reason"] == reason).await
    };
    let open = line("ExecNotGuarded").await;
    assert_eq!((open["result"].as_str(), open["observer"].as_str()), (Some("Violated"), Some("ApiServer")));

    guard(&world).await;
    line("PodSecurityNotRestricted").await;
    let labels = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    let namespaces = Api::<k8s_openapi::api::core::v1::Namespace>::all(world.client.clone());
    let labelled = namespaces.patch(&world.namespace, &PatchParams::default(), &Patch::Merge(labels)).await;
    labelled.expect("the namespace is labelled");
    until_line(&world, "NoRemoteRoot", |line| pod_part(line) == "Verified").await;

    let rules = json!({"rules": [{"apiGroups": [""], "resources": ["nodes/proxy"], "verbs": ["get"]}]});
    apply(&world, RBAC, "ClusterRole", HOLDER, rules).await;
    let binding = json!({
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": HOLDER},
        "subjects": [{"kind": "ServiceAccount", "namespace": "monitoring", "name": "scraper"}],
    });
    apply(&world, RBAC, "ClusterRoleBinding", HOLDER, binding).await;
    let held = line("NodesProxyHeld").await["observed"].to_string();
    assert!(held.contains("ServiceAccount monitoring/scraper") && held.contains(HOLDER), "{held}");
    for kind in ["ClusterRoleBinding", "ClusterRole"] {
        cluster_wide(&world, RBAC, kind).delete(HOLDER, &DeleteParams::default()).await.expect("it goes");
    }
    until_line(&world, "NoRemoteRoot", |line| pod_part(line) == "Verified").await;

    // The store of the test is not in the cluster, and its address is the machine's own.
    until_line(&world, "SecretStoreIsolation", |line| line["reason"] == "NoStranger").await;
    let api = cluster_wide(&world, ADMISSION, "ValidatingAdmissionPolicyBinding");
    api.delete(POLICY, &DeleteParams::default()).await.expect("the binding goes");
    line("ExecNotGuarded").await;
}
