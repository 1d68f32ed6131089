//! Credentials in clear text. Here the chart refuses them; by default it warns.

use serde_json::{Value, json};

use super::chart::{helm, image_values};
use super::{Answer, MANAGED, OPEN, User, create, patch, put};

const POLICY: &str = "tessera-operator-clear-text";

async fn config_map(namespace: &str, data: Value) -> Answer {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app"}, "data": data});
    create(User::Admin, "v1/configmaps", namespace, &object).await
}

fn pod_with(container: &Value) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app"},
        "spec": {"containers": [{"name": "app", "image": "app"}]}});
    for (field, value) in container.as_object().unwrap() {
        pod["spec"]["containers"][0][field] = value.clone();
    }
    pod
}

#[tokio::test]
async fn a_config_map_with_a_credential_is_refused_by_field_and_without_its_value() {
    for data in [
        json!({"app.properties": "spring.datasource.password=hunter22"}),
        json!({"app.properties": "db.url=postgres://app:hunter22@db/app"}),
        json!({"DB_PASSWORD": "hunter22"}),
        json!({"tls.key": "-----BEGIN RSA PRIVATE KEY-----\nFake\n"}),
        json!({"config.json": r#"{"jdbc": {"password": "hunter22"}}"#}),
    ] {
        let field = data.as_object().unwrap().keys().next().unwrap().clone();
        let answer = config_map(MANAGED, data.clone()).await;
        answer.is_refused(POLICY, &["ConfigMap app", &field, "Secret"]);
        assert!(!format!("{answer:?}").contains("hunter22"), "{answer:?}");
        config_map(OPEN, data).await.is_admitted();
    }
}

#[tokio::test]
async fn a_reference_is_no_credential() {
    for data in [
        json!({"app.properties": "spring.datasource.password=${DB_PASSWORD}\npassword.file=/run/secrets/db"}),
        json!({"app.properties": "db.url=postgres://app:$(DB_PASSWORD)@db/app"}),
        json!({"DB_PASSWORD": "/run/secrets/db", "passwordSecretRef": "db-app"}),
        json!({"ca.crt": "-----BEGIN CERTIFICATE-----\nFake\n"}),
    ] {
        config_map(MANAGED, data).await.is_admitted();
    }
}

/// A text that is too large to be searched within the budget is let through: the operator searches it.
#[tokio::test]
async fn a_large_config_map_is_let_through() {
    let large = "x".repeat(300 * 1024);
    config_map(MANAGED, json!({"large": large})).await.is_admitted();
    let many: Value = (0..12).map(|n| (format!("file-{n}"), json!("y".repeat(60 * 1024)))).collect();
    config_map(MANAGED, many).await.is_admitted();
}

#[tokio::test]
async fn a_pod_with_a_credential_is_refused() {
    for (container, field) in [
        (json!({"env": [{"name": "DB_PASSWORD", "value": "hunter22"}]}), "environment"),
        (json!({"env": [{"name": "URL", "value": "redis://:hunter22@cache"}]}), "environment"),
        (json!({"args": ["--db-password=hunter22"]}), "command line"),
        (json!({"command": ["sh", "-c", "curl https://a:hunter22@b"]}), "command line"),
    ] {
        let pod = pod_with(&container);
        create(User::Admin, "v1/pods", MANAGED, &pod).await.is_refused(POLICY, &["Pod app", field]);
        create(User::Admin, "v1/pods", OPEN, &pod).await.is_admitted();
        let workload = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "app"}, "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": pod["spec"]}}});
        let answer = create(User::Admin, "apps/v1/deployments", MANAGED, &workload).await;
        answer.is_refused(POLICY, &["Deployment app", field]);
    }
    let mut pod = pod_with(&json!({}));
    pod["metadata"]["annotations"] = json!({"note": "password: hunter22"});
    create(User::Admin, "v1/pods", MANAGED, &pod).await.is_refused(POLICY, &["annotation note"]);
}

#[tokio::test]
async fn a_pod_that_refers_to_a_secret_is_admitted() {
    for container in [
        json!({"env": [{"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]}),
        json!({"env": [{"name": "DB_PASSWORD", "value": "$(OTHER)"}, {"name": "PASSWORD_FILE", "value": "/p"}]}),
        json!({"args": ["--password-file=/run/secrets/db", "--db-password=$(DB_PASSWORD)"]}),
    ] {
        create(User::Admin, "v1/pods", MANAGED, &pod_with(&container)).await.is_admitted();
    }
}

/// Who changes something else is not held up by what was there before.
#[tokio::test]
async fn an_object_that_holds_a_credential_already_can_be_labelled() {
    let object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}, "data": {"a": "b"}});
    put(User::Admin, "v1/configmaps", MANAGED, &object).await;
    let label = json!({"metadata": {"labels": {"team": "a"}}});
    patch(User::Admin, "v1/configmaps", MANAGED, "kept", &label).await.is_admitted();
    let password = json!({"data": {"DB_PASSWORD": "hunter22"}});
    let answer = patch(User::Admin, "v1/configmaps", MANAGED, "kept", &password).await;
    answer.is_refused(POLICY, &["kept", "DB_PASSWORD"]);
}

#[test]
fn by_default_the_chart_warns() {
    let render = |value: &str| {
        let output = helm()
            .args(["template", "tessera", "charts/tessera-operator", "--kube-version=1.33"])
            .args(["--show-only=templates/admission-clear-text.yaml", "--set"])
            .arg(format!("{},clusterName=test,namespaces={{a}}{value}", image_values()))
            .output()
            .expect("helm runs");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(render("").matches(r#"validationActions: ["Warn","Audit"]"#).count(), 2);
    assert_eq!(render(",admission.clearText=Deny").matches(r#"["Deny","Audit"]"#).count(), 2);
    assert!(!render(",admission.clearText=Off").contains("kind:"));
}
