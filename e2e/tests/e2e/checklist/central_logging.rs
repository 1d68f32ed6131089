//! Nodes ship their logs to a collector; one that is gone is seen, and so is its return.

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
    line(&fleet, Kind::TesseraNetwork, NETWORK, "CentralLogging", "Enforced", "LedgerLogsNotSeen").await?;
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
    line(&fleet, Kind::TesseraNetwork, NETWORK, "CentralLogging", "Enforced", "LedgerLogsNotSeen").await?;
    checklist_record::healed("CentralLogging")?;
    fleet.done().await
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
    let name = format!("{COLLECTOR}.{NAMESPACE}.svc");
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(vec![name])?;
    let config = json!({
        "receivers": {"otlp": {"protocols": {"http": {
            "endpoint": format!("0.0.0.0:{PORT}"),
            "tls": {
                "cert_file": "/etc/collector/tls/tls.crt", "key_file": "/etc/collector/tls/tls.key",
                "client_ca_file": "/etc/collector/clients/ca.crt",
            },
        }}}},
        "exporters": {"debug": {"verbosity": "detailed", "use_internal_logger": false}},
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"logs": {"receivers": ["otlp"], "exporters": ["debug"]}},
        },
    });
    let named = |name: &str, rest: Value| {
        let mut object = rest;
        object["metadata"] = json!({"name": name});
        object
    };
    let pods = json!({"matchLabels": {"app": COLLECTOR}});
    let nodes = json!({"matchLabels": {"app.kubernetes.io/name": "tessera-node"}});
    let objects = [
        (Kind::ConfigMap, named("collector-ca", json!({"data": {"ca.crt": cert.pem()}}))),
        (Kind::ConfigMap, named("collector-config", json!({"data": {"config.yaml": config.to_string()}}))),
        (
            Kind::Secret,
            named(
                "collector-tls",
                json!({"stringData": {"tls.crt": cert.pem(), "tls.key": signing_key.serialize_pem()}}),
            ),
        ),
        (
            Kind::Service,
            named(COLLECTOR, json!({"spec": {"selector": {"app": COLLECTOR}, "ports": [{"port": PORT}]}})),
        ),
        (
            Kind::NetworkPolicy,
            named(
                COLLECTOR,
                json!({"spec": {
                    "podSelector": pods,
                    "ingress": [{"from": [{"podSelector": nodes}], "ports": [{"port": PORT}]}],
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
                    mount("clients", "/etc/collector/clients"),
                ],
                "securityContext": {
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
                },
            }],
            "volumes": [
                {"name": "config", "configMap": {"name": "collector-config"}},
                {"name": "tls", "secret": {"secretName": "collector-tls", "defaultMode": 0o440}},
                {"name": "clients", "configMap": {"name": format!("{NETWORK}-ca")}},
            ],
        },
    });
    // The one before may still be ending.
    wait::until("a pod of the collector", Duration::from_mins(1), || async {
        fleet.cluster.create(Kind::Pod, NAMESPACE, &pod).await.map(drop)
    })
    .await
}
