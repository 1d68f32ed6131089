//! Every object that the operator owns is put back within seconds: deleted, edited, or added to.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use tessera_e2e::cluster::{Cluster, Kind};
use tessera_e2e::fleet::{Fleet, NETWORK};
use tessera_e2e::wait;

/// "Within seconds", on a slow machine.
const PUT_BACK: Duration = Duration::from_mins(1);

/// Each owned object with an edit of something that we set, and an addition of something that we do not.
fn owned() -> Vec<(Kind, String, Value, Value)> {
    // Of our own prefix: other labels belong to those who add them, and stay.
    let label = json!({"metadata": {"labels": {"tessera.rs/added-by": "somebody"}}});
    let unlabel = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "somebody"}}});
    let data = |key: &str, value: &str| json!({"data": {key: value}});
    let sidecar =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "sidecar", "image": "sidecar"}]}}}});
    let port = json!({"spec": {"ports": [{"name": "added", "port": 1}]}});
    vec![
        (
            Kind::ServiceAccount,
            "tessera-node-a".into(),
            json!({"automountServiceAccountToken": true}),
            label.clone(),
        ),
        (Kind::ConfigMap, "a-config".into(), data("tessera.json", "{}"), data("added", "x")),
        (Kind::ConfigMap, "a-dynamic".into(), data("dynamic.json", "{}"), data("added", "x")),
        (Kind::Service, "a".into(), json!({"spec": {"selector": {"app": "somebody"}}}), port.clone()),
        (Kind::Service, "a-p2p".into(), json!({"spec": {"publishNotReadyAddresses": false}}), port),
        (Kind::Secret, "a-tls".into(), data("tls.crt", "Z2FyYmFnZQ=="), data("added", "eA==")),
        (Kind::Secret, "a-admin-tls".into(), data("tls.key", "Z2FyYmFnZQ=="), data("added", "eA==")),
        (Kind::Secret, "a-client-ledger".into(), data("ca.crt", "Z2FyYmFnZQ=="), label.clone()),
        (Kind::StatefulSet, "tessera-a".into(), json!({"spec": {"replicas": 3}}), sidecar),
        (
            Kind::NetworkPolicy,
            "a".into(),
            json!({"spec": {"egress": [{}]}}),
            json!({"spec": {"ingress": [{}]}}),
        ),
        (Kind::PodDisruptionBudget, "a".into(), json!({"spec": {"maxUnavailable": 0}}), label.clone()),
        (Kind::ConfigMap, format!("{NETWORK}-ca"), data("ca.crt", "garbage"), data("added", "x")),
        (
            Kind::NetworkPolicy,
            format!("{NETWORK}-default-deny"),
            json!({"spec": {"podSelector": {"matchLabels": {"x": "y"}}}}),
            unlabel,
        ),
    ]
}

#[tokio::test]
async fn drift_is_put_back() -> Result<()> {
    let fleet = Fleet::start("e2e-drift", &["a"]).await?;
    let ns = &fleet.namespace;
    for (kind, name, edit, addition) in owned() {
        let before = shape(&fleet.cluster.get(kind, ns, &name).await?, kind);
        fleet.break_glass.edit(kind, ns, &name, &edit).await?;
        put_back(&fleet, kind, &name, &before, "edited").await?;
        hand_for(&fleet, kind, &name, &addition).await?.add(kind, ns, &name, &addition).await?;
        put_back(&fleet, kind, &name, &before, "added to").await?;
        fleet.break_glass.delete(kind, ns, &name).await?;
        put_back(&fleet, kind, &name, &before, "deleted").await?;
    }
    fleet.node_ready("a").await?;
    fleet.done().await
}

/// Who can make an addition at all. A node's pod template is the operator's alone, so what is put back there is what
/// someone under the operator's own name added.
async fn hand_for(fleet: &Fleet, kind: Kind, name: &str, addition: &Value) -> Result<Cluster> {
    if kind != Kind::StatefulSet {
        return Ok(fleet.break_glass.clone());
    }
    let refused = fleet.cluster.add(kind, &fleet.namespace, name, addition).await;
    ensure!(
        refused.is_err_and(|e| format!("{e:#}").contains("ValidatingAdmissionPolicy")),
        "an administrator may"
    );
    let operator = Cluster::connect_as("system:serviceaccount:tessera-system:tessera-operator").await?;
    Ok(operator)
}

async fn put_back(fleet: &Fleet, kind: Kind, name: &str, before: &Value, what: &str) -> Result<()> {
    wait::until(&format!("{kind:?} {name} put back after it was {what}"), PUT_BACK, || async {
        let live = fleet.cluster.get(kind, &fleet.namespace, name).await?;
        ensure!(live["metadata"]["deletionTimestamp"].is_null(), "it is being deleted");
        let now = shape(&live, kind);
        if now != *before {
            bail!("it is {now} and was {before}");
        }
        Ok(())
    })
    .await
}

/// What must be equal before and after: everything but what differs between two objects of the same meaning.
fn shape(live: &Value, kind: Kind) -> Value {
    let mut spec = live["spec"].clone();
    for assigned in ["clusterIP", "clusterIPs"] {
        if let Some(fields) = spec.as_object_mut()
            && fields.get(assigned).is_some_and(|ip| ip != "None" && *ip != json!(["None"]))
        {
            fields.remove(assigned);
        }
    }
    let data = match kind {
        // Certificates are issued anew; what stays are the keys, and that the values parse.
        Kind::Secret => json!(secret_shape(&live["data"])),
        _ => live["data"].clone(),
    };
    json!({
        "labels": live["metadata"]["labels"], "spec": spec, "data": data,
        "automount": live["automountServiceAccountToken"],
    })
}

fn secret_shape(data: &Value) -> Vec<(String, bool)> {
    use base64::Engine as _;
    let pem = |value: &Value| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap_or_default());
        bytes.is_ok_and(|bytes| bytes.starts_with(b"-----BEGIN "))
    };
    data.as_object().map(|d| d.iter().map(|(k, v)| (k.clone(), pem(v))).collect()).unwrap_or_default()
}
