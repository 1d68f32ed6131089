//! What the status says of an image that the node did not become ready with.

use super::*;
use crate::node::upgrade::record::{Record, Rejection, UPGRADE};
use crate::node::upgrade::{Facts, Failure, PodState};
use jiff::SignedDuration;
use kube::api::DynamicObject;

const GOOD: &str = "registry/tessera-node@sha256:1";

fn wanted() -> String {
    format!("registry/tessera-node@sha256:{}", "0".repeat(64))
}

fn record() -> Record {
    let since = now() - SignedDuration::from_mins(11);
    let json = json!({"image": wanted(), "since": since, "good": GOOD, "goodFormat": 1, "wrote": 1});
    serde_json::from_value(json).unwrap()
}

fn rejection() -> Rejection {
    Rejection::new(&wanted(), "exit code 1", 0, now())
}

fn facts(record: Record) -> Facts {
    let failure =
        Failure { image: wanted(), message: "exit code 1".into(), never_started: None, store_back_at: None };
    Facts {
        current: Some(record.image.clone()),
        record: Some(record),
        pod: PodState::Failing(failure),
        ..Facts::default()
    }
}

fn status(world: World, facts: Facts) -> TesseraNodeStatus {
    world.status_upon(&Inputs { upgrade: facts, ..inputs() })
}

fn stalled(status: &TesseraNodeStatus) -> (String, String) {
    let stalled = find(&status.conditions, ConditionType::Stalled).unwrap();
    (stalled.reason.clone(), stalled.message.clone())
}

#[test]
fn an_image_that_was_taken_back_is_named_with_its_cause_and_the_node_is_ready_again() {
    let carried = Record { image: GOOD.into(), rejected: vec![rejection()], ..record() };
    let mut world = ready();
    let workload = json!({"apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "s", "annotations": {UPGRADE: carried.to_json()}}});
    world.applied.stateful_set = Some(serde_json::from_value::<DynamicObject>(workload).unwrap());
    world.observed.pods[0].image = Some(GOOD.into());
    let status = status(world, facts(carried));
    let (reason, message) = stalled(&status);
    assert_eq!(reason, "ImageRolledBack");
    for part in [wanted().as_str(), GOOD, "exit code 1", "kubectl tessera restart node-a -n org-a"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(find(&status.conditions, ConditionType::Reconciling).is_none());
    assert_eq!(find(&status.conditions, ConditionType::Ready).unwrap().status, "True");
    let images = status.images.clone().unwrap();
    assert_eq!(images.served.as_deref(), Some(GOOD));
    assert_eq!(images.rejected[0].image, wanted());
    let events = of_transition(&TesseraNodeStatus::default(), &status);
    assert!(events.iter().any(|event| event.reason == "ImageRolledBack"));
    assert!(of_transition(&status, &status).is_empty());
    let line = status.checklist.unwrap().lines.into_iter().find(|line| line.reason == "UpgradeFailed");
    assert!(line.unwrap().observed.contains(&wanted()));
}

#[test]
fn what_cannot_go_back_says_why() {
    let newer = Record { wrote: Some(2), ..record() };
    let (reason, message) = stalled(&status(ready(), facts(newer)));
    assert_eq!(reason, "CannotRollBack");
    assert!(message.contains(GOOD) && message.contains("format"), "{message}");
    let alone = Record { good: None, ..record() };
    assert_eq!(stalled(&status(ready(), facts(alone))).0, "ProgressDeadlineExceeded");
}

#[test]
fn a_node_that_keeps_its_image_says_which_other_node_rejected_the_new_one() {
    let kept = Record { image: GOOD.into(), ..record() };
    let elsewhere = vec![("node-b".to_owned(), rejection())];
    let facts = Facts { rejected_elsewhere: elsewhere, pod: PodState::Ready(GOOD.into()), ..facts(kept) };
    let status = status(ready(), facts);
    let waits = find(&status.conditions, ConditionType::Reconciling).unwrap();
    assert_eq!(waits.reason, "RolloutWaiting");
    assert!(waits.message.contains("node-b") && waits.message.contains("exit code 1"), "{}", waits.message);
    assert!(find(&status.conditions, ConditionType::Stalled).is_none());
}
