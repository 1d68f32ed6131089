//! Tokens of our ServiceAccounts.

use serde_json::{Value, json};

use super::{Answer, MANAGED, OPEN, RELEASE, User, create, patch, put, send};

const POLICY: &str = "tessera-operator-tokens";

async fn token(user: User, namespace: &str, account: &str, seconds: Option<u64>) -> Answer {
    put(User::Operator, "v1/serviceaccounts", namespace, &account_of(account)).await;
    let mut request = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": ["https://vault"]},
    });
    if let Some(seconds) = seconds {
        request["spec"]["expirationSeconds"] = json!(seconds);
    }
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
    send(user, "POST", &path, &request).await
}

fn account_of(name: &str) -> Value {
    json!({"metadata": super::metadata(name, "tokens")})
}

#[tokio::test]
async fn tokens_are_the_kubelets() {
    for account in ["tessera-node-tokens", "tessera-provisioner"] {
        token(User::Admin, MANAGED, account, None).await.is_refused(POLICY, &[account]);
        token(User::BreakGlass, MANAGED, account, None).await.is_refused(POLICY, &[account]);
    }
    token(User::Kubelet, MANAGED, "tessera-node-tokens", None).await.is_admitted();
    token(User::Operator, MANAGED, "tessera-node-tokens", None).await.is_refused(POLICY, &[]);
    token(User::Operator, MANAGED, "tessera-provisioner", None).await.is_admitted();
    token(User::Admin, MANAGED, "ledger", None).await.is_admitted();
    token(User::Admin, OPEN, "tessera-node-tokens", None).await.is_admitted();
    token(User::Admin, RELEASE, "tessera-operator", None).await.is_refused(POLICY, &["tessera-operator"]);
}

#[tokio::test]
async fn a_token_that_breaks_the_glass_lives_for_minutes() {
    token(User::Admin, RELEASE, "tessera-break-glass", Some(900)).await.is_admitted();
    for seconds in [None, Some(901), Some(86_400)] {
        let answer = token(User::Admin, RELEASE, "tessera-break-glass", seconds).await;
        answer.is_refused(POLICY, &["15 minutes", "--duration"]);
    }
    // The account is the release's own, not one of that name elsewhere.
    token(User::Admin, MANAGED, "tessera-break-glass", Some(600)).await.is_refused(POLICY, &[]);
}

#[tokio::test]
async fn no_secret_is_filled_with_a_token() {
    let secret = |account: &str| {
        json!({
            "metadata": {"name": "theirs", "annotations": {"kubernetes.io/service-account.name": account}},
            "type": "kubernetes.io/service-account-token",
        })
    };
    for namespace in [MANAGED, RELEASE] {
        let answer = create(User::Admin, "v1/secrets", namespace, &secret("tessera-node-tokens")).await;
        answer.is_refused("tessera-operator-token-secrets", &["long-lived"]);
        create(User::Admin, "v1/secrets", namespace, &secret("ledger")).await.is_admitted();
    }
}

/// The control plane fills a Secret again when its annotation changes.
#[tokio::test]
async fn no_secret_is_turned_to_a_token_of_ours() {
    const SECRETS: &str = "v1/secrets";
    let secret = json!({
        "metadata": {"name": "theirs-to-turn", "annotations": {"kubernetes.io/service-account.name": "ledger"}},
        "type": "kubernetes.io/service-account-token",
    });
    put(User::Admin, SECRETS, MANAGED, &secret).await;
    let turn =
        |account: &str| json!({"metadata": {"annotations": {"kubernetes.io/service-account.name": account}}});
    for user in [User::Admin, User::BreakGlass] {
        patch(user, SECRETS, MANAGED, "theirs-to-turn", &turn("tessera-node-tokens"))
            .await
            .is_refused("tessera-operator-token-secrets", &["long-lived"]);
    }
    patch(User::Admin, SECRETS, MANAGED, "theirs-to-turn", &turn("besu")).await.is_admitted();
}
