//! Nobody but the node reads its key: two who come near, each trying all that we could think of. Each list has a control that
//! is served, so that a refusal is one of that request. Where the page `operator/threat-model.md` says what remains, no test can.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tessera_e2e::attacker::Attacker;
use tessera_e2e::cluster::Kind;
use tessera_e2e::fleet::Fleet;

const STORE: &str = "https://vault.vault.svc:8200";

/// Who holds the operator's credentials has its rights at the API server, and at the secret store those of its logins.
#[tokio::test]
async fn the_operator_s_rights_and_logins_reach_no_key() -> Result<()> {
    let fleet = Fleet::start("e2e-blind-operator", &["a"]).await?;
    let operator = Attacker::in_the_name_of("tessera-system", "tessera-operator").await?;
    for (what, method, path, body) in as_operator(&fleet) {
        operator.is_forbidden(what, method, &path, body.as_ref()).await?;
    }
    let jwt = provisioner_token(&fleet, &operator).await.context("control: what its probe logs in with")?;
    // What each login is for is served.
    for (role, own) in
        [(fleet.role.clone(), "auth/token/lookup-self"), (format!("{}-auditor", fleet.role), "sys/audit")]
    {
        at_the_store(&fleet, &role, own, &jwt).await.with_context(|| format!("role {role}"))?;
    }
    fleet.has_one_version_of_its_key("a").await?;
    fleet.done().await
}

type Attempt = (&'static str, &'static str, String, Option<Value>);

fn core(namespace: &str, rest: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/{rest}")
}

fn as_operator(fleet: &Fleet) -> Vec<Attempt> {
    let ns = &fleet.namespace;
    let mut attempts = vec![
        (
            "a token of the node",
            "POST",
            core(ns, "serviceaccounts/tessera-node-a/token"),
            Some(token_request()),
        ),
        (
            "a token of its own",
            "POST",
            core("tessera-system", "serviceaccounts/tessera-operator/token"),
            Some(token_request()),
        ),
        ("a lasting token of the node", "POST", core(ns, "secrets"), Some(token_secret())),
        ("a pod as the node", "POST", core(ns, "pods"), Some(pod_as_node(fleet, "tessera-a-0"))),
        (
            "more rights for itself",
            "POST",
            format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/rolebindings"),
            Some(json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "more"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
                "subjects": [{"kind": "ServiceAccount", "name": "tessera-operator", "namespace": "tessera-system"}],
            })),
        ),
        (
            "the end of a policy",
            "DELETE",
            "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/tessera-operator-tokens"
                .to_owned(),
            None,
        ),
        ("all Secrets of another namespace", "GET", core("kube-system", "secrets"), None),
    ];
    attempts.extend(into_the_pod(ns));
    attempts
}

/// Ways into the pod of a node.
fn into_the_pod(ns: &str) -> Vec<Attempt> {
    let debug = json!({"spec": {"ephemeralContainers": [{"name": "debug", "image": "x", "targetContainerName": "tessera-node"}]}});
    vec![
        ("exec", "GET", core(ns, "pods/tessera-a-0/exec?command=/tessera-node&stdout=true"), None),
        ("exec by POST", "POST", core(ns, "pods/tessera-a-0/exec?command=/tessera-node&stdout=true"), None),
        ("attach", "GET", core(ns, "pods/tessera-a-0/attach?stdout=true"), None),
        ("port-forward", "GET", core(ns, "pods/tessera-a-0/portforward?ports=8080"), None),
        ("a debugging container", "PATCH", core(ns, "pods/tessera-a-0/ephemeralcontainers"), Some(debug)),
        (
            "another image in its pod",
            "PATCH",
            core(ns, "pods/tessera-a-0"),
            Some(
                json!([{"op": "replace", "path": "/spec/containers/0/image", "value": "localhost:5001/thief:1"}]),
            ),
        ),
    ]
}

/// What its logins at the secret store let it do: read `own`, and nothing about keys.
async fn at_the_store(fleet: &Fleet, role: &str, own: &str, jwt: &str) -> Result<()> {
    let token = fleet.vault.login("kubernetes", role, jwt).await?;
    let served = fleet.vault.status_as(&token, "GET", own, None).await?;
    ensure!(served == 200, "control: it may read {own}: {served}");
    let key = format!("{}/{}/tessera-node-a/keys/main", fleet.path_prefix, fleet.namespace);
    let all = json!({"policy": "path \"*\" { capabilities = [\"create\", \"read\", \"update\", \"delete\", \"list\", \"sudo\"] }"});
    let account = json!({
        "bound_service_account_names": "*", "bound_service_account_namespaces": "*", "token_policies": "root",
    });
    let attempts = [
        ("read the key", "GET", format!("secret/data/{key}/1"), None),
        ("read its metadata", "GET", format!("secret/metadata/{key}/1"), None),
        ("list the keys", "LIST", format!("secret/metadata/{key}"), None),
        (
            "put another key there",
            "POST",
            format!("secret/data/{key}/2"),
            Some(json!({"data": {"privateKey": "x"}})),
        ),
        (
            "overwrite the key",
            "POST",
            format!("secret/data/{key}/1"),
            Some(json!({"data": {"privateKey": "x"}})),
        ),
        ("delete the key", "DELETE", format!("secret/data/{key}/1"), None),
        ("destroy the key", "POST", format!("secret/destroy/{key}/1"), Some(json!({"versions": [1]}))),
        ("delete all of it", "DELETE", format!("secret/metadata/{key}/1"), None),
        ("drop check-and-set", "POST", "secret/config".to_owned(), Some(json!({"cas_required": false}))),
        ("a policy of its own", "POST", format!("sys/policies/acl/tessera-{role}"), Some(all)),
        ("its own role", "POST", format!("auth/kubernetes/role/{role}"), Some(account)),
        (
            "a token with more rights",
            "POST",
            "auth/token/create".to_owned(),
            Some(json!({"policies": ["root"]})),
        ),
        ("another login", "POST", "sys/auth/thief".to_owned(), Some(json!({"type": "userpass"}))),
        (
            "another name for itself",
            "POST",
            "identity/entity-alias".to_owned(),
            Some(json!({"name": "tessera-node-a"})),
        ),
        ("the store's own storage", "LIST", "sys/raw/logical".to_owned(), None),
        ("move the engine", "POST", "sys/remount".to_owned(), Some(json!({"from": "secret", "to": "thief"}))),
        ("seal the store", "POST", "sys/seal".to_owned(), None),
    ];
    for (what, method, path, body) in attempts {
        let status = fleet.vault.status_as(&token, method, &path, body.as_ref()).await?;
        ensure!(status == 403, "{what} ({method} {path}): {status}");
    }
    Ok(())
}

/// Who administers the namespace, by Kubernetes' own role for that, may do all but come near the keys.
#[tokio::test]
async fn an_administrator_of_the_namespace_reaches_no_key() -> Result<()> {
    let fleet = Fleet::start("e2e-blind-admin", &["a"]).await?;
    let ns = &fleet.namespace;
    let mallory = administrator(&fleet).await?;
    let own = mallory.ask("POST", &core(ns, "serviceaccounts/default/token"), Some(&token_request())).await?;
    ensure!(own.code == 201, "control: tokens of others are theirs: {} {}", own.code, own.text);
    let secret = mallory.ask("GET", &core(ns, "secrets/a-client-ledger"), None).await?;
    ensure!(secret.code == 200, "control: Secrets are theirs, so no key lies in one: {}", secret.code);

    let before = fleet.cluster.get(Kind::Pod, ns, "tessera-a-0").await?["metadata"]["uid"].clone();
    for (what, method, path, body) in as_administrator(&fleet) {
        mallory.is_forbidden(what, method, &path, body.as_ref()).await?;
    }
    // Kubernetes' own role lets administrators act as the accounts of their namespace.
    for account in ["tessera-node-a", "tessera-provisioner"] {
        let user = format!("system:serviceaccount:{ns}:{account}");
        let path = core(ns, &format!("serviceaccounts/{account}/token"));
        let answer = mallory.ask_as(Some(&user), "POST", &path, Some(&token_request())).await?;
        ensure!(answer.code == 403, "a token as {account} itself: {} {}", answer.code, answer.text);
    }
    for port in ["8080", "9000", "9443", "9464"] {
        let path = core(ns, &format!("pods/https:tessera-a-0:{port}/proxy/upcheck"));
        mallory.is_forbidden("the way by the API server", "GET", &path, None).await?;
    }
    let after = fleet.cluster.get(Kind::Pod, ns, "tessera-a-0").await?["metadata"]["uid"].clone();
    ensure!(before == after, "the pod was replaced");
    fleet.has_one_version_of_its_key("a").await?;
    fleet.done().await
}

fn as_administrator(fleet: &Fleet) -> Vec<Attempt> {
    let ns = &fleet.namespace;
    let sets = format!("/apis/apps/v1/namespaces/{ns}/statefulsets");
    let thief = json!([{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "localhost:5001/thief:1"}]);
    let elsewhere = json!({"data": {"tessera.json": "{}"}});
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "thief"},
        "spec": {
            "serviceName": "thief", "replicas": 1, "selector": {"matchLabels": {"app": "thief"}},
            "template": {
                "metadata": {"labels": {"app": "thief"}},
                "spec": {"serviceAccountName": "tessera-node-a", "containers": [{"name": "thief", "image": "localhost:5001/thief:1"}]},
            },
        },
    });
    let mut attempts = vec![
        (
            "a token of the node",
            "POST",
            core(ns, "serviceaccounts/tessera-node-a/token"),
            Some(token_request()),
        ),
        (
            "a token of the prober",
            "POST",
            core(ns, "serviceaccounts/tessera-provisioner/token"),
            Some(token_request()),
        ),
        ("a lasting token of the node", "POST", core(ns, "secrets"), Some(token_secret())),
        ("a pod as the node", "POST", core(ns, "pods"), Some(pod_as_node(fleet, "thief"))),
        ("a pod of the node's name", "POST", core(ns, "pods"), Some(pod_as_node(fleet, "tessera-a-1"))),
        ("a workload as the node", "POST", sets.clone(), Some(set)),
        ("another image in the node's workload", "PATCH", format!("{sets}/tessera-a"), Some(thief)),
        ("another configuration of the node", "PATCH", core(ns, "configmaps/a-config"), Some(elsewhere)),
        (
            "another certificate of the node",
            "PATCH",
            core(ns, "secrets/a-tls"),
            Some(json!({"data": {"ca.crt": "eA=="}})),
        ),
        (
            "the end of a policy",
            "DELETE",
            "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/tessera-operator-tokens"
                .to_owned(),
            None,
        ),
        ("the CA's Secret", "GET", core("tessera-system", "secrets"), None),
    ];
    attempts.extend(into_the_pod(ns));
    attempts
}

/// An account with the ClusterRole `admin` in the fleet's namespace.
async fn administrator(fleet: &Fleet) -> Result<Attacker> {
    let ns = &fleet.namespace;
    fleet.cluster.apply(Kind::ServiceAccount, ns, &json!({"metadata": {"name": "mallory"}})).await?;
    let binding = json!({
        "metadata": {"name": "mallory"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "mallory", "namespace": ns}],
    });
    fleet.cluster.apply(Kind::RoleBinding, ns, &binding).await?;
    Attacker::service_account(&fleet.cluster, ns, "mallory").await
}

async fn provisioner_token(fleet: &Fleet, operator: &Attacker) -> Result<String> {
    let path = core(&fleet.namespace, "serviceaccounts/tessera-provisioner/token");
    let answer = operator.ask("POST", &path, Some(&token_request())).await?;
    ensure!(answer.code == 201, "{} {}", answer.code, answer.text);
    let answer: Value = serde_json::from_str(&answer.text)?;
    answer["status"]["token"].as_str().map(str::to_owned).context("no token")
}

fn token_request() -> Value {
    json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": [STORE]}})
}

fn token_secret() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "thief", "annotations": {"kubernetes.io/service-account.name": "tessera-node-a"}},
    })
}

fn pod_as_node(fleet: &Fleet, name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "serviceAccountName": "tessera-node-a",
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "tessera-node", "image": fleet.settings.client_image, "command": ["/tessera-node"],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    })
}
