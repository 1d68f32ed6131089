//! What the operator's own identity may not do.

use serde_json::json;

use super::{MANAGED, User, create, delete, metadata, patch, put, stateful_set};

const POLICY: &str = "tessera-operator-writes";
const CLAIMS: &str = "v1/persistentvolumeclaims";

#[tokio::test]
async fn it_writes_nothing_that_is_not_its_own() {
    let bundle = json!({"metadata": {"name": "vault-ca"}, "data": {"ca.crt": "of the store"}});
    put(User::Admin, "v1/configmaps", MANAGED, &bundle).await;
    let forged = json!({"data": {"ca.crt": "of a thief"}});
    patch(User::Operator, "v1/configmaps", MANAGED, "vault-ca", &forged)
        .await
        .is_refused(POLICY, &["vault-ca"]);
    let adopted = json!({
        "metadata": {"labels": {"app.kubernetes.io/managed-by": "tessera-operator"}}, "data": {"ca.crt": "of a thief"},
    });
    patch(User::Operator, "v1/configmaps", MANAGED, "vault-ca", &adopted).await.is_refused(POLICY, &[]);
    delete(User::Operator, "v1/configmaps", MANAGED, "vault-ca").await.is_refused(POLICY, &[]);
    let unlabelled = json!({"metadata": {"name": "x"}, "data": {}});
    create(User::Operator, "v1/configmaps", MANAGED, &unlabelled).await.is_refused(POLICY, &[]);
    let own = json!({"metadata": metadata("x", "x"), "data": {}});
    create(User::Operator, "v1/configmaps", MANAGED, &own).await.is_admitted();
}

/// Somebody removed the label before the policies were there: the operator puts it back.
#[tokio::test]
async fn it_repairs_what_it_owns_and_lost_its_label() {
    let mut stripped = json!({"metadata": metadata("stripped", "a"), "data": {}});
    stripped["metadata"]["labels"] = json!({});
    put(User::Admin, "v1/configmaps", MANAGED, &stripped).await;
    let repair = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "tessera-operator"}}});
    patch(User::Operator, "v1/configmaps", MANAGED, "stripped", &repair).await.is_admitted();
}

#[tokio::test]
async fn it_grows_the_claims_of_its_nodes_only() {
    let claim = |name: &str| {
        json!({"metadata": {"name": name}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}})
    };
    for name in ["data-tessera-a-0", "data-geth-0"] {
        put(User::StatefulSetController, "v1/persistentvolumeclaims", MANAGED, &claim(name)).await;
    }
    let note = json!({"metadata": {"annotations": {"x": "y"}}});
    let touch =
        async |name: &str| patch(User::Operator, "v1/persistentvolumeclaims", MANAGED, name, &note).await;
    touch("data-tessera-a-0").await.is_admitted();
    touch("data-geth-0").await.is_refused(POLICY, &["data-geth-0"]);
    // One without a volume can only be made anew; one with a volume holds payloads.
    let mut bound = claim("data-tessera-b-0");
    bound["spec"]["volumeName"] = json!("pv");
    put(User::StatefulSetController, CLAIMS, MANAGED, &bound).await;
    delete(User::Operator, CLAIMS, MANAGED, "data-tessera-a-0").await.is_admitted();
    delete(User::Operator, CLAIMS, MANAGED, "data-tessera-b-0").await.is_refused(POLICY, &["with a volume"]);
    delete(User::Operator, CLAIMS, MANAGED, "data-geth-0").await.is_refused(POLICY, &["data-geth-0"]);
}

#[tokio::test]
async fn its_nodes_run_allowed_images_only() {
    let mut set = stateful_set("images");
    create(User::Operator, "apps/v1/statefulsets", MANAGED, &set).await.is_admitted();
    set["spec"]["template"]["spec"]["containers"][0]["image"] = json!("evil.example/tessera-node@sha256:00");
    let answer = create(User::Operator, "apps/v1/statefulsets", MANAGED, &set).await;
    answer.is_refused(
        "tessera-operator-images",
        &["admission.allowedImages", "example.com/tessera-node@sha256:"],
    );
}
