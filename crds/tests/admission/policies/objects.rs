//! Objects that the operator made, in the hands of others.

use serde_json::{Value, json};

use super::chart::serve_open_reports;
use super::{MANAGED, User, create, delete, metadata, patch, put, send, stateful_set};

const POLICY: &str = "tessera-operator-objects";
/// StatefulSets have a second policy.
const ANY: &str = "tessera-operator-";
const CONFIG_MAPS: &str = "v1/configmaps";
const SERVICES: &str = "v1/services";
const STATEFUL_SETS: &str = "apps/v1/statefulsets";
const BUDGETS: &str = "policy/v1/poddisruptionbudgets";
const NETWORK_POLICIES: &str = "networking.k8s.io/v1/networkpolicies";

/// One object of each kind that the operator makes, and a change of its content.
fn objects(node: &str) -> Vec<(&'static str, Value, Value)> {
    let selector = json!({"tessera.rs/node": node});
    let named = |name: String, body: Value| {
        let mut object = json!({"metadata": metadata(&name, node)});
        object.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        object
    };
    vec![
        (
            CONFIG_MAPS,
            named(format!("{node}-config"), json!({"data": {"tessera.json": "{}"}})),
            json!({"data": {"tessera.json": "{\"evil\":1}"}}),
        ),
        (
            "v1/secrets",
            named(format!("{node}-tls"), json!({"stringData": {"tls.crt": "x"}})),
            json!({"stringData": {"tls.crt": "y"}}),
        ),
        (
            SERVICES,
            named(format!("{node}-p2p"), json!({"spec": {"selector": selector, "ports": [{"port": 9000}]}})),
            json!({"spec": {"selector": {"app": "thief"}}}),
        ),
        (
            "v1/serviceaccounts",
            named(format!("tessera-node-{node}"), json!({"automountServiceAccountToken": false})),
            json!({"automountServiceAccountToken": true}),
        ),
        (STATEFUL_SETS, stateful_set(node), json!({"spec": {"replicas": 0}})),
        (
            BUDGETS,
            named(
                node.to_owned(),
                json!({"spec": {"maxUnavailable": 1, "selector": {"matchLabels": selector}}}),
            ),
            json!({"spec": {"maxUnavailable": 0}}),
        ),
        (
            NETWORK_POLICIES,
            named(node.to_owned(), json!({"spec": {"podSelector": {"matchLabels": selector}}})),
            json!({"spec": {"podSelector": {"matchLabels": {"app": "geth"}}}}),
        ),
    ]
}

async fn brought_up(node: &str) -> Vec<(&'static str, String, Value)> {
    let mut made = Vec::new();
    for (resource, object, change) in objects(node) {
        put(User::Operator, resource, MANAGED, &object).await;
        made.push((resource, object["metadata"]["name"].as_str().unwrap().to_owned(), change));
    }
    made
}

#[tokio::test]
async fn content_is_the_operators() {
    for (resource, name, change) in brought_up("content").await {
        for user in [User::Admin, User::OtherController] {
            let answer = patch(user, resource, MANAGED, &name, &change).await;
            answer.is_refused(POLICY, &["TesseraNode content", "instead", &name]);
        }
        for user in [User::Operator, User::BreakGlass] {
            patch(user, resource, MANAGED, &name, &change).await.is_admitted();
        }
    }
}

#[tokio::test]
async fn others_create_and_delete_none() {
    for (resource, object, _) in objects("fresh") {
        create(User::Admin, resource, MANAGED, &object).await.is_refused(ANY, &["TesseraNode fresh"]);
        create(User::Operator, resource, MANAGED, &object).await.is_admitted();
    }
    for (resource, name, _) in brought_up("kept").await {
        delete(User::Admin, resource, MANAGED, &name)
            .await
            .is_refused(POLICY, &["TesseraNode kept", "deleting"]);
        delete(User::BreakGlass, resource, MANAGED, &name).await.is_admitted();
    }
    let theirs = json!({"metadata": {"name": "theirs"}, "data": {"a": "b"}});
    create(User::Admin, CONFIG_MAPS, MANAGED, &theirs).await.is_admitted();
}

#[tokio::test]
async fn owners_and_our_labels_stay() {
    let made = brought_up("labels").await;
    for change in [
        json!({"metadata": {"ownerReferences": null}}),
        json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}}),
        json!({"metadata": {"labels": {"tessera.rs/node": "other"}}}),
        json!({"metadata": {"labels": {"tessera.rs/more": "x"}}}),
        json!({"metadata": {"annotations": {"tessera.rs/desired-hash": "1"}}}),
        json!({"metadata": {"annotations": {"tessera.rs/desired-hash": null}}}),
    ] {
        for (resource, name, _) in &made {
            patch(User::Admin, resource, MANAGED, name, &change).await.is_refused(POLICY, &["tessera.rs/*"]);
        }
    }
    let theirs = json!({"metadata": {"name": "theirs-to-label"}});
    put(User::Admin, CONFIG_MAPS, MANAGED, &theirs).await;
    let adopt = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "tessera-operator"}}});
    patch(User::Admin, CONFIG_MAPS, MANAGED, "theirs-to-label", &adopt).await.is_refused(POLICY, &[]);
}

/// Load balancers, CSI drivers, snapshots, backup tools and OpenShift write these.
#[tokio::test]
async fn other_metadata_and_pull_secrets_stay_open() {
    for (resource, name, _) in brought_up("open").await {
        for change in [
            json!({"metadata": {"labels": {"backup": "daily"}}}),
            json!({"metadata": {"annotations": {"service.beta.kubernetes.io/lb": "x"}}}),
            json!({"metadata": {"finalizers": ["service.kubernetes.io/load-balancer-cleanup"]}}),
        ] {
            for user in [User::Admin, User::OtherController] {
                patch(user, resource, MANAGED, &name, &change).await.is_admitted();
            }
        }
    }
    let pull = json!({"imagePullSecrets": [{"name": "registry"}], "secrets": [{"name": "token"}]});
    patch(User::Admin, "v1/serviceaccounts", MANAGED, "tessera-node-open", &pull).await.is_admitted();
}

/// A load balancer's address goes into the status.
#[tokio::test]
async fn status_is_not_content() {
    brought_up("status").await;
    let status = json!({"status": {"conditions": [{
        "type": "LoadBalancerReady", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]}});
    patch(User::OtherController, SERVICES, MANAGED, "status-p2p/status", &status).await.is_admitted();
}

/// The namespace is deleted, or the TesseraNode: nothing of ours may hold that up, with the operator down.
#[tokio::test]
async fn the_controllers_that_clean_up_pass() {
    for (resource, name, _) in brought_up("cleanup").await {
        for user in [User::NamespaceController, User::GarbageCollector] {
            delete(user, resource, MANAGED, &name).await.is_admitted();
        }
        let orphaned = json!({"metadata": {"ownerReferences": null}});
        patch(User::GarbageCollector, resource, MANAGED, &name, &orphaned).await.is_admitted();
    }
}

/// A drain evicts the pod; a controller grows the claim.
#[tokio::test]
async fn pods_and_claims_are_outside() {
    let pod = "/api/v1/namespaces/policies-managed/pods/tessera-drained-0/eviction?dryRun=All";
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": "tessera-drained-0", "namespace": MANAGED},
    });
    send(User::Admin, "POST", pod, &eviction).await.is_admitted();
    delete(User::Admin, "v1/pods", MANAGED, "tessera-drained-0").await.is_admitted();
    let claim = json!({
        "metadata": metadata("data-tessera-grown-0", "grown"),
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    put(User::StatefulSetController, "v1/persistentvolumeclaims", MANAGED, &claim).await;
    let note = json!({"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "worker-1"}}});
    patch(User::OtherController, "v1/persistentvolumeclaims", MANAGED, "data-tessera-grown-0", &note)
        .await
        .is_admitted();
    delete(User::Admin, "v1/persistentvolumeclaims", MANAGED, "data-tessera-grown-0").await.is_admitted();
}

/// Design: a rule over a whole ConfigMap may end in an evaluation error at a few hundred KB. This one neither fails open nor
/// locks annotations.
#[tokio::test]
async fn a_large_config_map_is_guarded_alike() {
    let large = json!({
        "metadata": metadata("large-config", "large"),
        "data": {"a": "x".repeat(450_000), "b": "y".repeat(450_000)},
    });
    put(User::Operator, CONFIG_MAPS, MANAGED, &large).await;
    let change = json!({"data": {"b": "z".repeat(450_000)}});
    patch(User::Admin, CONFIG_MAPS, MANAGED, "large-config", &change)
        .await
        .is_refused(POLICY, &["TesseraNode large"]);
    let note = json!({"metadata": {"annotations": {"note": "x"}}});
    patch(User::Admin, CONFIG_MAPS, MANAGED, "large-config", &note).await.is_admitted();
}

#[tokio::test]
async fn a_refused_restart_names_the_command_for_it() {
    brought_up("restart").await;
    let restart = json!({"spec": {"template": {"metadata": {"annotations": {
        "kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}}}}});
    let answer = patch(User::Admin, STATEFUL_SETS, MANAGED, "tessera-restart", &restart).await;
    answer.is_refused(ANY, &["kubectl tessera restart restart"]);
}

/// The chart's own objects in the namespace carry helm's label, even where their name is one of ours.
#[tokio::test]
async fn what_helm_installed_goes_with_the_release() {
    let account = json!({"metadata": {
        "name": "tessera-uninstalled", "labels": {"app.kubernetes.io/managed-by": "Helm"}}});
    put(User::Admin, "v1/serviceaccounts", MANAGED, &account).await;
    delete(User::Admin, "v1/serviceaccounts", MANAGED, "tessera-uninstalled").await.is_admitted();
}

#[tokio::test]
async fn a_scale_is_the_operators() {
    brought_up("scaled").await;
    let none = json!({"spec": {"replicas": 0}});
    let answer = patch(User::Admin, STATEFUL_SETS, MANAGED, "tessera-scaled/scale", &none).await;
    answer.is_refused("tessera-operator-scale", &["spec.replicas of TesseraNode scaled"]);
    patch(User::BreakGlass, STATEFUL_SETS, MANAGED, "tessera-scaled/scale", &none).await.is_admitted();
    let theirs = json!({"metadata": {"name": "geth-scaled"}, "spec": {
        "serviceName": "geth", "replicas": 1, "selector": {"matchLabels": {"app": "geth"}},
        "template": {"metadata": {"labels": {"app": "geth"}}, "spec": {"containers": [{"name": "c", "image": "geth"}]}},
    }});
    put(User::Admin, STATEFUL_SETS, MANAGED, &theirs).await;
    patch(User::Admin, STATEFUL_SETS, MANAGED, "geth-scaled/scale", &none).await.is_admitted();
}

/// A dashboard shows what stands there. (All other tests of these policies may run before anybody serves Reports.)
#[tokio::test]
async fn a_report_of_the_checklist_is_the_operators() {
    const REPORTS: &str = "openreports.io/v1alpha1/reports";
    serve_open_reports().await;
    let report = |name: &str| {
        json!({
            "apiVersion": "openreports.io/v1alpha1", "kind": "Report", "metadata": metadata(name, "reported"),
            "source": "tessera-operator", "summary": {"fail": 1},
            "scope": {"apiVersion": "tessera.rs/v1alpha1", "kind": "TesseraNode", "name": "reported"},
            "results": [{"policy": "tessera-checklist", "rule": "MutualTls", "result": "fail"}],
        })
    };
    let name = "tessera-node-reported";
    put(User::Operator, REPORTS, MANAGED, &report(name)).await;
    for change in [
        json!({"results": [{"policy": "tessera-checklist", "rule": "MutualTls", "result": "pass"}]}),
        json!({"summary": {"fail": 0, "pass": 1}}),
        json!({"scope": {"name": "another"}}),
        json!({"source": "somebody"}),
        json!({"results": null}),
    ] {
        let answer = patch(User::Admin, REPORTS, MANAGED, name, &change).await;
        answer.is_refused(POLICY, &["TesseraNode reported", "Report"]);
        patch(User::Operator, REPORTS, MANAGED, name, &change).await.is_admitted();
    }
    let open = json!({"metadata": {"labels": {"team": "ledgers"}}});
    patch(User::Admin, REPORTS, MANAGED, name, &open).await.is_admitted();
    create(User::Admin, REPORTS, MANAGED, &report("forged")).await.is_refused(POLICY, &["creating"]);
    delete(User::Admin, REPORTS, MANAGED, name).await.is_refused(POLICY, &["deleting"]);
    for user in [User::GarbageCollector, User::NamespaceController] {
        delete(user, REPORTS, MANAGED, name).await.is_admitted();
    }

    let mut theirs = report("theirs");
    theirs["metadata"] = json!({"name": "theirs"});
    create(User::Operator, REPORTS, MANAGED, &theirs)
        .await
        .is_refused("tessera-operator-writes", &["theirs"]);
    put(User::Admin, REPORTS, MANAGED, &theirs).await;
    let change = json!({"summary": {"fail": 0}});
    patch(User::Operator, REPORTS, MANAGED, "theirs", &change)
        .await
        .is_refused("tessera-operator-writes", &["theirs"]);
    patch(User::Admin, REPORTS, MANAGED, "theirs", &change).await.is_admitted();
    delete(User::Admin, REPORTS, MANAGED, "theirs").await.is_admitted();
}
