//! A node whose payloads are in PostgreSQL: its workload has no volume, and nothing is written once it is there.

use serde_json::json;

use crate::bring_up::reconcile_more;
use crate::operator::Operator;
use crate::world::{World, node};

#[tokio::test]
async fn a_node_with_a_database_has_no_volume_and_is_written_once() {
    let world = World::new("database").await;
    let operator = Operator::start(&world);
    world.create_fleet(&["b"]).await;
    let mut with_database = node("a");
    with_database["spec"]["storage"] = json!({"type": "Postgres", "postgres": {
        "connection": {"type": "SecretRef", "secretRef": {"name": "database", "key": "connection"}},
        "caBundleRef": {"name": "database-ca"},
        "clientCertificate": {"type": "Issued"},
        "egress": [{"cidr": "10.1.2.3/32", "port": 5432}],
    }});
    world.create("TesseraNode", with_database).await;
    world.until_brought_up(&["a", "b"]).await;
    world.until_reason("TesseraNode", "a", "DataProtected", "InDatabase").await;
    let workload = world.get("StatefulSet", "tessera-a").await.unwrap();
    assert!(workload["spec"]["volumeClaimTemplates"].is_null(), "{workload}");
    let control = world.get("StatefulSet", "tessera-b").await.unwrap();
    assert!(control["spec"]["volumeClaimTemplates"].is_array(), "{control}");

    reconcile_more(&world, &operator, &["a", "b"], 6).await;
    let before = world.contents().await;
    let requests = operator.requests();
    reconcile_more(&world, &operator, &["a", "b"], 4).await;
    assert_eq!(operator.requests(), requests, "an idle reconcile asks the API server for nothing");
    assert_eq!(world.contents().await, before);

    // An edit of the egress reaches the policy, and rolls no pod.
    let template = workload["spec"]["template"].clone();
    let egress =
        json!({"spec": {"storage": {"postgres": {"egress": [{"cidr": "10.1.2.4/32", "port": 5432}]}}}});
    world.edit("TesseraNode", "a", egress).await;
    world
        .until("NetworkPolicy", "a", |policy| policy["spec"]["egress"].to_string().contains("10.1.2.4/32"))
        .await;
    let workload = world.get("StatefulSet", "tessera-a").await.unwrap();
    assert_eq!(workload["spec"]["template"], template);
}
