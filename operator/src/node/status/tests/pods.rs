//! What keeps a pod from coming up.

use super::*;

#[test]
fn an_image_that_cannot_be_pulled_is_quoted_from_the_kubelet_until_another_cause_is_known() {
    let with = |object: &Value, message: &str| {
        let mut world = ready().silent().not_ready();
        world.object = object.clone();
        world.observed.pods[0].problem = Some((Reason::ImagePullFailed, message.to_owned()));
        let status = world.status();
        assert_eq!(reason(&status, ConditionType::Ready), "False ImagePullFailed");
        status
    };
    let message = |status: &TesseraNodeStatus| message(status);
    let first = with(&node_json("node-a"), "the image cannot be pulled: manifest unknown");
    assert_eq!(message(&first), "the image cannot be pulled: manifest unknown");
    let mut object = node_json("node-a");
    object["status"] = serde_json::to_value(&first).unwrap();
    let waits = with(&object, "the image cannot be pulled: Back-off pulling image \"x\"");
    assert_eq!(message(&waits), message(&first), "the kubelet waits; the cause is the same");
}

fn message(status: &TesseraNodeStatus) -> String {
    find(&status.conditions, ConditionType::Ready).unwrap().message.clone()
}

#[test]
fn what_keeps_a_pod_from_coming_up_stands_in_ready() {
    let without_pod = |events: EventCause| {
        let mut world = ready();
        world.observed.pods.clear();
        world.observed.events = events;
        world.status()
    };
    let quota = "there is no pod: create Pod failed: exceeded quota: q";
    let status = without_pod(EventCause::Read(Some((Reason::QuotaExceeded, quota.to_owned()))));
    assert_eq!(reason(&status, ConditionType::Ready), "False QuotaExceeded");
    assert_eq!(message(&status), quota);
    for unknown in [EventCause::NotRead, EventCause::Read(None)] {
        let status = without_pod(unknown);
        assert_eq!(reason(&status, ConditionType::Ready), "False Starting");
        assert_eq!(message(&status), "StatefulSet tessera-node-a has no pod yet");
    }

    // The claim's own trouble goes before what the scheduler makes of it.
    let mut world = ready().silent().not_ready();
    let scheduler = "the pod is not scheduled: unbound immediate PersistentVolumeClaims";
    world.observed.pods[0].problem = Some((Reason::Unschedulable, scheduler.to_owned()));
    let claim = "the volume is not bound: storageclass x not found";
    world.observed.events = EventCause::Read(Some((Reason::VolumePending, claim.to_owned())));
    let status = world.status();
    assert_eq!(reason(&status, ConditionType::Ready), "False VolumePending");
    assert_eq!(message(&status), format!("pod tessera-node-a-0: {claim}"));
}

#[test]
fn a_workload_that_cannot_be_written_says_why_there_is_no_pod() {
    let mut world = ready();
    world.observed.pods.clear();
    world.observed.workload = None;
    let object = ObjectId::of::<Service>("org-a", "node-a");
    world.applied.failures.push(WriteError::Api {
        verb: "create",
        object,
        message: "failed calling webhook w".into(),
    });
    let status = world.status();
    assert_eq!(reason(&status, ConditionType::Ready), "False Starting");
    assert_eq!(message(&status), "failed to create Service org-a/node-a: failed calling webhook w");
}
