//! The bodies of requests: planned objects as they are sent, and live ones as JSON. Pure.

use std::collections::BTreeMap;

use kube::api::{DynamicObject, TypeMeta};
use kube::core::ObjectMeta;
use serde_json::{Map, Value, json};

use super::drift;
use super::planned::Planned;

/// The planned object at the live one's version, with the labels, annotations and finalizers of others.
pub(super) fn replacement(planned: &Planned, live: &DynamicObject) -> Value {
    let mut body = planned.body.clone();
    if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".into(), json!(live.metadata.resource_version));
        metadata.insert("uid".into(), json!(live.metadata.uid));
        if let Some(finalizers) = &live.metadata.finalizers {
            metadata.insert("finalizers".into(), json!(finalizers));
        }
        keep(metadata, "labels", live.metadata.labels.as_ref());
        keep(metadata, "annotations", live.metadata.annotations.as_ref());
    }
    body
}

/// Keeps the live entries of `member` that are not reserved for the operator and not planned.
fn keep(metadata: &mut Map<String, Value>, member: &str, live: Option<&BTreeMap<String, String>>) {
    let planned = metadata.entry(member).or_insert_with(|| Value::Object(Map::new()));
    let Some(planned) = planned.as_object_mut() else { return };
    for (key, value) in live.into_iter().flatten().filter(|(key, _)| !drift::is_reserved(key)) {
        planned.entry(key.clone()).or_insert_with(|| Value::String(value.clone()));
    }
}

/// The object as the client library sends it.
pub(super) fn dynamic(planned: &Planned, body: Value) -> DynamicObject {
    let mut object = DynamicObject {
        types: Some(TypeMeta {
            api_version: planned.resource.api_version.clone(),
            kind: planned.resource.kind.clone(),
        }),
        metadata: ObjectMeta::default(),
        data: Value::Null,
    };
    if let Value::Object(mut members) = body {
        members.remove("apiVersion");
        members.remove("kind");
        let metadata = members.remove("metadata").unwrap_or_default();
        object.metadata =
            serde_json::from_value(metadata).expect("`Planned::new` serialised it from the same type");
        object.data = Value::Object(members);
    }
    object
}

/// The whole object as JSON.
pub(super) fn as_value(object: &DynamicObject) -> Value {
    serde_json::to_value(object).expect("a JSON object with typed metadata serialises")
}
