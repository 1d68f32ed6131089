//! StatefulSets and revisions from which pods of nodes could be made.

use serde_json::{Value, json};

use super::chart::NODE_IMAGE;
use super::{MANAGED, User, create, patch, put, stateful_set, template};

const STATEFUL_SETS: &str = "apps/v1/statefulsets";
const REVISIONS: &str = "apps/v1/controllerrevisions";
const POLICY: &str = "tessera-operator-workloads";

fn theirs(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {
        "serviceName": name, "selector": {"matchLabels": {"app": "s"}},
        "template": {"metadata": {"labels": {"app": "s"}}, "spec": {"containers": [{"name": "c", "image": NODE_IMAGE}]}},
    }})
}

#[tokio::test]
async fn templates_of_nodes_are_the_operators() {
    create(User::Admin, STATEFUL_SETS, MANAGED, &theirs("s")).await.is_admitted();
    create(User::Admin, STATEFUL_SETS, MANAGED, &theirs("tessera-s"))
        .await
        .is_refused(POLICY, &["tessera-*"]);
    let mut as_node = theirs("s");
    as_node["spec"]["template"]["spec"]["serviceAccountName"] = json!("tessera-node-a");
    create(User::Admin, STATEFUL_SETS, MANAGED, &as_node).await.is_refused(POLICY, &["TesseraNode"]);
    create(User::BreakGlass, STATEFUL_SETS, MANAGED, &as_node).await.is_refused(POLICY, &["TesseraNode"]);
    let mut labelled = theirs("s");
    labelled["spec"]["template"]["metadata"]["labels"]["tessera.rs/node"] = json!("a");
    create(User::Admin, STATEFUL_SETS, MANAGED, &labelled).await.is_refused(POLICY, &["tessera.rs/node"]);
    create(User::Operator, STATEFUL_SETS, MANAGED, &stateful_set("w")).await.is_admitted();
}

fn revision(name: &str, content: &Value, owner: Option<&str>) -> Value {
    let mut revision = json!({
        "metadata": {"name": name, "labels": {"app": "s"}}, "revision": 1, "data": {"spec": {"template": content}},
    });
    if let Some(owner) = owner {
        revision["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "apps/v1", "kind": "StatefulSet", "name": owner, "uid": "uid", "controller": true,
        }]);
    }
    revision
}

/// The controller makes pods from revisions. One that is forged for a StatefulSet of others needs no label of ours.
#[tokio::test]
async fn revisions_are_judged_by_content_and_owner() {
    let refused = "tessera-operator-revisions";
    let plain = theirs("s")["spec"]["template"].clone();
    let mut as_node = plain.clone();
    as_node["spec"]["serviceAccountName"] = json!("tessera-node-a");

    create(User::Admin, REVISIONS, MANAGED, &revision("s-1", &plain, Some("s"))).await.is_admitted();
    create(User::Admin, REVISIONS, MANAGED, &revision("s-1", &as_node, Some("s")))
        .await
        .is_refused(refused, &["StatefulSet controller"]);
    let mut by_older_field = plain.clone();
    by_older_field["spec"]["serviceAccount"] = json!("tessera-node-a");
    create(User::Admin, REVISIONS, MANAGED, &revision("s-1", &by_older_field, Some("s")))
        .await
        .is_refused(refused, &[]);
    create(User::Admin, REVISIONS, MANAGED, &revision("s-1", &template("a"), None))
        .await
        .is_refused(refused, &[]);
    create(User::Admin, REVISIONS, MANAGED, &revision("s-1", &plain, Some("tessera-a")))
        .await
        .is_refused(refused, &[]);
    create(User::Admin, REVISIONS, MANAGED, &revision("tessera-a-1", &plain, None))
        .await
        .is_refused(refused, &[]);

    let controller = User::StatefulSetController;
    create(controller, REVISIONS, MANAGED, &revision("s-1", &plain, Some("s"))).await.is_admitted();
    let own = revision("tessera-a-1", &template("a"), Some("tessera-a"));
    create(controller, REVISIONS, MANAGED, &own).await.is_admitted();
    for owner in [None, Some("s"), Some("tessera-b")] {
        let forged = revision("tessera-a-1", &template("a"), owner);
        create(controller, REVISIONS, MANAGED, &forged).await.is_refused(refused, &["of that node"]);
    }
}

/// A revision of a node's StatefulSet that is given away would be adopted by another.
#[tokio::test]
async fn revisions_are_not_given_away() {
    let own = revision("tessera-given-1", &template("given"), Some("tessera-given"));
    put(User::StatefulSetController, REVISIONS, MANAGED, &own).await;
    let away = json!({"metadata": {"ownerReferences": null, "labels": {"app": "t"}}});
    let give = async |user| patch(user, REVISIONS, MANAGED, "tessera-given-1", &away).await;
    give(User::Admin).await.is_refused("tessera-operator-revisions", &[]);
    give(User::GarbageCollector).await.is_admitted();
}
