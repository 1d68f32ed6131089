//! What the spec names no more goes.

use serde_json::{Value, json};

use crate::operator::Operator;
use crate::world::World;

#[tokio::test]
async fn leaf_and_policy_of_a_client_that_was_removed_go() {
    let world = World::new("prune").await;
    let _operator = Operator::start(&world);
    world.create_fleet(&["a"]).await;
    world.until_brought_up(&["a"]).await;
    world.edit("TesseraNode", "a", json!({"spec": {"clients": []}})).await;
    world.until("Secret", "a-client-ledger", Value::is_null).await;
    world.until("NetworkPolicy", "a-client-ledger", Value::is_null).await;
    assert!(world.get("Secret", "a-tls").await.is_some());
    assert!(world.get("NetworkPolicy", "a").await.is_some());
}

#[tokio::test]
async fn the_default_deny_of_a_namespace_that_is_shared_now_goes() {
    let world = World::new("shared").await;
    let _operator = Operator::start(&world);
    world.create_fleet(&["a"]).await;
    world.until_brought_up(&["a"]).await;
    world.edit("TesseraNetwork", "net", json!({"spec": {"namespaceIsolation": "Shared"}})).await;
    world.until("NetworkPolicy", "net-default-deny", Value::is_null).await;
    world.until("NetworkPolicy", "a-client-ledger", Value::is_null).await;
    assert!(world.get("NetworkPolicy", "a").await.is_some());
}
