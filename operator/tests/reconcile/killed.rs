//! SIGKILL at each write of the bring-up: the end state is that of an operator that was never killed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use base64::Engine;
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use tessera_pki::{CaState, Certificate};

use crate::operator::Operator;
use crate::world::{DEADLINE, World, condition};

/// How many operators are killed at once; each has its own namespaces.
const AT_ONCE: u64 = 4;

#[tokio::test]
async fn an_operator_killed_at_any_write_ends_where_an_unkilled_one_does() {
    let world = World::new("unkilled").await;
    let operator = Operator::start(&world);
    world.create_fleet(&["a"]).await;
    world.until_brought_up(&["a"]).await;
    let expected = end_state(&world).await;
    assert!(operator.terminate().success());
    assert!(expected.len() > 15, "{expected:#?}");

    let mut number = 1;
    let mut killed = true;
    while killed {
        let batch =
            (number..number + AT_ONCE).flat_map(|number| ["before", "after"].map(|side| (side, number)));
        let runs = batch.map(|(side, number)| killed_at(side, number, expected.len()));
        killed = false;
        for (point, was_killed, state) in futures::future::join_all(runs).await {
            killed |= was_killed;
            assert!(state.keys().eq(expected.keys()), "killed {point}: {:?}", state.keys());
            for (name, object) in &expected {
                assert_eq!(&state[name], object, "{name}, killed {point}");
            }
        }
        number += AT_ONCE;
    }
    println!("killed at every write up to {}", number - AT_ONCE);
    assert!(number > 20, "fewer writes than objects");
}

/// Brings the fleet up with an operator that dies at a write, then with one that does not.
async fn killed_at(side: &str, number: u64, objects: usize) -> (String, bool, BTreeMap<String, Value>) {
    let point = format!("{side}:{number}");
    let world = World::new(&format!("killed-{side}-{number}")).await;
    world.create_fleet(&["a"]).await;
    let mut operator = Operator::start_with(&world, &["--fault-point", &point]);
    let was_killed = until_killed_or_brought_up(&mut operator, &world, objects).await;
    drop(operator);
    let _operator = Operator::start(&world);
    world.until_brought_up(&["a"]).await;
    let state = end_state(&world).await;
    (point, was_killed, state)
}

async fn until_killed_or_brought_up(operator: &mut Operator, world: &World, objects: usize) -> bool {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(by_signal) = operator.was_killed() {
            assert!(by_signal, "the operator ended by itself");
            return true;
        }
        if is_brought_up(world).await && end_state(world).await.len() == objects {
            return false;
        }
        assert!(Instant::now() < end, "neither killed nor done");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn is_brought_up(world: &World) -> bool {
    let node = world.get("TesseraNode", "a").await.unwrap_or_default();
    let network = world.get("TesseraNetwork", "net").await.unwrap_or_default();
    let has = |object: &Value, type_, reason| {
        condition(object, type_).is_some_and(|found| found["reason"] == reason)
    };
    has(&node, "Ready", "Starting")
        && has(&network, "SecretStoreReady", "Unreachable")
        && network["status"]["nodes"]["total"] == 1
}

/// All that the operator owns, without what differs between any two bring-ups; and each leaf is of the one CA.
async fn end_state(world: &World) -> BTreeMap<String, Value> {
    let uid = world.network().await.metadata.uid.unwrap_or_default();
    let owned = world.owned().await;
    let authorities = authorities(&owned, world);
    let mut state = BTreeMap::new();
    for (name, object) in &owned {
        check_leaf(name, object, &authorities);
        state.insert(name.replace(&world.namespace, "<namespace>"), normalised(world, &uid, name, object));
    }
    for (kind, name) in [("TesseraNetwork", "net"), ("TesseraNode", "a")] {
        let object = world.get(kind, name).await.unwrap_or_default();
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let short = |condition: &Value| json!([condition["type"], condition["status"], condition["reason"]]);
        state.insert(format!("{kind} {name}"), conditions.iter().map(short).collect());
    }
    state
}

fn authorities(owned: &BTreeMap<String, DynamicObject>, world: &World) -> CaState {
    let secret = &owned[&format!("Secret {}", world.ca_state())];
    CaState::from_json(&decoded(secret, "state.json")).expect("the CA state is whole")
}

fn check_leaf(name: &str, object: &DynamicObject, authorities: &CaState) {
    if object.data["type"] != "kubernetes.io/tls" {
        return;
    }
    let leaf = Certificate::parse(&decoded(object, "tls.crt")).expect("a leaf is a certificate");
    let ca = if name.ends_with("-admin-tls") { &authorities.admin } else { &authorities.network };
    assert!(leaf.is_issued_by(ca.issuing.certificate()), "{name} is of another CA");
}

fn decoded(secret: &DynamicObject, key: &str) -> Vec<u8> {
    let text = secret.data["data"][key].as_str().unwrap_or_default();
    base64::engine::general_purpose::STANDARD.decode(text).expect("data of a Secret is base64")
}

fn normalised(world: &World, uid: &str, name: &str, object: &DynamicObject) -> Value {
    let mut data = object.data.clone();
    if let Some(members) = data.as_object_mut() {
        members.remove("status");
    }
    if name.starts_with("Secret ") || name == "ConfigMap net-ca" {
        let keys: Vec<_> =
            data["data"].as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect();
        data["data"] = json!(keys);
    }
    for pointer in ["/spec/clusterIP", "/spec/clusterIPs", "/spec/template/metadata/annotations"] {
        if let Some(value) = data.pointer_mut(pointer) {
            *value = Value::Null;
        }
    }
    let owners: Vec<_> = object.owner_references().iter().map(|owner| (&owner.kind, &owner.name)).collect();
    let whole = json!({"labels": object.labels(), "owners": owners, "data": data});
    // The operator's namespace contains the other's name, so it is replaced first.
    let text =
        whole.to_string().replace(&world.operator_namespace, "<operator>").replace(&world.namespace, "<ns>");
    serde_json::from_str(&text.replace(uid, "<uid>")).expect("names hold no quotes")
}
