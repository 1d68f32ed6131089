//! Nodes ship their logs to a collector; one that is gone is seen, and so is its return. So does the operator.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tessera_e2e::checklist_record;
use tessera_e2e::cluster::Kind;
use tessera_e2e::fleet::{Fleet, NETWORK};
use tessera_e2e::wait;

use super::line;

const NAMESPACE: &str = "e2e-logging";
const COLLECTOR: &str = "collector";
const PORT: u16 = 4318;
/// Where the same collector takes the operator's log: it trusts another CA there.
const OPERATOR_PORT: u16 = 4319;
const SYSTEM: &str = "tessera-system";
const OPERATOR: &str = "tessera-operator";
/// The operator's certificate, and what verifies the collector; both in its own namespace.
const OPERATOR_TLS: &str = "e2e-collector";
/// The kubelet brings a changed Secret, the next canary shows it, and the network is looked at.
const BY_CANARY: Duration = Duration::from_mins(6);

#[tokio::test]
async fn the_logs_of_nodes_reach_a_collector_and_its_absence_shows() -> Result<()> {
    let fleet = Fleet::prepare(NAMESPACE).await?;
    publish_collector(&fleet).await?;
    fleet.create_network().await?;
    fleet.set_up_store().await?;
    fleet.create_node("a").await?;
    let ready = fleet.node_ready("a").await?;
    for kind in [Kind::TesseraNode, Kind::TesseraNetwork] {
        let name = if kind == Kind::TesseraNode { "a" } else { NETWORK };
        line(&fleet, kind, name, "CentralLogging", "Violated", "NoCollector").await?;
    }
    // The node follows without a restart.
    fleet.cluster.apply(Kind::TesseraNetwork, NAMESPACE, &with_collector(&fleet)).await?;
    line(&fleet, Kind::TesseraNode, "a", "CentralLogging", "Verified", "Observed").await?;
    line(&fleet, Kind::TesseraNetwork, NETWORK, "CentralLogging", "Enforced", "OperatorLogNotSeen").await?;
    let pod = fleet.cluster.get(Kind::Pod, NAMESPACE, "tessera-a-0").await?;
    ensure!(pod["status"]["containerStatuses"][0]["restartCount"] == 0, "{pod}");
    let kept = fleet.node_ready("a").await?;
    ensure!(ready["status"]["keys"] == kept["status"]["keys"], "{kept}");

    fleet.cluster.clear(Kind::Pod, NAMESPACE, "app=collector").await?;
    let gone = line(&fleet, Kind::TesseraNode, "a", "CentralLogging", "Violated", "NotAccepted").await?;
    ensure!(gone["observer"] == "Node" && gone["observed"].to_string().contains("tessera-a-0"), "{gone}");
    line(&fleet, Kind::TesseraNetwork, NETWORK, "CentralLogging", "Violated", "NotAccepted").await?;
    // A node is no less ready for it.
    fleet.node_ready("a").await?;

    start_collector(&fleet).await?;
    line(&fleet, Kind::TesseraNode, "a", "CentralLogging", "Verified", "Observed").await?;
    line(&fleet, Kind::TesseraNetwork, NETWORK, "CentralLogging", "Enforced", "OperatorLogNotSeen").await?;
    checklist_record::healed("CentralLogging")?;
    fleet.done().await
}

/// Starts the operator anew, with what the chart's `logging.otlp` adds to its pod, and at the end without it.
#[tokio::test]
async fn serial_the_operator_s_own_log_reaches_a_collector_and_its_refusal_shows() -> Result<()> {
    let fleet = Fleet::prepare(NAMESPACE).await?;
    publish_collector(&fleet).await?;
    fleet.cluster.apply(Kind::TesseraNetwork, NAMESPACE, &with_collector(&fleet)).await?;
    fleet.set_up_store().await?;
    fleet.create_node("a").await?;
    fleet.node_ready("a").await?;
    says(&fleet, "Enforced", "OperatorLogNotSeen", "where these go: the operator's own log").await?;
    let before = fleet.cluster.get(Kind::Deployment, SYSTEM, OPERATOR).await?;
    let seen = with_own_log(&fleet).await;
    let pod = &before["spec"]["template"]["spec"];
    let lists = json!({"containers": pod["containers"], "volumes": pod["volumes"]});
    let without = json!({"spec": {"template": {"spec": lists}}});
    fleet.cluster.edit(Kind::Deployment, SYSTEM, OPERATOR, &without).await?;
    seen?;
    says(&fleet, "Enforced", "OperatorLogNotSeen", "where these go: the operator's own log").await?;
    for kind in [Kind::Secret, Kind::ConfigMap] {
        fleet.cluster.delete(kind, SYSTEM, OPERATOR_TLS).await?;
    }
    fleet.done().await
}

async fn with_own_log(fleet: &Fleet) -> Result<()> {
    let trusted = fleet.cluster.get(Kind::Secret, NAMESPACE, "operator-tls").await?["data"].clone();
    publish_identity(fleet, &json!({"data": trusted})).await?;
    let ca = fleet.cluster.get(Kind::ConfigMap, NAMESPACE, "collector-ca").await?["data"].clone();
    let ca = json!({"metadata": {"name": OPERATOR_TLS}, "data": ca});
    fleet.cluster.apply(Kind::ConfigMap, SYSTEM, &ca).await?;
    let directory = "/etc/tessera-operator/collector";
    let endpoint = format!("https://{COLLECTOR}.{NAMESPACE}.svc:{OPERATOR_PORT}");
    let container = json!({
        "name": "operator",
        "env": [{"name": "TESSERA_LOGS_ENDPOINT", "value": endpoint}, {"name": "TESSERA_LOGS_TLS", "value": directory}],
        "volumeMounts": [{"name": "collector", "mountPath": directory, "readOnly": true}],
    });
    let sources = json!([{"secret": {"name": OPERATOR_TLS}}, {"configMap": {"name": OPERATOR_TLS}}]);
    let volume = json!({"name": "collector", "projected": {"defaultMode": 0o444, "sources": sources}});
    let pod = json!({"containers": [container], "volumes": [volume]});
    let with = json!({"spec": {"template": {"spec": pod}}});
    fleet.cluster.add(Kind::Deployment, SYSTEM, OPERATOR, &with).await?;
    let accepted = "the operator's own log: each minute a canary record is accepted";
    says(fleet, "Enforced", "LedgerLogsNotSeen", accepted).await?;
    let (certificate, key) = key_pair(OPERATOR)?;
    publish_identity(fleet, &json!({"stringData": {"tls.crt": certificate, "tls.key": key}})).await?;
    says(fleet, "Violated", "OperatorLogNotAccepted", &endpoint).await?;
    publish_identity(fleet, &json!({"data": trusted})).await?;
    says(fleet, "Enforced", "LedgerLogsNotSeen", accepted).await
}

/// What the operator shows the collector.
async fn publish_identity(fleet: &Fleet, pair: &Value) -> Result<()> {
    let mut secret = pair.clone();
    secret["metadata"] = json!({"name": OPERATOR_TLS});
    secret["type"] = "kubernetes.io/tls".into();
    fleet.cluster.apply(Kind::Secret, SYSTEM, &secret).await.map(drop)
}

/// What the network's line comes to, in the end.
async fn says(fleet: &Fleet, result: &str, reason: &str, text: &str) -> Result<()> {
    wait::until(&format!("CentralLogging {result} {reason}: {text}"), BY_CANARY, || async {
        let network = fleet.cluster.get(Kind::TesseraNetwork, NAMESPACE, NETWORK).await?;
        let lines = network["status"]["checklist"]["lines"].as_array().cloned().unwrap_or_default();
        let found = lines.into_iter().find(|line| line["id"] == "CentralLogging").unwrap_or_default();
        ensure!(found["result"] == result && found["reason"] == reason, "{found}");
        ensure!(found["observed"].as_str().is_some_and(|observed| observed.contains(text)), "{found}");
        Ok(())
    })
    .await
}

fn key_pair(name: &str) -> Result<(String, String)> {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec![name.to_owned()])?;
    Ok((cert.pem(), signing_key.serialize_pem()))
}

fn with_collector(fleet: &Fleet) -> Value {
    let mut network = fleet.network_manifest();
    network["spec"]["logging"] = json!({"otlp": {
        "endpoint": format!("https://{COLLECTOR}.{NAMESPACE}.svc:{PORT}"),
        "caBundleRef": {"name": "collector-ca"},
        "egress": [{"podSelector": {"matchLabels": {"app": COLLECTOR}}, "port": PORT}],
    }});
    network
}

/// What its owner makes: its certificate, its Service, the policy that lets the nodes in, and its pod.
async fn publish_collector(fleet: &Fleet) -> Result<()> {
    let (certificate, key) = key_pair(&format!("{COLLECTOR}.{NAMESPACE}.svc"))?;
    let (operator_certificate, operator_key) = key_pair(OPERATOR)?;
    let receiver = |port: u16, clients: &str| {
        let tls = json!({
            "cert_file": "/etc/collector/tls/tls.crt", "key_file": "/etc/collector/tls/tls.key", "client_ca_file": clients,
        });
        json!({"protocols": {"http": {"endpoint": format!("0.0.0.0:{port}"), "tls": tls}}})
    };
    let config = json!({
        "receivers": {
            "otlp": receiver(PORT, "/etc/collector/clients/ca.crt"),
            "otlp/operator": receiver(OPERATOR_PORT, "/etc/collector/operator/tls.crt"),
        },
        "exporters": {"debug": {"verbosity": "detailed", "use_internal_logger": false}},
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"logs": {"receivers": ["otlp", "otlp/operator"], "exporters": ["debug"]}},
        },
    });
    let named = |name: &str, rest: Value| {
        let mut object = rest;
        object["metadata"] = json!({"name": name});
        object
    };
    let pods = json!({"matchLabels": {"app": COLLECTOR}});
    let nodes = json!({"matchLabels": {"app.kubernetes.io/name": "tessera-node"}});
    let operator = json!({
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": SYSTEM}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": OPERATOR}},
    });
    let ports = json!([{"name": "nodes", "port": PORT}, {"name": "operator", "port": OPERATOR_PORT}]);
    let tls = |certificate: &str, key: &str| json!({"stringData": {"tls.crt": certificate, "tls.key": key}});
    let objects = [
        (Kind::ConfigMap, named("collector-ca", json!({"data": {"ca.crt": certificate}}))),
        (Kind::ConfigMap, named("collector-config", json!({"data": {"config.yaml": config.to_string()}}))),
        (Kind::Secret, named("collector-tls", tls(&certificate, &key))),
        (Kind::Secret, named("operator-tls", tls(&operator_certificate, &operator_key))),
        (Kind::Service, named(COLLECTOR, json!({"spec": {"selector": {"app": COLLECTOR}, "ports": ports}}))),
        (
            Kind::NetworkPolicy,
            named(
                COLLECTOR,
                json!({"spec": {
                    "podSelector": pods,
                    "ingress": [
                        {"from": [{"podSelector": nodes}], "ports": [{"port": PORT}]},
                        {"from": [operator], "ports": [{"port": OPERATOR_PORT}]},
                    ],
                }}),
            ),
        ),
    ];
    for (kind, object) in objects {
        fleet.cluster.apply(kind, NAMESPACE, &object).await?;
    }
    start_collector(fleet).await
}

/// It trusts the network's CA for clients; its pod waits for that ConfigMap.
async fn start_collector(fleet: &Fleet) -> Result<()> {
    let mount = |name: &str, path: &str| json!({"name": name, "mountPath": path, "readOnly": true});
    let pod = json!({
        "metadata": {"name": COLLECTOR, "labels": {"app": COLLECTOR}},
        "spec": {
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "otelcol", "image": fleet.settings.collector_image,
                "args": ["--config=file:/etc/collector/config/config.yaml"],
                "volumeMounts": [
                    mount("config", "/etc/collector/config"), mount("tls", "/etc/collector/tls"),
                    mount("clients", "/etc/collector/clients"), mount("operator", "/etc/collector/operator"),
                ],
                "securityContext": {
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
                },
            }],
            "volumes": [
                {"name": "config", "configMap": {"name": "collector-config"}},
                {"name": "tls", "secret": {"secretName": "collector-tls", "defaultMode": 0o440}},
                {"name": "clients", "configMap": {"name": format!("{NETWORK}-ca")}},
                {"name": "operator", "secret": {
                    "secretName": "operator-tls", "defaultMode": 0o440, "items": [{"key": "tls.crt", "path": "tls.crt"}],
                }},
            ],
        },
    });
    // The one before may still be ending.
    wait::until("a pod of the collector", Duration::from_mins(1), || async {
        fleet.cluster.create(Kind::Pod, NAMESPACE, &pod).await.map(drop)
    })
    .await
}
