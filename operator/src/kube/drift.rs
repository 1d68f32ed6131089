//! How a live object differs from the planned one. Pure.
//!
//! Four ways, each needing its own look:
//! 1. *Outdated*: we ourselves set other fields now (the hash annotation differs).
//! 2. *Changed*: a field that we set has another value or is gone.
//! 3. *Added, where we own the whole map*: a data key, a label by which we or the admission policies select.
//! 4. *Added, elsewhere*: a sidecar's fields, `hostNetwork`, `immutable`. The server adds defaults in the same places, so
//!    only `managedFields` can tell: the field belongs to a manager that is neither us nor a built-in controller.

use kube::api::ObjectMeta;
use serde_json::{Map, Value};

use super::planned::HASH_ANNOTATION;
use super::{FIELD_MANAGER, quantity};

/// Controllers of Kubernetes itself, which write into objects of ours by right.
const BUILT_IN_MANAGERS: [&str; 5] =
    ["kube-controller-manager", "kube-scheduler", "kubelet", "kube-apiserver", "cloud-controller-manager"];

/// A difference, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drift {
    /// Another version of us, or another spec, set it.
    Outdated,
    /// A field of ours is gone or has another value.
    Changed(String),
    /// Somebody else's addition.
    Added(String),
}

impl std::fmt::Display for Drift {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Outdated => write!(f, "spec changed"),
            Self::Changed(path) => write!(f, "{path} was changed"),
            Self::Added(path) => write!(f, "{path} was added"),
        }
    }
}

/// The first difference between `planned` and `live`, both whole objects.
pub fn find(planned: &Value, live: &Value) -> Option<Drift> {
    if annotation(planned) != annotation(live) {
        return Some(Drift::Outdated);
    }
    changed_content(planned, live)
        .or_else(|| changed_metadata(&planned["metadata"], &live["metadata"]))
        .or_else(|| foreign_field(planned, live))
}

fn annotation(object: &Value) -> &Value {
    &object["metadata"]["annotations"][HASH_ANNOTATION]
}

fn changed_content(planned: &Value, live: &Value) -> Option<Drift> {
    let members = planned.as_object()?;
    for (key, value) in members.iter().filter(|(key, _)| !is_envelope(key)) {
        let live_value = live.get(key).unwrap_or(&Value::Null);
        let drift =
            if key == "data" { exact(value, live_value, key) } else { subset(value, live_value, key) };
        if drift.is_some() {
            return drift;
        }
    }
    // A planned object without data may not have got any.
    ["data", "binaryData"]
        .into_iter()
        .filter(|key| members.get(*key).is_none())
        .find_map(|key| exact(&Value::Object(Map::new()), &live[key], key))
}

fn is_envelope(key: &str) -> bool {
    matches!(key, "apiVersion" | "kind" | "metadata" | "status")
}

fn changed_metadata(planned: &Value, live: &Value) -> Option<Drift> {
    subset(&planned["labels"], &live["labels"], "metadata.labels")
        .or_else(|| reserved_label(&planned["labels"], &live["labels"]))
        .or_else(|| subset(&planned["annotations"], &live["annotations"], "metadata.annotations"))
        .or_else(|| subset(&planned["ownerReferences"], &live["ownerReferences"], "metadata.ownerReferences"))
}

fn reserved_label(planned: &Value, live: &Value) -> Option<Drift> {
    let added = live.as_object()?.keys().find(|key| is_reserved(key) && planned.get(*key).is_none());
    added.map(|key| Drift::Added(format!("metadata.labels.{key}")))
}

/// Whether a label or annotation is for the operator alone, as the chart's policy `objects` has it. All others belong to
/// those who write them: `GitOps` and backup tools, load balancers, CSI drivers.
pub fn is_reserved(key: &str) -> bool {
    key.starts_with("tessera.rs/") || matches!(key, "app.kubernetes.io/name" | "app.kubernetes.io/managed-by")
}

/// Both maps hold the same.
fn exact(planned: &Value, live: &Value, path: &str) -> Option<Drift> {
    let empty = Map::new();
    let planned = planned.as_object().unwrap_or(&empty);
    let live = live.as_object().unwrap_or(&empty);
    if let Some(key) = live.keys().find(|key| !planned.contains_key(*key)) {
        return Some(Drift::Added(format!("{path}.{key}")));
    }
    let changed = planned.iter().find(|(key, value)| live.get(*key) != Some(value));
    changed.map(|(key, _)| Drift::Changed(format!("{path}.{key}")))
}

/// Everything that is planned is there. Lists are whole: an element more is an addition.
fn subset(planned: &Value, live: &Value, path: &str) -> Option<Drift> {
    match (planned, live) {
        (Value::Object(planned), Value::Object(live)) => planned.iter().find_map(|(key, value)| {
            subset(value, live.get(key).unwrap_or(&Value::Null), &format!("{path}.{key}"))
        }),
        (Value::Array(planned), Value::Array(live)) if planned.len() < live.len() => {
            Some(Drift::Added(format!("{path}[{}]", planned.len())))
        }
        (Value::Array(planned), Value::Array(live)) if planned.len() == live.len() => planned
            .iter()
            .zip(live)
            .enumerate()
            .find_map(|(index, (planned, live))| subset(planned, live, &format!("{path}[{index}]"))),
        (planned, Value::Null) if is_empty(planned) => None,
        (planned, live) if planned == live || same_quantity(planned, live) => None,
        _ => Some(Drift::Changed(path.to_owned())),
    }
}

/// The server drops empty lists and maps in some places and false in others.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(is_empty),
        Value::String(text) => text.is_empty(),
        Value::Number(_) | Value::Bool(true) => false,
    }
}

fn same_quantity(a: &Value, b: &Value) -> bool {
    matches!((a.as_str(), b.as_str()), (Some(a), Some(b)) if quantity::equal(a, b))
}

/// A field outside metadata and status that another manager owns and that is not planned, or not so.
fn foreign_field(planned: &Value, live: &Value) -> Option<Drift> {
    let entries = live["metadata"]["managedFields"].as_array()?;
    entries.iter().filter(|entry| is_foreign(entry)).find_map(|entry| {
        let roots = entry["fieldsV1"].as_object()?;
        roots
            .iter()
            .filter(|(field, _)| {
                let field = field.trim_start_matches("f:");
                !is_envelope(field) && !is_open(&planned["kind"], field)
            })
            .find_map(|(field, fields)| unplanned(field, fields, planned, live, ""))
    })
}

/// `OpenShift` and older clusters write tokens and pull secrets into every ServiceAccount, and make new ones for each time
/// that they are removed. A token of a node's account is worthless in the API server, and its pods mount none by default.
fn is_open(kind: &Value, field: &str) -> bool {
    kind == "ServiceAccount" && matches!(field, "secrets" | "imagePullSecrets")
}

fn is_foreign(entry: &Value) -> bool {
    is_foreign_manager(entry["manager"].as_str(), entry["subresource"].as_str())
}

fn is_foreign_manager(manager: Option<&str>, subresource: Option<&str>) -> bool {
    let manager = manager.unwrap_or_default();
    subresource.is_none_or(str::is_empty) && manager != FIELD_MANAGER && !BUILT_IN_MANAGERS.contains(&manager)
}

/// Drops of `managedFields` what [`find`] does not read: half of an object's size is the list of what we set ourselves.
pub fn keep_foreign_fields(metadata: &mut ObjectMeta) {
    if let Some(entries) = &mut metadata.managed_fields {
        entries.retain(|entry| is_foreign_manager(entry.manager.as_deref(), entry.subresource.as_deref()));
    }
}

/// Follows one member of `fieldsV1` into what is planned and what is live; the first step that leads nowhere in the plan
/// is the addition. A field without members of its own is owned whole (a selector, for example), so whatever it holds
/// beyond the plan was added, too.
fn unplanned(step: &str, fields: &Value, planned: &Value, live: &Value, path: &str) -> Option<Drift> {
    if step == "." {
        return None;
    }
    let (next, next_path) = follow(step, planned, path);
    let Some(next) = next else { return Some(Drift::Added(next_path)) };
    let live = follow(step, live, path).0.unwrap_or(&Value::Null);
    let fields = fields.as_object()?;
    if fields.is_empty() && step.starts_with("f:") {
        return subset(live, next, &next_path).map(|_| Drift::Added(next_path));
    }
    fields.iter().find_map(|(step, fields)| unplanned(step, fields, next, live, &next_path))
}

fn follow<'v>(step: &str, value: &'v Value, path: &str) -> (Option<&'v Value>, String) {
    if let Some(name) = step.strip_prefix("f:") {
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        return (value.get(name), path);
    }
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    if let Some(keys) =
        step.strip_prefix("k:").and_then(|keys| serde_json::from_str::<Map<String, Value>>(keys).ok())
    {
        let found = items.iter().find(|item| keys.iter().all(|(key, value)| has_key(item, key, value)));
        return (found, format!("{path}{}", step.trim_start_matches("k:")));
    }
    let scalar = step.strip_prefix("v:").and_then(|text| serde_json::from_str::<Value>(text).ok());
    let found = scalar.and_then(|scalar| items.iter().find(|item| **item == scalar));
    (found, format!("{path}[{step}]"))
}

/// A list key that is planned without its default (`protocol: TCP`) still identifies the element.
fn has_key(item: &Value, key: &str, value: &Value) -> bool {
    item.get(key).map_or(key == "protocol" && value == "TCP", |planned| planned == value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn planned() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"name": "a", "labels": {"l": "1"}, "annotations": {HASH_ANNOTATION: "h"}},
            "spec": {
                "replicas": 1,
                "template": {"spec": {
                    "containers": [{"name": "node", "image": "i@sha256:0", "resources": {"limits": {"memory": "1024Mi"}},
                        "ports": [{"containerPort": 9000}]}],
                    "volumes": [],
                }},
            },
        })
    }

    /// The planned object as a server would return it: with defaults, owned by us.
    fn live() -> Value {
        let mut live = planned();
        live["metadata"]["uid"] = json!("u");
        live["metadata"]["resourceVersion"] = json!("7");
        live["metadata"]["annotations"]["else"] = json!("kept");
        live["status"] = json!({"replicas": 1});
        let spec = &mut live["spec"]["template"]["spec"];
        spec["dnsPolicy"] = json!("ClusterFirst");
        spec["containers"][0]["resources"]["limits"]["memory"] = json!("1Gi");
        spec["containers"][0]["ports"][0]["protocol"] = json!("TCP");
        spec.as_object_mut().unwrap().remove("volumes");
        live
    }

    fn owned_by(manager: &str, fields: &Value) -> Value {
        let mut live = live();
        live["metadata"]["managedFields"] =
            json!([{"manager": manager, "operation": "Update", "fieldsV1": fields}]);
        live
    }

    #[test]
    fn defaults_status_and_foreign_annotations_are_no_drift() {
        assert_eq!(find(&planned(), &live()), None);
    }

    #[test]
    fn an_edit_is_named() {
        let mut live = live();
        live["spec"]["replicas"] = json!(3);
        assert_eq!(find(&planned(), &live), Some(Drift::Changed("spec.replicas".into())));
    }

    #[test]
    fn a_removed_field_is_a_change() {
        let mut live = live();
        live["spec"]["template"]["spec"]["containers"][0].as_object_mut().unwrap().remove("image");
        let path = "spec.template.spec.containers[0].image";
        assert_eq!(find(&planned(), &live), Some(Drift::Changed(path.into())));
    }

    #[test]
    fn a_sidecar_is_an_addition() {
        let mut live = live();
        live["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": "spy"}));
        let path = "spec.template.spec.containers[1]";
        assert_eq!(find(&planned(), &live), Some(Drift::Added(path.into())));
    }

    #[test]
    fn a_reserved_label_is_an_addition_and_another_is_not() {
        let mut live = live();
        live["metadata"]["labels"]["kustomize.toolkit.fluxcd.io/name"] = json!("fleet");
        assert_eq!(find(&planned(), &live), None);
        for key in ["tessera.rs/x", "app.kubernetes.io/name"] {
            let mut live = live.clone();
            live["metadata"]["labels"][key] = json!("y");
            assert_eq!(find(&planned(), &live), Some(Drift::Added(format!("metadata.labels.{key}"))));
        }
    }

    #[test]
    fn a_label_of_ours_that_is_changed_or_gone_is_a_change() {
        for label in [json!("2"), json!(null)] {
            let mut live = live();
            live["metadata"]["labels"]["l"] = label;
            assert_eq!(find(&planned(), &live), Some(Drift::Changed("metadata.labels.l".into())));
        }
    }

    #[test]
    fn data_is_compared_whole() {
        let planned = json!({"metadata": {}, "data": {"a": "1"}});
        let added = json!({"metadata": {}, "data": {"a": "1", "b": "2"}});
        let changed = json!({"metadata": {}, "data": {"a": "2"}});
        let binary = json!({"metadata": {}, "data": {"a": "1"}, "binaryData": {"c": "AA=="}});
        assert_eq!(find(&planned, &added), Some(Drift::Added("data.b".into())));
        assert_eq!(find(&planned, &changed), Some(Drift::Changed("data.a".into())));
        assert_eq!(find(&planned, &binary), Some(Drift::Added("binaryData.c".into())));
    }

    #[test]
    fn another_hash_is_outdated() {
        let mut live = live();
        live["metadata"]["annotations"][HASH_ANNOTATION] = json!("g");
        assert_eq!(find(&planned(), &live), Some(Drift::Outdated));
    }

    #[test]
    fn a_field_of_another_manager_is_an_addition() {
        let fields = json!({"f:spec": {"f:template": {"f:spec": {"f:hostNetwork": {}}}}});
        let found = find(&planned(), &owned_by("kubectl-patch", &fields));
        assert_eq!(found, Some(Drift::Added("spec.template.spec.hostNetwork".into())));
    }

    #[test]
    fn a_field_in_a_keyed_list_is_an_addition() {
        let fields = json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {
            "k:{\"name\":\"node\"}": {".": {}, "f:tty": {}}}}}}});
        let found = find(&planned(), &owned_by("kubectl-edit", &fields));
        assert_eq!(found, Some(Drift::Added("spec.template.spec.containers{\"name\":\"node\"}.tty".into())));
    }

    #[test]
    fn a_planned_field_that_another_manager_also_owns_is_no_drift() {
        let fields = json!({"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {
            "k:{\"name\":\"node\"}": {"f:ports": {"k:{\"containerPort\":9000,\"protocol\":\"TCP\"}": {}}}}}}}});
        assert_eq!(find(&planned(), &owned_by("kubectl", &fields)), None);
    }

    #[test]
    fn an_addition_to_a_field_that_is_owned_whole_is_an_addition() {
        let planned = json!({"metadata": {}, "spec": {"podSelector": {}}});
        let mut live = json!({"metadata": {}, "spec": {"podSelector": {"matchLabels": {"no": "pod"}}}});
        live["metadata"]["managedFields"] =
            json!([{"manager": "somebody", "fieldsV1": {"f:spec": {"f:podSelector": {}}}}]);
        assert_eq!(find(&planned, &live), Some(Drift::Added("spec.podSelector".into())));
        live["spec"]["podSelector"] = json!({});
        assert_eq!(find(&planned, &live), None);
    }

    #[test]
    fn secrets_that_a_platform_writes_into_a_service_account_are_no_drift() {
        let planned =
            json!({"kind": "ServiceAccount", "metadata": {}, "automountServiceAccountToken": false});
        let with = |field: &str| {
            let mut live = planned.clone();
            live[field] = json!([{"name": "dockercfg"}]);
            live["metadata"]["managedFields"] =
                json!([{"manager": "openshift-controller-manager", "fieldsV1": {format!("f:{field}"): {}}}]);
            find(&planned, &live)
        };
        assert_eq!(with("secrets"), None);
        assert_eq!(with("imagePullSecrets"), None);
        assert!(with("other").is_some());
    }

    #[test]
    fn built_in_controllers_may_add() {
        let fields = json!({"f:spec": {"f:volumeName": {}}});
        assert_eq!(find(&planned(), &owned_by("kube-controller-manager", &fields)), None);
        assert!(find(&planned(), &owned_by("somebody", &fields)).is_some());
    }
}
