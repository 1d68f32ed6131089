//! What leads from outside to a secret store.

use serde_json::{Value, json};

use super::{OPEN, STORE, User, create, delete, patch, put};

const POLICY: &str = "tessera-operator-secret-store";

fn service(name: &str, spec: &Value) -> Value {
    let mut service = json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 8200}], "selector": {"app": "vault"}}});
    for (key, value) in spec.as_object().into_iter().flatten() {
        service["spec"][key] = value.clone();
    }
    service
}

fn ingress() -> Value {
    let backend = json!({"service": {"name": "vault", "port": {"number": 8200}}});
    json!({"metadata": {"name": "public"}, "spec": {"defaultBackend": backend}})
}

#[tokio::test]
async fn no_service_leads_to_the_store_from_outside() {
    for spec in [
        json!({"type": "NodePort"}),
        json!({"type": "LoadBalancer"}),
        json!({"externalIPs": ["203.0.113.9"]}),
    ] {
        for user in [User::Admin, User::Operator] {
            let made = create(user, "v1/services", STORE, &service("public", &spec)).await;
            made.is_refused(POLICY, &["Service public", STORE, "tessera.rs/secret-store"]);
        }
        create(User::Admin, "v1/services", OPEN, &service("public", &spec)).await.is_admitted();
    }
    for spec in [json!({}), json!({"clusterIP": "None"}), json!({"type": "ClusterIP"})] {
        create(User::Admin, "v1/services", STORE, &service("vault", &spec)).await.is_admitted();
    }
}

#[tokio::test]
async fn a_service_does_not_become_a_way_in() {
    put(User::Admin, "v1/services", STORE, &service("inside", &json!({}))).await;
    let change = async |change: Value| patch(User::Admin, "v1/services", STORE, "inside", &change).await;
    change(json!({"spec": {"type": "NodePort"}})).await.is_refused(POLICY, &["Service inside"]);
    change(json!({"spec": {"externalIPs": ["203.0.113.9"]}})).await.is_refused(POLICY, &["Service inside"]);
    change(json!({"spec": {"ports": [{"port": 8201}]}})).await.is_admitted();
    change(json!({"metadata": {"labels": {"team": "store"}}})).await.is_admitted();
    delete(User::Admin, "v1/services", STORE, "inside").await.is_admitted();
}

#[tokio::test]
async fn no_ingress_leads_to_the_store() {
    let ingresses = "networking.k8s.io/v1/ingresses";
    create(User::Admin, ingresses, STORE, &ingress()).await.is_refused(POLICY, &["Ingress public"]);
    create(User::Admin, ingresses, OPEN, &ingress()).await.is_admitted();
}
