//! Events: each repair is reported once, on the object that it is about; our own changes are not reported as drift.

use kube::api::ListParams;
use serde_json::{Value, json};

use crate::operator::Operator;
use crate::world::{World, node, store_ca};

/// Reason and note of each Event about a node or a network.
pub(crate) async fn events_of(world: &World, kind: &str, name: &str) -> Vec<(String, String)> {
    let events = world.api("Event").list(&ListParams::default()).await.expect("the API server lists");
    let about = |event: &Value| event["regarding"]["name"] == name && event["regarding"]["kind"] == kind;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let events =
        events.items.into_iter().map(|event| serde_json::to_value(event).expect("an object serialises"));
    events.filter(about).map(|event| (text(&event["reason"]), text(&event["note"]))).collect()
}

#[tokio::test]
async fn each_repair_is_told_with_its_object_and_no_peer_list_of_ours() {
    let world = World::new("events").await;
    let _operator = Operator::start(&world);
    world.create_fleet(&["a"]).await;
    world.until_brought_up(&["a"]).await;
    // Its peer list is written again, by us.
    world.create("TesseraNode", node("b")).await;
    world.until_brought_up(&["a", "b"]).await;

    let edits = [
        ("Service", "a", json!({"metadata": {"labels": {"tessera.rs/by": "hand"}}})),
        ("ConfigMap", "a-dynamic", json!({"data": {"dynamic.json": "{}"}})),
        ("ConfigMap", "a-config", json!({"data": {"more": "x"}})),
    ];
    for (kind, name, edit) in &edits {
        let before = world.get(kind, name).await.expect("it is there");
        world.edit(kind, name, edit.clone()).await;
        let is_back = |object: &Value| {
            object["data"] == before["data"] && object["metadata"]["labels"] == before["metadata"]["labels"]
        };
        world.until(kind, name, is_back).await;
    }

    let end = std::time::Instant::now() + crate::world::DEADLINE;
    let drifts = loop {
        let events = events_of(&world, "TesseraNode", "a").await;
        let drifts: Vec<_> = events.into_iter().filter(|(reason, _)| reason == "DriftCorrected").collect();
        if drifts.len() >= edits.len() {
            break drifts;
        }
        assert!(std::time::Instant::now() < end, "not all repairs were reported: {drifts:?}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    assert_eq!(drifts.len(), edits.len(), "{drifts:?}");
    for (kind, name, _) in &edits {
        let object = format!("{kind} {}/{name} was put back", world.namespace);
        assert!(drifts.iter().any(|(_, note)| note.starts_with(&object)), "{object}: {drifts:?}");
    }
}

/// A change made while the operator is away is reported as well.
#[tokio::test]
async fn each_change_of_the_store_s_ca_bundle_is_reported_once() {
    let world = World::new("store-ca-event").await;
    let operator = Operator::start(&world);
    world.create_fleet(&[]).await;
    until_read(&world, "").await;
    let change = async || {
        let before =
            world.get("TesseraNetwork", "net").await.unwrap()["status"]["secretStore"]["caBundleSha256"]
                .clone();
        world.edit("ConfigMap", "store-ca", json!({"data": store_ca()["data"]})).await;
        before.as_str().unwrap().to_owned()
    };
    let first = change().await;
    let second = until_read(&world, &first).await;
    assert!(operator.terminate().success());
    change().await;
    let _operator = Operator::start(&world);
    let third = until_read(&world, &second).await;
    let end = std::time::Instant::now() + crate::world::DEADLINE;
    loop {
        let events = events_of(&world, "TesseraNetwork", "net").await;
        let changes: Vec<_> = events
            .iter()
            .filter(|(reason, _)| reason == "SecretStoreCAChanged")
            .map(|(_, note)| note)
            .collect();
        if changes.len() == 2 {
            assert!(
                changes.iter().any(|note| note.contains(&first) && note.contains(&second)),
                "{changes:?}"
            );
            assert!(
                changes.iter().any(|note| note.contains(&second) && note.contains(&third)),
                "{changes:?}"
            );
            break;
        }
        assert!(std::time::Instant::now() < end && changes.len() < 3, "{changes:?}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

/// The hash of the bundle once it is another than `before`.
async fn until_read(world: &World, before: &str) -> String {
    let hash =
        |network: &Value| network["status"]["secretStore"]["caBundleSha256"].as_str().map(str::to_owned);
    let is_new = |network: &Value| hash(network).is_some_and(|hash| hash != before);
    hash(&world.until("TesseraNetwork", "net", is_new).await).unwrap()
}
