//! A node of several pods: scaled through the scale sub-resource, without a new template.

use serde_json::json;

use crate::bring_up::reconcile_more;
use crate::operator::Operator;
use crate::world::{World, node};

#[tokio::test]
async fn a_node_with_a_database_is_scaled_and_no_pod_is_replaced() {
    let world = World::new("replicas").await;
    let operator = Operator::start(&world);
    world.create_fleet(&["b"]).await;
    let mut several = node("a");
    several["spec"]["storage"] = json!({"type": "Postgres", "postgres": {
        "connection": {"type": "SecretRef", "secretRef": {"name": "database", "key": "connection"}},
        "caBundleRef": {"name": "database-ca"},
        "egress": [{"cidr": "10.1.2.3/32", "port": 5432}],
    }});
    world.create("TesseraNode", several).await;
    world.until_brought_up(&["a", "b"]).await;
    let one = world.get("StatefulSet", "tessera-a").await.unwrap();
    assert_eq!(one["spec"]["replicas"], 1);
    let spread = one["spec"]["template"]["spec"]["topologySpreadConstraints"].as_array().unwrap();
    let keys: Vec<_> = spread.iter().map(|constraint| constraint["topologyKey"].as_str().unwrap()).collect();
    assert_eq!(keys, ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]);
    assert_eq!(spread[0]["labelSelector"], one["spec"]["selector"]);

    world.edit("TesseraNode", "a", json!({"spec": {"replicas": 3}})).await;
    world.until("StatefulSet", "tessera-a", |set| set["spec"]["replicas"] == 3).await;
    let three = world.get("StatefulSet", "tessera-a").await.unwrap();
    assert_eq!(three["spec"]["template"], one["spec"]["template"]);
    assert_eq!(three["spec"]["updateStrategy"]["type"], "RollingUpdate");
    let shown = world.get("TesseraNode", "a").await.unwrap();
    assert_eq!(shown["status"]["selector"], "tessera.rs/node=a");

    reconcile_more(&world, &operator, &["a", "b"], 6).await;
    let before = world.contents().await;
    let requests = operator.requests();
    reconcile_more(&world, &operator, &["a", "b"], 4).await;
    assert_eq!(operator.requests(), requests, "an idle reconcile asks the API server for nothing");
    assert_eq!(world.contents().await, before);

    world.edit("TesseraNode", "a", json!({"spec": {"replicas": 2}})).await;
    world.until("StatefulSet", "tessera-a", |set| set["spec"]["replicas"] == 2).await;
}
