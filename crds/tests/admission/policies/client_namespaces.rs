//! A namespace that is not managed and holds certificates of clients.

use serde_json::{Value, json};

use super::{CLIENTS, OPEN, User, create, delete, metadata, patch, put};

const SECRETS: &str = "v1/secrets";

fn certificate(name: &str) -> Value {
    let mut metadata = metadata(name, "a");
    metadata.as_object_mut().unwrap().remove("ownerReferences");
    metadata["annotations"] = json!({"tessera.rs/of-node": "policies-managed/a"});
    json!({"metadata": metadata, "stringData": {"tls.crt": "x"}})
}

#[tokio::test]
async fn the_operator_writes_certificates_there_and_nothing_of_the_ledgers() {
    let policy = "tessera-operator-writes";
    create(User::Operator, SECRETS, CLIENTS, &certificate("a-client-new")).await.is_admitted();
    let theirs = json!({"metadata": {"name": "wallet"}, "stringData": {"key": "x"}});
    put(User::Admin, SECRETS, CLIENTS, &theirs).await;
    let stolen = json!({"stringData": {"key": "y"}});
    patch(User::Operator, SECRETS, CLIENTS, "wallet", &stolen).await.is_refused(policy, &["wallet"]);
    delete(User::Operator, SECRETS, CLIENTS, "wallet").await.is_refused(policy, &["wallet"]);
}

#[tokio::test]
async fn a_certificate_is_the_operators_and_the_rest_the_ledgers() {
    let policy = "tessera-operator-objects";
    put(User::Operator, SECRETS, CLIENTS, &certificate("a-client-kept")).await;
    for change in [
        json!({"stringData": {"tls.crt": "y"}}),
        json!({"metadata": {"annotations": {"tessera.rs/of-node": "policies-managed/b"}}}),
    ] {
        patch(User::Admin, SECRETS, CLIENTS, "a-client-kept", &change).await.is_refused(policy, &[]);
    }
    let deleted = delete(User::Admin, SECRETS, CLIENTS, "a-client-kept").await;
    deleted.is_refused(policy, &["TesseraNode a", "deleting"]);
    create(User::Admin, SECRETS, CLIENTS, &certificate("a-client-forged")).await.is_refused(policy, &[]);
    let note = json!({"metadata": {"annotations": {"reloader.example/at": "1"}}});
    patch(User::Admin, SECRETS, CLIENTS, "a-client-kept", &note).await.is_admitted();
    delete(User::NamespaceController, SECRETS, CLIENTS, "a-client-kept").await.is_admitted();

    let theirs = json!({"metadata": {"name": "geth"}, "data": {"a": "b"}});
    create(User::Admin, "v1/configmaps", CLIENTS, &theirs).await.is_admitted();
    create(User::Admin, SECRETS, OPEN, &certificate("a-client-open")).await.is_admitted();
}

/// Its ServiceAccounts are the ledger's, whatever they are called.
#[tokio::test]
async fn its_tokens_and_pods_are_the_ledgers() {
    let account = json!({"metadata": {"name": "tessera-ledger"}});
    put(User::Admin, "v1/serviceaccounts", CLIENTS, &account).await;
    let token = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": ["x"]}});
    let path = format!("/api/v1/namespaces/{CLIENTS}/serviceaccounts/tessera-ledger/token");
    super::send(User::Admin, "POST", &path, &token).await.is_admitted();
}
