//! Volumes that are lost, replaced or unprotected.

use super::*;

#[test]
fn a_lost_volume_and_an_unprotected_one() {
    let mut world = ready();
    world.observed.volume = ObservedVolume::Lost("gone".into());
    let status = world.status();
    assert_eq!(reason(&status, ConditionType::Ready), "False VolumeLost");
    assert_eq!(reason(&status, ConditionType::DataProtected), "False VolumeLost");
    let mut world = ready();
    world.observed.volume = ObservedVolume::Bound { reclaim_policy: "Delete".into() };
    let status = world.status();
    assert_eq!(reason(&status, ConditionType::Ready), "True Ready");
    assert_eq!(reason(&status, ConditionType::DataProtected), "False ReclaimPolicyDelete");
}

const OLD_STORE: &str = "0123456789abcdef0123456789abcdef";
const NEW_STORE: &str = "fedcba9876543210fedcba9876543210";

fn with_payload_store(lost: &[&str]) -> World {
    let mut world = ready();
    let lost = lost.iter().map(ToString::to_string).collect();
    world.report().payload_store =
        Some(admin::PayloadStoreStatus { id: NEW_STORE.into(), lost, format: Some(1) });
    world
}

#[test]
fn a_replaced_volume_is_not_ready_until_its_loss_is_accepted() {
    let replaced = with_payload_store(&[OLD_STORE]).status();
    assert_eq!(reason(&replaced, ConditionType::Ready), "False VolumeReplaced");
    let message = &find(&replaced.conditions, ConditionType::Ready).unwrap().message;
    assert!(message.contains(OLD_STORE), "{message}");
    assert!(message.contains("kubectl tessera accept-loss node-a -n org-a"), "{message}");

    let accepted = with_payload_store(&[]).status();
    assert_eq!(reason(&accepted, ConditionType::Ready), "True Ready");
    assert_eq!(accepted.payload_store.unwrap().id, NEW_STORE);
}

#[test]
fn the_acceptance_is_an_event_and_a_volume_that_came_back_is_none() {
    let replaced = with_payload_store(&[OLD_STORE]).status();
    let reasons = |after: &TesseraNodeStatus| -> Vec<_> {
        of_transition(&replaced, after).into_iter().map(|event| event.reason).collect()
    };
    assert_eq!(reasons(&with_payload_store(&[]).status()), ["Ready", "LossAccepted"]);
    let mut back = with_payload_store(&[]);
    back.report().payload_store.as_mut().unwrap().id = OLD_STORE.into();
    assert_eq!(reasons(&back.status()), ["Ready"]);
}
