//! Keys in the status of a node: rotation under way, pushes to old versions, archiving.

use jiff::SignedDuration;

use super::*;

/// A node whose status has the two versions that it reports.
fn known() -> World {
    let mut world = ready();
    let status = ready().status();
    world.object["status"] = serde_json::to_value(&status).unwrap();
    world
}

fn last_push(status: &TesseraNodeStatus) -> Option<String> {
    status.keys[0].last_push_at.as_ref().map(ToString::to_string)
}

#[test]
fn a_version_that_was_asked_for_and_is_not_there_is_a_rotation_under_way() {
    let mut world = known();
    world.object["spec"]["keys"][0]["rotation"]["trigger"] = json!(2);
    let status = world.status();
    assert_eq!(reason(&status, ConditionType::KeysReady), "False RotationInProgress");
    let message = &find(&status.conditions, ConditionType::KeysReady).unwrap().message;
    assert!(message.contains("version 3 of key main"), "{message}");
    assert_eq!(reason(&status, ConditionType::Ready), "True Ready", "the versions before it serve");

    let mut world = known();
    world.object["spec"]["keys"][0]["rotation"]["trigger"] = json!(2);
    world.report().key_failures = vec!["key main version 3: the store is sealed".into()];
    let status = world.status();
    let message = &find(&status.conditions, ConditionType::KeysReady).unwrap().message;
    assert!(message.ends_with("yet: key main version 3: the store is sealed"), "{message}");
}

#[test]
fn an_age_is_over_by_the_clock_of_the_node_alone() {
    let after = |hours: i64| {
        let mut world = known();
        world.object["spec"]["keys"][0]["rotation"]["every"] = json!("48h");
        let node_time = Some(now() + SignedDuration::from_hours(hours));
        reason(&world.status_upon(&Inputs { node_time, ..inputs() }), ConditionType::KeysReady)
    };
    // The newest version is of this very moment.
    assert_eq!(after(0), "True Ready");
    assert_eq!(after(48), "False RotationInProgress");
}

#[test]
fn the_last_push_to_an_old_version_moves_in_steps_of_an_hour_and_is_never_forgotten() {
    let after = |before: Option<&str>, reported: Option<&str>| {
        let mut world = known();
        world.object["status"]["keys"][0]["lastPushAt"] = json!(before);
        world.report().keys[0].last_pushed_at = reported.map(str::to_owned);
        last_push(&world.status())
    };
    let (noon, soon, later) = ("2027-01-01T12:00:00Z", "2027-01-01T12:59:59Z", "2027-01-01T13:00:00Z");
    assert_eq!(after(None, None), None);
    assert_eq!(after(None, Some(noon)).as_deref(), Some(noon));
    assert_eq!(after(Some(noon), Some(soon)).as_deref(), Some(noon));
    assert_eq!(after(Some(noon), Some(later)).as_deref(), Some(later));
    assert_eq!(after(Some(noon), None).as_deref(), Some(noon), "the node restarted");
}

#[test]
fn an_archived_version_is_an_event_once_and_an_entry_without_effect_is_named() {
    let mut world = known();
    let before: TesseraNodeStatus = serde_json::from_value(world.object["status"].clone()).unwrap();
    world.object["spec"]["keys"][0]["archive"] = json!([1]);
    world.report().keys[0].state = admin::KeyState::Archived;
    let status = world.status();
    assert_eq!(reason(&status, ConditionType::KeysReady), "True Ready");
    let events = |before, after| -> Vec<_> {
        of_transition(before, after).into_iter().filter(|event| event.reason == "KeyArchived").collect()
    };
    assert_eq!(events(&before, &status).len(), 1);
    assert_eq!(events(&status, &status).len(), 0);

    let mut world = known();
    world.object["spec"]["keys"][0]["archive"] = json!([2]);
    let status = world.status();
    assert_eq!(reason(&status, ConditionType::KeysReady), "False InvalidConfiguration");
    let message = &find(&status.conditions, ConditionType::KeysReady).unwrap().message;
    assert!(message.contains("spec.keys[main].archive names version 2, the newest"), "{message}");
}
