//! New CAs, with an operator that is killed at each of its writes. No pod runs here, so that nobody but the Secrets is awaited; with
//! nodes and clients it is a test of the cluster.

use std::time::{Duration, Instant};

use base64::Engine as _;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tessera_pki::{CaState, Certificate};

use crate::operator::Operator;
use crate::world::{DEADLINE, World, network, node, store_ca};

/// How many operators are killed at once; each has its own namespaces.
const AT_ONCE: u64 = 4;

#[tokio::test]
async fn a_rollover_ends_wherever_its_operator_is_killed() {
    let mut number = 1;
    let mut killed = true;
    while killed {
        let batch = (number..number + AT_ONCE)
            .flat_map(|number| ["before", "after"].map(|side| killed_at(format!("{side}:{number}"))));
        killed = futures::future::join_all(batch).await.into_iter().any(|was_killed| was_killed);
        number += AT_ONCE;
    }
    println!("killed at every write up to {}", number - AT_ONCE);
    assert!(number > 12, "fewer writes than a rollover has");
}

/// Somebody made the CA state immutable: the rollover cannot begin, status names the Secret, and repair goes on.
#[tokio::test]
async fn a_rollover_that_cannot_be_stored_stops_nothing_else() {
    let world = World::new("rollover-refused").await;
    let before = brought_up(&world).await;
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.operator_namespace);
    let immutable = Patch::Merge(json!({"immutable": true}));
    secrets.patch(&world.ca_state(), &PatchParams::default(), &immutable).await.expect("it is admitted");
    world.edit("TesseraNetwork", "net", json!({"spec": {"pki": {"ca": {"rolloverTrigger": 1}}}})).await;
    let _operator = Operator::start(&world);
    let message = world.until_reason("TesseraNetwork", "net", "CertificatesCurrent", "RenewalFailing").await;
    assert!(message.contains(&world.ca_state()), "{message}");
    world.edit("ConfigMap", "net-ca", json!({"data": {"ca.crt": "another"}})).await;
    let roots = before.network.roots_pem();
    world.until("ConfigMap", "net-ca", |object| object["data"]["ca.crt"] == roots).await;
    assert_eq!(state(&world).await.network.digest(), before.network.digest());
}

/// Rolls over with an operator that dies at a write, then with one that does not. Whether it died.
async fn killed_at(point: String) -> bool {
    let world = World::new(&format!("rollover-{}", point.replace(':', "-"))).await;
    let before = brought_up(&world).await;
    world.edit("TesseraNetwork", "net", json!({"spec": {"pki": {"ca": {"rolloverTrigger": 1}}}})).await;
    let mut operator = Operator::start_with(&world, &["--fault-point", &point]);
    let was_killed = until_killed_or_rolled_over(&mut operator, &world, &point).await;
    drop(operator);
    let _operator = Operator::start(&world);
    let has_ended =
        |object: &Value| object["status"]["observedGeneration"] == object["metadata"]["generation"];
    world.until("TesseraNetwork", "net", has_ended).await;
    until_rolled_over(&world, &point).await;
    let after = state(&world).await;
    for (old, new) in [(&before.network, &after.network), (&before.admin, &after.admin)] {
        assert!(
            !new.issuing.certificate().is_same_entity(old.issuing.certificate()),
            "killed {point}: the old CA"
        );
        assert_eq!((new.ordinal, new.trigger, new.roots().len()), (2, 1, 1), "killed {point}: one rollover");
    }
    was_killed
}

/// A network and a node without clients, whose certificates are there.
async fn brought_up(world: &World) -> CaState {
    let (mut network, mut node) = (network(), node("a"));
    network["spec"]["monitoring"] = json!([]);
    node["spec"]["clients"] = json!([]);
    world.create("ConfigMap", store_ca()).await;
    world.create("TesseraNetwork", network).await;
    world.create("TesseraNode", node).await;
    let operator = Operator::start(world);
    world.until("Secret", "a-tls", |object| !object.is_null()).await;
    world.until("Secret", "a-admin-tls", |object| !object.is_null()).await;
    world.until("StatefulSet", "tessera-a", |object| !object.is_null()).await;
    assert!(operator.terminate().success());
    state(world).await
}

async fn until_killed_or_rolled_over(operator: &mut Operator, world: &World, point: &str) -> bool {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(by_signal) = operator.was_killed() {
            assert!(by_signal, "the operator ended by itself");
            return true;
        }
        if unfinished(world).await.is_none() {
            return false;
        }
        assert!(Instant::now() < end, "neither killed {point} nor done: {:?}", unfinished(world).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn until_rolled_over(world: &World, point: &str) {
    let end = Instant::now() + DEADLINE;
    while let Some(why) = unfinished(world).await {
        assert!(Instant::now() < end, "killed {point}: {why}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What the end of the rollover lacks.
async fn unfinished(world: &World) -> Option<String> {
    let state = state(world).await;
    let authorities = [("a-tls", &state.network), ("a-admin-tls", &state.admin)];
    for (secret, authority) in authorities {
        if authority.ordinal != 2 || authority.rollover.is_some() {
            return Some(format!(
                "{secret}: the CA is number {}, {:?}",
                authority.ordinal,
                authority.phase()
            ));
        }
        let object = world.get("Secret", secret).await?;
        let shown = Certificate::parse_all(&decoded(&object, "tls.crt")).expect("certificates in PEM");
        let [leaf] = shown.as_slice() else {
            return Some(format!("{secret} shows {} certificates", shown.len()));
        };
        let roots = String::from_utf8(decoded(&object, "ca.crt")).expect("PEM is text");
        if !leaf.is_issued_by(authority.issuing.certificate()) || roots != authority.roots_pem() {
            return Some(format!("{secret} is not of the new CA alone"));
        }
    }
    let bundle = world.get("ConfigMap", "net-ca").await?;
    let is_right = bundle["data"]["ca.crt"] == state.network.roots_pem();
    (!is_right).then(|| "the bundle is not the new CA alone".to_owned())
}

async fn state(world: &World) -> CaState {
    let owned = world.owned().await;
    let secret = serde_json::to_value(&owned[&format!("Secret {}", world.ca_state())]);
    let secret = secret.expect("an object serialises");
    CaState::from_json(&decoded(&secret, "state.json")).expect("the CA state is whole")
}

fn decoded(secret: &Value, key: &str) -> Vec<u8> {
    let text = secret["data"][key].as_str().unwrap_or_default();
    base64::engine::general_purpose::STANDARD.decode(text).expect("data of a Secret is base64")
}
