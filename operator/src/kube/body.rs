//! The bodies of requests: planned objects as they are sent, and live ones as JSON. Pure.

use std::collections::BTreeMap;

use kube::api::{DynamicObject, TypeMeta};
use kube::core::ObjectMeta;
use serde_json::{Map, Value, json};
use tessera_crds::names::label::GIVEN_ANNOTATIONS;

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
        keep(metadata, "labels", live.metadata.labels.as_ref(), &[]);
        let annotations = live.metadata.annotations.as_ref();
        let given = annotations.and_then(|annotations| annotations.get(GIVEN_ANNOTATIONS));
        let given: Vec<_> = given.map(|keys| keys.split(',').collect()).unwrap_or_default();
        keep(metadata, "annotations", annotations, &given);
    }
    keep_class(&mut body, &live.data);
    body
}

/// An admission webhook of a load balancer's controller may have chosen the class when the Service was made, and nobody can change it.
fn keep_class(body: &mut Value, live: &Value) {
    const CLASS: &str = "loadBalancerClass";
    let is_load_balancer = |object: &Value| object["spec"]["type"] == "LoadBalancer";
    if is_load_balancer(body)
        && is_load_balancer(live)
        && body["spec"][CLASS].is_null()
        && let Some(class) = live["spec"].get(CLASS)
    {
        body["spec"][CLASS] = class.clone();
    }
}

/// Keeps the live entries of `member` that are not reserved for the operator, not planned, and not `given` by an earlier plan.
fn keep(
    metadata: &mut Map<String, Value>,
    member: &str,
    live: Option<&BTreeMap<String, String>>,
    given: &[&str],
) {
    let planned = metadata.entry(member).or_insert_with(|| Value::Object(Map::new()));
    let Some(planned) = planned.as_object_mut() else { return };
    let of_others = |key: &str| !drift::is_reserved(key) && !given.contains(&key);
    for (key, value) in live.into_iter().flatten().filter(|(key, _)| of_others(key)) {
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

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;

    use super::*;

    fn planned(annotations: &Value) -> Planned {
        let service: Service = serde_json::from_value(json!({
            "metadata": {"name": "a", "namespace": "n", "annotations": annotations},
            "spec": {"type": "LoadBalancer"},
        }))
        .unwrap();
        Planned::new(&service)
    }

    fn live(annotations: &Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "a", "namespace": "n", "annotations": annotations},
            "spec": {"type": "LoadBalancer", "loadBalancerClass": "service.k8s.aws/nlb"},
        }))
        .unwrap()
    }

    #[test]
    fn annotations_that_the_spec_gave_and_took_away_go_and_those_of_others_stay() {
        let given =
            json!({GIVEN_ANNOTATIONS: "scheme,pool", "scheme": "public", "pool": "b", "backup": "yes"});
        let body = replacement(&planned(&json!({GIVEN_ANNOTATIONS: "pool", "pool": "c"})), &live(&given));
        let annotations = body["metadata"]["annotations"].as_object().unwrap();
        assert_eq!((annotations["pool"].as_str(), annotations["backup"].as_str()), (Some("c"), Some("yes")));
        assert!(!annotations.contains_key("scheme"), "{annotations:?}");
        let none = replacement(&planned(&json!({})), &live(&given));
        let left: Vec<_> = none["metadata"]["annotations"].as_object().unwrap().keys().cloned().collect();
        assert!(
            !left.iter().any(|key| ["scheme", "pool", GIVEN_ANNOTATIONS].contains(&key.as_str())),
            "{left:?}"
        );
    }

    #[test]
    fn a_class_that_a_webhook_chose_is_kept() {
        let body = replacement(&planned(&json!({})), &live(&json!({})));
        assert_eq!(body["spec"]["loadBalancerClass"], "service.k8s.aws/nlb");
    }
}
