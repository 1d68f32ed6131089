//! What keeps a pod or a volume from coming up stands in `Ready`, in the API server's words. The refusals are real; the
//! StatefulSet controller, the scheduler, the kubelet and the volume controller are played by the test.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::bring_up::reconcile_more;
use crate::operator::Operator;
use crate::pods;
use crate::world::{World, condition, node};

/// What a controller reports about an object.
async fn report(world: &World, kind: &str, about: &Value, reason: &str, note: &str) {
    let event = json!({
        "metadata": {"generateName": "t-"}, "eventTime": jiff::Timestamp::now().to_string(), "type": "Warning",
        "reason": reason, "note": note, "action": "Try", "reportingController": "t", "reportingInstance": "t",
        "regarding": {"kind": kind, "name": about["metadata"]["name"], "namespace": world.namespace,
            "uid": about["metadata"]["uid"]},
    });
    let api: Api<Event> = Api::namespaced(world.client.clone(), &world.namespace);
    let event = serde_json::from_value(event).expect("an Event");
    api.create(&PostParams::default(), &event).await.expect("the Event is admitted");
}

/// Tries to make the node's pod as the StatefulSet controller does, and reports the refusal as it does.
async fn refuse_pod(world: &World, name: &str) -> String {
    let refusal = pods::try_make(world, name).await.expect_err("the pod is refused");
    let kube::Error::Api(status) = refusal else { panic!("no answer of the API server: {refusal}") };
    let set = world.get("StatefulSet", &format!("tessera-{name}")).await.expect("the workload is there");
    let note =
        format!("create Pod tessera-{name}-0 in StatefulSet tessera-{name} failed error: {}", status.message);
    report(world, "StatefulSet", &set, "FailedCreate", &note).await;
    status.message
}

async fn create(world: &World, version: &str, kind: &str, object: Value) -> Api<DynamicObject> {
    let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let api: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), &world.namespace, &resource);
    let object = serde_json::from_value(object).expect("an object");
    api.create(&PostParams::default(), &object).await.expect("it is admitted");
    api
}

/// A quota with its usage, which a controller would fill in.
async fn quota(world: &World, resource: &str) {
    let spec = json!({"metadata": {"name": "team"}, "spec": {"hard": {resource: "0"}}});
    let api = create(world, "v1", "ResourceQuota", spec).await;
    let status = json!({"status": {"hard": {resource: "0"}, "used": {resource: "0"}}});
    api.patch_status("team", &PatchParams::default(), &Patch::Merge(status))
        .await
        .expect("the usage is known");
}

async fn brought_up(test: &str) -> (World, Operator) {
    let world = World::new(test).await;
    let operator = Operator::start(&world);
    world.create_fleet(&["a"]).await;
    world.until_brought_up(&["a"]).await;
    (world, operator)
}

/// Waits until `Ready` of the node has this reason and says these words, on one line.
async fn until_ready_says(world: &World, reason: &str, words: &str) {
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let says = |object: &Value| {
        condition(object, "Ready").is_some_and(|ready| {
            ready["reason"] == reason && ready["message"].as_str().is_some_and(|text| text.contains(&words))
        })
    };
    world.until("TesseraNode", "a", says).await;
}

#[tokio::test]
async fn a_quota_that_leaves_no_room_for_the_pod_is_named() {
    let (world, operator) = brought_up("pod-quota").await;
    quota(&world, "pods").await;
    let message = refuse_pod(&world, "a").await;
    assert!(message.contains("exceeded quota: team"), "{message}");
    until_ready_says(&world, "QuotaExceeded", &message).await;
    // What follows the new status (its Event, its report) is written by then.
    reconcile_more(&world, &operator, &["a"], 1).await;
    // Nothing is read for good: some lists, none by a reconcile.
    let (requests, lists) = (operator.requests(), operator.event_lists());
    assert!(lists > 0);
    let before = operator.reconciles_of_each_kind();
    world.edit("TesseraNode", "a", json!({"metadata": {"annotations": {"touched": "1"}}})).await;
    world.edit("TesseraNetwork", "net", json!({"metadata": {"annotations": {"touched": "1"}}})).await;
    operator.until_reconciled_since(before).await;
    assert_eq!(operator.requests(), requests, "an idle reconcile asks the API server for nothing");
}

#[tokio::test]
async fn a_limit_range_that_refuses_the_pod_is_quoted() {
    let (world, _operator) = brought_up("limit-range").await;
    let limits = json!({"metadata": {"name": "team"}, "spec": {"limits": [
        {"type": "Container", "max": {"memory": "1Gi"}}, {"type": "Pod", "min": {"cpu": "1"}}]}});
    create(&world, "v1", "LimitRange", limits).await;
    let message = refuse_pod(&world, "a").await;
    until_ready_says(&world, "AdmissionDenied", &message).await;
}

#[tokio::test]
async fn a_policy_of_others_that_refuses_an_object_is_quoted_and_not_called_rbac() {
    let world = World::new("policy").await;
    let name = format!("no-sets-in-{}", world.namespace);
    let resource =
        |kind| ApiResource::from_gvk(&GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind));
    let policies: Api<DynamicObject> =
        Api::all_with(world.client.clone(), &resource("ValidatingAdmissionPolicy"));
    let bindings: Api<DynamicObject> =
        Api::all_with(world.client.clone(), &resource("ValidatingAdmissionPolicyBinding"));
    let policy = json!({"metadata": {"name": name}, "spec": {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"],
            "operations": ["CREATE"], "resources": ["statefulsets"]}]},
        "validations": [{"expression": "false", "message": "this team runs no StatefulSets", "reason": "Forbidden"}]}});
    let binding = json!({"metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}}}}});
    for (api, object) in [(&policies, policy), (&bindings, binding)] {
        let object = serde_json::from_value(object).expect("an object");
        api.create(&PostParams::default(), &object).await.expect("it is admitted");
    }
    until_bites(&world).await;
    let _operator = Operator::start(&world);
    world.create_fleet(&["a"]).await;
    until_ready_says(&world, "AdmissionDenied", "this team runs no StatefulSets").await;
    let ready = world.until_reason("TesseraNode", "a", "Ready", "AdmissionDenied").await;
    assert!(ready.contains("StatefulSet") && !ready.contains("Role"), "{ready}");
    bindings.delete(&name, &DeleteParams::default()).await.expect("it is deleted");
    policies.delete(&name, &DeleteParams::default()).await.expect("it is deleted");
    world.until_reason("TesseraNode", "a", "Ready", "Starting").await;
}

/// A new binding takes a moment to count.
async fn until_bites(world: &World) {
    let set = json!({"metadata": {"name": "probe"}, "spec": {"serviceName": "x",
        "selector": {"matchLabels": {"x": "y"}}, "template": {"metadata": {"labels": {"x": "y"}},
        "spec": {"containers": [{"name": "x", "image": "x"}]}}}});
    let set: DynamicObject = serde_json::from_value(set).expect("an object");
    let params = PostParams { dry_run: true, ..PostParams::default() };
    let end = std::time::Instant::now() + crate::world::DEADLINE;
    while world.api("StatefulSet").create(&params, &set).await.is_ok() {
        assert!(std::time::Instant::now() < end, "the policy never counts");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_quota_on_objects_of_ours_is_no_lack_of_rights() {
    let world = World::new("object-quota").await;
    quota(&world, "services").await;
    let _operator = Operator::start(&world);
    world.create_fleet(&["a"]).await;
    until_ready_says(&world, "QuotaExceeded", "exceeded quota: team").await;
    let ready = world.until_reason("TesseraNode", "a", "Ready", "QuotaExceeded").await;
    assert!(ready.contains("raise the ResourceQuota") && !ready.contains("Role"), "{ready}");
}

#[tokio::test]
async fn every_object_in_the_way_is_named_with_one_command_that_lists_them() {
    let world = World::new("in-the-way").await;
    for (kind, name) in [("ConfigMap", "a-config"), ("ServiceAccount", "tessera-node-a")] {
        world.create(kind, json!({"metadata": {"name": name}})).await;
    }
    let set = json!({"metadata": {"name": "tessera-a"}, "spec": {"serviceName": "x",
        "selector": {"matchLabels": {"x": "y"}}, "template": {"metadata": {"labels": {"x": "y"}},
        "spec": {"containers": [{"name": "x", "image": "x"}]}}}});
    world.create("StatefulSet", set).await;
    let _operator = Operator::start(&world);
    world.create_fleet(&["a"]).await;
    let message = world.until_reason("TesseraNode", "a", "Stalled", "NameConflict").await;
    let command = format!(
        "kubectl get -n {} serviceaccount/tessera-node-a configmap/a-config statefulset/tessera-a",
        world.namespace
    );
    assert!(message.contains(&command), "{message} lacks {command}");
}

async fn pod(world: &World) -> Value {
    let api: Api<Pod> = Api::namespaced(world.client.clone(), &world.namespace);
    serde_json::to_value(api.get("tessera-a-0").await.expect("the pod is there")).expect("it serialises")
}

async fn set_status(world: &World, status: Value) {
    let api: Api<Pod> = Api::namespaced(world.client.clone(), &world.namespace);
    let patch = Patch::Merge(json!({"status": status}));
    api.patch_status("tessera-a-0", &PatchParams::default(), &patch).await.expect("the status is admitted");
}

#[tokio::test]
async fn what_scheduler_kubelet_and_volumes_say_stands_in_ready() {
    let (world, operator) = brought_up("pod-status").await;
    pods::make(&world, "a").await;

    let why = "0/3 nodes are available: 3 Insufficient memory.";
    let condition =
        json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why});
    set_status(&world, json!({"conditions": [condition]})).await;
    until_ready_says(&world, "Unschedulable", why).await;

    // The claim is there and not bound: its own Events tell more than the scheduler does.
    let claim = json!({"metadata": {"name": "data-tessera-a-0", "labels": {"app.kubernetes.io/name": "tessera-node",
        "tessera.rs/node": "a"}}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "no-such",
        "resources": {"requests": {"storage": "1Gi"}}}});
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(world.client.clone(), &world.namespace);
    let claim = serde_json::from_value(claim).expect("a claim");
    let claim = claims.create(&PostParams::default(), &claim).await.expect("the claim is admitted");
    let claim = serde_json::to_value(claim).expect("it serialises");
    let why = "storageclass.storage.k8s.io \"no-such\" not found";
    report(&world, "PersistentVolumeClaim", &claim, "ProvisioningFailed", why).await;
    until_ready_says(&world, "VolumePending", why).await;
    let bound = Patch::Merge(json!({"status": {"phase": "Bound"}}));
    claims.patch_status("data-tessera-a-0", &PatchParams::default(), &bound).await.expect("it is bound");

    // It is scheduled, and its volume does not come.
    set_status(&world, json!({"conditions": [{"type": "PodScheduled", "status": "True"}]})).await;
    let why = "MountVolume.SetUp failed for volume \"vault-ca\" : configmap \"store-ca\" not found";
    report(&world, "Pod", &pod(&world).await, "FailedMount", why).await;
    until_ready_says(&world, "VolumePending", why).await;

    let container = |state: Value, last: Value| {
        json!({"containerStatuses": [{"name": "tessera-node", "image": "x", "imageID": "", "ready": false,
            "restartCount": 3, "state": state, "lastState": last}]})
    };
    let why = "rpc error: code = NotFound desc = manifest unknown";
    let waiting = json!({"waiting": {"reason": "ErrImagePull", "message": why}});
    set_status(&world, container(waiting, json!({}))).await;
    until_ready_says(&world, "ImagePullFailed", why).await;

    let waiting = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}});
    let last = json!({"terminated": {"exitCode": 1, "reason": "Error", "message": "no such key file",
        "startedAt": null, "finishedAt": null, "containerID": "containerd://0"}});
    set_status(&world, container(waiting, last)).await;
    until_ready_says(&world, "ContainerFailed", "no such key file").await;

    // A pod that says itself how it is costs no list of Events.
    let lists = operator.event_lists();
    let before = operator.reconciles_of_each_kind();
    world.edit("TesseraNode", "a", json!({"metadata": {"annotations": {"touched": "1"}}})).await;
    world.create("TesseraNode", node("b")).await;
    operator.until_reconciled_since(before).await;
    world.until_reason("TesseraNode", "b", "Ready", "Starting").await;
    assert!(operator.event_lists() <= lists + 1, "at most one, about the other node");
}
