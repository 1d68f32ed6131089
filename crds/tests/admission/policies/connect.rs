//! Connections into containers.

use serde_json::Value;

use super::{Answer, MANAGED, OPEN, RELEASE, STORE, User, send};

const POLICY: &str = "tessera-operator-connect";

async fn connect(user: User, namespace: &str, pod: &str, how: &str) -> Answer {
    let (method, query) = match how {
        "exec" => ("POST", "?command=true"),
        "proxy" => ("GET", ""),
        _ => ("POST", ""),
    };
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/{how}{query}");
    send(user, method, &path, &Value::Null).await
}

#[tokio::test]
async fn nobody_connects_into_a_nodes_pod() {
    for how in ["exec", "attach", "portforward", "proxy"] {
        for user in [User::Admin, User::Operator, User::OtherController] {
            let answer = connect(user, MANAGED, "tessera-a-0", how).await;
            answer.is_refused(POLICY, &[how, "tessera-a-0", "break-glass"]);
        }
        connect(User::Admin, MANAGED, "geth-0", how).await.is_admitted();
        connect(User::BreakGlass, MANAGED, "tessera-a-0", how).await.is_admitted();
    }
}

#[tokio::test]
async fn nobody_connects_into_the_operators_pod() {
    connect(User::Admin, RELEASE, "tessera-operator-5d9c-x1", "exec").await.is_refused(POLICY, &["exec"]);
    connect(User::Admin, RELEASE, "prometheus-0", "exec").await.is_admitted();
}

/// The operator's exec probe: denied where nodes run, and past all policies in its own namespace, by GET as by POST. Another name
/// there, and another way in, stay denied.
#[tokio::test]
async fn the_exec_probe_has_a_control_in_the_operators_namespace() {
    let probe = "tessera-exec-probe";
    for method in ["GET", "POST"] {
        let exec = async |namespace: &str, pod: &str| {
            let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/exec?command=true&stdout=true");
            send(User::Operator, method, &path, &Value::Null).await
        };
        exec(MANAGED, probe).await.is_refused(POLICY, &["exec", probe]);
        exec(RELEASE, probe).await.is_admitted();
        exec(RELEASE, "tessera-exec-probe-0").await.is_refused(POLICY, &["exec"]);
    }
    connect(User::Admin, RELEASE, "https:tessera-exec-probe:1", "proxy").await.is_refused(POLICY, &["proxy"]);
}

/// `pods/proxy` takes a scheme and a port around the name.
#[tokio::test]
async fn a_scheme_does_not_hide_the_pod() {
    for name in ["https:tessera-a-0:9443", "tessera-a-0:8080", "http:tessera-a-0:"] {
        connect(User::Admin, MANAGED, name, "proxy").await.is_refused(POLICY, &["proxy"]);
    }
    connect(User::Admin, MANAGED, "https:geth-0:8545", "proxy").await.is_admitted();
}

#[tokio::test]
async fn the_owner_of_a_namespace_guards_all_its_pods_by_a_label() {
    for how in ["exec", "attach", "portforward", "proxy"] {
        let answer = connect(User::Admin, STORE, "vault-0", how).await;
        answer.is_refused("tessera-operator-guarded-pods", &["vault-0", "tessera.rs/guard-pods"]);
        connect(User::BreakGlass, STORE, "vault-0", how).await.is_admitted();
        connect(User::Admin, OPEN, "vault-0", how).await.is_admitted();
        connect(User::Admin, OPEN, "tessera-a-0", how).await.is_admitted();
    }
}
