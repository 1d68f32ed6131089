//! Schemas of Kubernetes' own types, narrowed to what a cluster would accept later: a selector or a quantity that only the
//! StatefulSet or the NetworkPolicy refuses is a fault that nobody sees.

use k8s_openapi::api::core::v1::{Affinity, TopologySpreadConstraint};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// A label selector.
pub(super) fn label_selector(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "properties": {
            "matchLabels": with_description(label_map(), "Labels that must all be there with these values."),
            "matchExpressions": {
                "description": "Requirements that must all hold.",
                "type": "array",
                "maxItems": 16,
                "x-kubernetes-list-type": "atomic",
                "items": label_requirement(),
            },
        },
    })
}

/// The base64 of a public key, as a .pub file has it. The last letter stands for four bits and two zeros.
pub(super) fn public_key(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 44,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$')",
            "message": "must be the base64 of 32 bytes, as Java Tessera writes it to a .pub file",
        }],
    })
}

/// The public keys of the versions of one key.
pub(super) fn public_keys(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 64,
        "x-kubernetes-list-type": "atomic",
        "items": public_key(generator),
    })
}

/// A map of labels.
pub(super) fn labels(_: &mut SchemaGenerator) -> Schema {
    Schema::try_from(label_map()).expect("an object is a schema")
}

/// Requests and limits of a container.
pub(super) fn resources(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "properties": {
            "requests": quantities("What is set aside for the container."),
            "limits": quantities("What the container may not exceed."),
        },
        // A pod that breaks this is refused one by one by the API server, long after the apply.
        "x-kubernetes-validations": [{
            "rule": "!has(self.requests) || !has(self.limits) || self.requests.all(name, !(name in self.limits) || quantity(string(self.requests[name])).compareTo(quantity(string(self.limits[name]))) <= 0)",
            "message": "resources.requests must not exceed resources.limits",
        }],
    })
}

/// A list of tolerations.
pub(super) fn tolerations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "atomic",
        "items": {
            "type": "object",
            "properties": {
                "key": { "type": "string", "maxLength": 316, "description": "The taint's key; empty with operator Exists means all taints." },
                "operator": { "type": "string", "enum": ["Exists", "Equal"], "description": "Exists, or Equal (the default), which compares the value." },
                "value": { "type": "string", "maxLength": 63, "description": "The taint's value, for operator Equal." },
                "effect": { "type": "string", "enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"], "description": "The taint's effect; absent means all effects." },
                "tolerationSeconds": { "type": "integer", "format": "int64", "description": "How long a taint of effect NoExecute is tolerated; absent means without end." },
            },
        },
    })
}

/// A number of nodes, or a percentage of them.
pub(super) fn max_unavailable(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "anyOf": [{ "type": "integer" }, { "type": "string" }],
        "x-kubernetes-int-or-string": true,
        "minimum": 1,
        "maximum": 1000,
        "pattern": "^([1-9][0-9]?|100)%$",
    })
}

/// Rules about machines and other pods, as a pod has them.
pub(super) fn affinity(generator: &mut SchemaGenerator) -> Schema {
    bounded(generator.subschema_for::<Affinity>())
}

/// Rules about spreading, as a pod has them.
pub(super) fn topology_spread_constraints(generator: &mut SchemaGenerator) -> Schema {
    bounded(generator.subschema_for::<Vec<TopologySpreadConstraint>>())
}

/// Labels that a user may add to a pod.
pub(super) fn pod_labels(_: &mut SchemaGenerator) -> Schema {
    let mut labels = label_map();
    labels["x-kubernetes-validations"] = foreign_keys_only("labels");
    Schema::try_from(labels).expect("an object is a schema")
}

/// Annotations that a user may add to a pod.
pub(super) fn pod_annotations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": { "type": "string", "maxLength": 1024 },
        "x-kubernetes-validations": foreign_keys_only("annotations"),
    })
}

/// Annotations that a user may add to a Service.
pub(super) fn service_annotations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": { "type": "string", "maxLength": 1024 },
        "x-kubernetes-validations": [{
            "rule": "self.all(key, !key.startsWith('tessera.rs/') && !key.startsWith('kubectl.kubernetes.io/'))",
            "message": "annotations of tessera.rs/ and kubectl.kubernetes.io/ are written by the operator and by kubectl",
        }, {
            "rule": "self.all(key, key.matches('^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",
            "message": "must have keys as Kubernetes takes them: a name of at most 63 characters, with a DNS name and a slash before it",
        }],
    })
}

/// Keys by which others put something into a pod or give it a network, and keys that Kubernetes or the operator write.
const RESERVED_KEYS: [&str; 34] = [
    "tessera.rs/",
    "app.kubernetes.io/",
    "apps.kubernetes.io/",
    "statefulset.kubernetes.io/",
    "kubernetes.io/",
    "kubectl.kubernetes.io/",
    "security.alpha.kubernetes.io/",
    "seccomp.security.alpha.kubernetes.io/",
    "container.seccomp.security.alpha.kubernetes.io/",
    "container.apparmor.security.beta.kubernetes.io/",
    "controller-revision-hash",
    "pod-template-hash",
    "istio.io/",
    "sidecar.istio.io/",
    "inject.istio.io/",
    "proxy.istio.io/",
    "traffic.sidecar.istio.io/",
    "ambient.istio.io/",
    "linkerd.io/",
    "config.linkerd.io/",
    "config.alpha.linkerd.io/",
    "vault.hashicorp.com/",
    "consul.hashicorp.com/",
    "kuma.io/",
    "dapr.io/",
    "openservicemesh.io/",
    "appmesh.k8s.aws/",
    "instrumentation.opentelemetry.io/",
    "sidecar.opentelemetry.io/",
    "admission.datadoghq.com/",
    "azure.workload.identity/",
    "k8s.v1.cni.cncf.io/",
    "cni.projectcalico.org/",
    "k8s.ovn.org/",
];

/// Prefixes and no pattern: the API server cannot bound the cost of a pattern on a key.
fn foreign_keys_only(what: &str) -> Value {
    let reserved: Vec<_> = RESERVED_KEYS.iter().map(|prefix| format!("key.startsWith('{prefix}')")).collect();
    json!([{
        "rule": format!("self.all(key, !({}))", reserved.join(" || ")),
        "message": format!("pod.{what} must not have keys of the operator, of Kubernetes, of sidecar injectors or of cluster networks: a node's pod holds keys, and nothing is put beside it"),
    }])
}

/// A schema of Kubernetes, with a bound on everything that can be long and a full stop after each description.
fn bounded(mut schema: Schema) -> Schema {
    let mut whole = Value::Object(std::mem::take(schema.ensure_object()));
    bound(&mut whole);
    Schema::try_from(whole).expect("an object is a schema")
}

fn bound(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else { return };
    match members.get("type").and_then(Value::as_str) {
        Some("array") => {
            members.insert("maxItems".to_owned(), json!(16));
            members.insert("x-kubernetes-list-type".to_owned(), json!("atomic"));
        }
        Some("string") => {
            members.insert("maxLength".to_owned(), json!(316));
        }
        Some("object") if members.contains_key("additionalProperties") => {
            members.insert("maxProperties".to_owned(), json!(16));
        }
        _ => {}
    }
    if let Some(Value::String(description)) = members.get_mut("description")
        && !description.ends_with('.')
    {
        description.push('.');
    }
    for (name, member) in members.iter_mut() {
        match name.as_str() {
            "properties" => member.as_object_mut().into_iter().flatten().for_each(|(_, value)| bound(value)),
            "items" | "additionalProperties" => bound(member),
            _ => {}
        }
    }
}

fn label_map() -> Value {
    json!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": label_value(),
    })
}

fn label_value() -> Value {
    json!({ "type": "string", "maxLength": 63, "pattern": "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$" })
}

fn label_requirement() -> Value {
    json!({
        "type": "object",
        "required": ["key", "operator"],
        "properties": {
            "key": {
                "type": "string",
                "minLength": 1,
                "maxLength": 316,
                "pattern": "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$",
                "description": "The label's key.",
            },
            "operator": { "type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"], "description": "How the label relates to the values." },
            "values": {
                "description": "The values for In and NotIn; absent for Exists and DoesNotExist.",
                "type": "array",
                "maxItems": 16,
                "x-kubernetes-list-type": "atomic",
                "items": label_value(),
            },
        },
        "x-kubernetes-validations": [{
            "rule": "(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)",
            "message": "matchExpressions: In and NotIn need values, Exists and DoesNotExist allow none",
        }],
    })
}

fn quantities(description: &str) -> Value {
    json!({
        "description": description,
        "type": "object",
        "maxProperties": 4,
        "additionalProperties": {
            "anyOf": [{ "type": "integer" }, { "type": "string" }],
            "x-kubernetes-int-or-string": true,
            // Kubernetes' own grammar of a quantity, without a sign.
            "pattern": "^[+]?(([0-9]+([.][0-9]*)?)|([.][0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE][-+]?[0-9]+))?$",
        },
    })
}

fn with_description(mut schema: Value, description: &str) -> Value {
    schema["description"] = description.into();
    schema
}
