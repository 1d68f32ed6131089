//! For each owned kind: what is deleted comes back, what is edited is put back, what is added goes.

use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::bring_up::reconcile_more;
use crate::operator::Operator;
use crate::world::World;

/// One object of each kind, an edit of it, and an addition to it (a JSON patch).
fn cases() -> Vec<(&'static str, &'static str, Value, Value)> {
    let label = json!([{"op": "add", "path": "/metadata/labels/tessera.rs~1by", "value": "hand"}]);
    let add = |path: &str, value: Value| json!([{"op": "add", "path": path, "value": value}]);
    let sidecar = json!({"name": "spy", "image": "spy"});
    vec![
        ("ServiceAccount", "tessera-node-a", json!({"automountServiceAccountToken": true}), label.clone()),
        ("ConfigMap", "a-config", json!({"data": {"tessera.json": "{}"}}), add("/data/more", json!("x"))),
        ("ConfigMap", "a-dynamic", json!({"data": {"dynamic.json": "{}"}}), add("/immutable", json!(true))),
        ("ConfigMap", "net-peers", json!({"data": {"peers.json": "{}"}}), label.clone()),
        (
            "ConfigMap",
            "net-ca",
            json!({"data": {"ca.crt": "none"}}),
            add("/binaryData", json!({"x": "AA=="})),
        ),
        ("Secret", "a-tls", json!({"data": {"tls.crt": "Z2FyYmFnZQ=="}}), add("/data/more", json!("AA=="))),
        (
            "Secret",
            "a-admin-tls",
            json!({"data": {"ca.crt": "Z2FyYmFnZQ=="}}),
            add("/immutable", json!(true)),
        ),
        (
            "Secret",
            "a-client-ledger",
            json!({"data": {"tls.key": "Z2FyYmFnZQ=="}}),
            add("/data/more", json!("AA==")),
        ),
        (
            "Secret",
            "net-monitoring-prometheus",
            json!({"data": {"tls.crt": "Z2FyYmFnZQ=="}}),
            add("/metadata/labels/tessera.rs~1by", json!("hand")),
        ),
        (
            "Service",
            "a",
            json!({"spec": {"selector": {"tessera.rs/node": "b"}}}),
            add("/spec/externalIPs", json!(["192.0.2.1"])),
        ),
        (
            "Service",
            "a-p2p",
            json!({"spec": {"publishNotReadyAddresses": false}}),
            add("/spec/ports/-", json!({"name": "more", "port": 1})),
        ),
        (
            "NetworkPolicy",
            "a",
            json!({"spec": {"policyTypes": ["Ingress"], "egress": null}}),
            add("/spec/ingress/-", json!({})),
        ),
        (
            "NetworkPolicy",
            "net-default-deny",
            json!({"spec": {"podSelector": {"matchLabels": {"no": "pod"}}}}),
            add("/spec/ingress", json!([{}])),
        ),
        (
            "NetworkPolicy",
            "a-client-ledger",
            json!({"spec": {"podSelector": {"matchLabels": {"app": "thief"}}}}),
            add("/spec/egress/-", json!({})),
        ),
        (
            "NetworkPolicy",
            "net-monitoring-prometheus",
            json!({"spec": {"podSelector": {"matchLabels": {"app": "thief"}}}}),
            add("/spec/ingress", json!([{}])),
        ),
        (
            "PodDisruptionBudget",
            "a",
            json!({"spec": {"maxUnavailable": 0}}),
            json!([{"op": "replace", "path": "/spec/unhealthyPodEvictionPolicy", "value": "IfHealthyBudget"}]),
        ),
        (
            "StatefulSet",
            "tessera-a",
            json!({"spec": {"replicas": 0}}),
            add("/spec/template/spec/containers/-", sidecar),
        ),
        (
            "StatefulSet",
            "tessera-a",
            json!({"spec": {"template": {"spec": {"securityContext": {"runAsUser": 0, "runAsNonRoot": false}}}}}),
            add("/spec/template/spec/hostNetwork", json!(true)),
        ),
    ]
}

/// What must be as it was. A leaf may be another one; what the API server assigns may be another, too.
fn content(object: &Value) -> Value {
    let mut object = object.clone();
    let leaf = object["kind"] == "Secret";
    let members = object.as_object_mut().expect("an object");
    members.remove("status");
    let metadata = members.remove("metadata").unwrap_or_default();
    members.insert("labels".into(), metadata["labels"].clone());
    if leaf && let Some(data) = members.get_mut("data").and_then(Value::as_object_mut) {
        let ca = data.remove("ca.crt");
        data.values_mut()
            .for_each(|value| *value = json!(value.as_str().is_some_and(|text| text.len() > 100)));
        data.insert("ca.crt".into(), ca.unwrap_or_default());
    }
    if let Some(spec) = members.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("clusterIP");
        spec.remove("clusterIPs");
    }
    object
}

#[tokio::test]
async fn what_is_deleted_edited_or_added_to_is_put_back() {
    let world = World::new("drift").await;
    let _operator = Operator::start(&world);
    world.create_fleet(&["a"]).await;
    world.until_brought_up(&["a"]).await;
    for (kind, name, edit, addition) in cases() {
        let before = content(&world.get(kind, name).await.unwrap());
        let is_restored = |object: &Value| !object.is_null() && content(object) == before;

        println!("{kind} {name}: edit {edit}");
        world.edit(kind, name, edit).await;
        world.until(kind, name, is_restored).await;
        println!("{kind} {name}: addition {addition}");
        world.edit_json(kind, name, addition).await;
        world.until(kind, name, is_restored).await;
        println!("{kind} {name}: deletion");
        world.api(kind).delete(name, &DeleteParams::default()).await.unwrap();
        world.until(kind, name, is_restored).await;
    }
}

#[tokio::test]
async fn a_label_that_hides_an_object_from_us_is_put_back() {
    let world = World::new("label").await;
    let _operator = Operator::start(&world);
    world.create_fleet(&["a"]).await;
    world.until_brought_up(&["a"]).await;
    let label = "app.kubernetes.io/managed-by";
    world.edit("Service", "a", json!({"metadata": {"labels": {label: null}}})).await;
    world.until("Service", "a", |object| object["metadata"]["labels"][label] == "tessera-operator").await;
}

/// A `GitOps` tool, a backup tool or a load balancer keeps its labels and annotations; the operator writes nothing for them.
#[tokio::test]
async fn labels_and_annotations_of_others_stay() {
    const MANAGER: &str = "kustomize-controller";
    let world = World::new("stays").await;
    let operator = Operator::start(&world);
    world.create_fleet(&["a"]).await;
    world.until_brought_up(&["a"]).await;
    let metadata = json!({"metadata": {"labels": {"fleet": "x"}, "annotations": {"team": "x"}}});
    let mut applied = Vec::new();
    for (kind, name, ..) in cases() {
        applied.push((kind, name, world.apply_as(MANAGER, kind, name, metadata.clone()).await));
    }
    // A repair writes one of them as a whole.
    world.edit("Service", "a", json!({"spec": {"publishNotReadyAddresses": true}})).await;
    let back = |object: &Value| object["spec"]["publishNotReadyAddresses"].as_bool() != Some(true);
    world.until("Service", "a", back).await;
    reconcile_more(&world, &operator, &["a"], 2).await;
    for (kind, name, version) in applied {
        let live = world.get(kind, name).await.unwrap()["metadata"].take();
        assert_eq!(
            (&live["labels"]["fleet"], &live["annotations"]["team"]),
            (&json!("x"), &json!("x")),
            "{kind} {name}"
        );
        let managers = live["managedFields"].as_array().unwrap();
        assert!(managers.iter().any(|entry| entry["manager"] == MANAGER), "{kind} {name}: {managers:?}");
        if (kind, name) != ("Service", "a") {
            assert_eq!(live["resourceVersion"], version, "the operator wrote {kind} {name}");
        }
    }
    assert!(operator.terminate().success());
}

#[tokio::test]
async fn who_undoes_each_repair_is_said_and_then_left_alone() {
    let world = World::new("contest").await;
    let _operator = Operator::start(&world);
    world.create_fleet(&["a"]).await;
    world.until_brought_up(&["a"]).await;
    let edits = std::cell::Cell::new(0);
    let somebody = async {
        loop {
            world.edit("Service", "a", json!({"metadata": {"labels": {"tessera.rs/by": "hand"}}})).await;
            edits.set(edits.get() + 1);
            world
                .until("Service", "a", |service| service["metadata"]["labels"]["tessera.rs/by"].is_null())
                .await;
        }
    };
    let message = tokio::select! {
        () = somebody => String::new(),
        message = world.until_reason("TesseraNode", "a", "Ready", "Contested") => message,
    };
    assert!(message.contains(&format!("Service {}/a", world.namespace)), "{message}");
    assert!(edits.get() >= 5, "{} edits were put back", edits.get());
    let service = world.get("Service", "a").await.expect("it is there");
    assert_eq!(service["metadata"]["labels"]["tessera.rs/by"], "hand", "left alone");
    // And nothing else is.
    world.edit("StatefulSet", "tessera-a", json!({"spec": {"replicas": 3}})).await;
    world.until("StatefulSet", "tessera-a", |set| set["spec"]["replicas"] == 1).await;
}
