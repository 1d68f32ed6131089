use serde_json::json;

use super::*;

fn hits(object: &Value) -> Vec<(String, &'static str)> {
    let found = scan_object(object);
    assert!(found.complete);
    found.hits.into_iter().map(|hit| (hit.path, hit.rule)).collect()
}

#[test]
fn a_config_map_is_searched_by_key_and_by_text() {
    let object = json!({"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {
        "DB_PASSWORD": "hunter2",
        "app.properties": "a=b\nspring.datasource.password=hunter2\n",
        "PASSWORD_FILE": "/run/secrets/db",
    }, "binaryData": {"blob": BASE64_STANDARD.encode("password: hunter2")}});
    assert_eq!(
        hits(&object),
        [
            ("binaryData.blob".into(), "yaml-field"),
            ("data.DB_PASSWORD".into(), "named-value"),
            ("data[\"app.properties\"]:2".into(), "assignment"),
        ]
    );
}

#[test]
fn a_pod_is_searched_in_environment_arguments_and_annotations() {
    let object = json!({"kind": "Pod", "metadata": {"name": "p", "annotations": {"note": "redis://:hunter2@cache"}},
    "spec": {"containers": [{
        "env": [{"name": "DB_PASSWORD", "value": "hunter2"},
            {"name": "OTHER_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}],
        "args": ["--db-password", "hunter2", "--token-file", "/t"],
        "command": ["sh", "-c", "app --password=hunter2"],
        "livenessProbe": {"httpGet": {"httpHeaders":
            [{"name": "Authorization", "value": "Basic YWRtaW46aHVudGVyMg=="}]}},
    }]}});
    let found: Vec<_> = hits(&object).into_iter().map(|(path, _)| path).collect();
    assert_eq!(
        found,
        [
            "metadata.annotations.note",
            "spec.containers[0].args[1]",
            "spec.containers[0].command[2]",
            "spec.containers[0].env[0].value",
            "spec.containers[0].env[0].value",
            "spec.containers[0].livenessProbe.httpGet.httpHeaders[0].value",
        ]
    );
}

#[test]
fn what_kubectl_applied_last_is_searched_as_the_object_that_it_is() {
    let applied = json!({"kind": "ConfigMap", "metadata": {}, "data": {"DB_PASSWORD": "hunter2"}});
    let object =
        json!({"kind": "ConfigMap", "metadata": {"annotations": {LAST_APPLIED: applied.to_string()}}});
    let path = format!("metadata.annotations[{LAST_APPLIED:?}].data.DB_PASSWORD");
    assert_eq!(hits(&object), [(path, "named-value")]);
}

#[test]
fn a_secret_may_hold_secrets() {
    let object = json!({"kind": "Secret", "stringData": {"password": "hunter2"}, "metadata": {"name": "s"}});
    assert!(hits(&object).is_empty());
}

#[test]
fn settings_are_searched_by_the_names_of_their_fields() {
    let values = json!({"postgres": {"password": "hunter2", "existingSecret": "db-app"}});
    let found = scan_values(&values, "config");
    assert_eq!(found.hits, [ObjectHit { path: "config.postgres.password".into(), rule: NAMED_VALUE }]);
}

#[test]
fn an_object_that_nests_too_deep_was_not_searched_whole() {
    let mut deep = json!("password");
    for _ in 0..40 {
        deep = json!([deep]);
    }
    assert!(!scan_values(&deep, "config").complete);
}
