//! Sample specs for unit tests, changed by the test that needs something else.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tessera_crds::{TesseraNetwork, TesseraNode};
use tessera_pki::CaState;

use crate::kube::planned::{HASH_ANNOTATION, Planned};
use crate::network::inputs::Inputs as NetworkInputs;
use crate::node::inputs::Inputs;
use crate::settings::ClusterSettings;

/// The time of all fixtures.
pub(crate) fn now() -> Timestamp {
    "2027-01-01T00:00:00Z".parse().unwrap()
}

pub(crate) fn network_json() -> Value {
    json!({
        "apiVersion": "tessera.rs/v1alpha1", "kind": "TesseraNetwork",
        "metadata": {"name": "org-a", "namespace": "org-a", "uid": "uid-of-org-a", "generation": 1},
        "spec": {
            "trustDomain": "org-a.example",
            "secretStore": {
                "type": "Vault",
                "vault": {
                    "address": "https://vault.vault.svc:8200",
                    "caBundleRef": {"name": "vault-ca"},
                    "auth": {"role": "tessera-org-a"},
                    "kv": {"pathPrefix": "prod-eu1/org-a"},
                },
                "egress": [
                    {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "vault"}}, "port": 8200},
                    {"cidr": "192.0.2.0/28", "port": 443},
                ],
            },
            "monitoring": [{"name": "prometheus", "from": {"namespaceSelector": {"matchLabels": {"team": "sre"}}}}],
            "nodeDefaults": {"image": format!("registry/tessera-node@sha256:{}", "0".repeat(64))},
        },
    })
}

pub(crate) fn node_json(name: &str) -> Value {
    json!({
        "apiVersion": "tessera.rs/v1alpha1", "kind": "TesseraNode",
        "metadata": {"name": name, "namespace": "org-a", "uid": format!("uid-of-{name}"), "generation": 1},
        "spec": {
            "networkRef": {"name": "org-a"},
            "storage": {"type": "Embedded", "embedded": {"size": "10Gi", "storageClassName": "standard"}},
            "keys": [{"name": "main", "default": true, "type": "Vault", "rotation": {"trigger": 1}}],
            "clients": [{"name": "quorum-a", "from": [{"podSelector": {"matchLabels": {"app": "geth"}}}]}],
        },
    })
}

pub(crate) fn network(json: Value) -> TesseraNetwork {
    serde_json::from_value(json).unwrap()
}

pub(crate) fn node(json: Value) -> TesseraNode {
    serde_json::from_value(json).unwrap()
}

/// As the command line gives them by default.
pub(crate) fn settings() -> ClusterSettings {
    use clap::Parser as _;
    let args = ["tessera-operator", "--namespaces", "org-a", "--operator-namespace", "tessera-system"];
    crate::args::Args::parse_from(args).settings()
}

pub(crate) fn authorities() -> Arc<CaState> {
    Arc::new(CaState::generate("org-a", SignedDuration::from_hours(8760), now()).unwrap())
}

/// What is read for `node-a`, beside which there are `node-b` and `node-c`.
pub(crate) fn inputs() -> Inputs {
    Inputs {
        network: Some(Arc::new(network(network_json()))),
        authorities: Some(authorities()),
        siblings: ["node-c", "node-b"].map(|name| Arc::new(node(node_json(name)))).to_vec(),
        secrets: BTreeMap::new(),
        stateful_set: None,
        now: now(),
    }
}

/// What is read for `org-a`, which has no nodes.
pub(crate) fn network_inputs() -> NetworkInputs {
    NetworkInputs {
        authorities: Ok(Some(authorities())),
        store_ca: Ok(Vec::new()),
        secrets: BTreeMap::new(),
        nodes: Vec::new(),
        now: now(),
    }
}

/// Compares with a golden file; certificates are other ones each time, and that they are there is what matters.
pub(crate) fn assert_golden(kind: &str, planned: &Planned) {
    let mut body = planned.body.clone();
    if body["kind"] == "Secret" || planned.name == "org-a-ca" {
        let data = body["data"].as_object_mut().unwrap();
        data.values_mut().for_each(|value| *value = json!("<PEM>"));
        if planned.name == "org-a-ca" {
            body["metadata"]["annotations"][HASH_ANNOTATION] = json!("<hash>");
        }
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../tests/golden");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let name = format!("{kind}-{}-{}", planned.resource.kind.to_lowercase(), planned.name);
    settings.bind(|| insta::assert_yaml_snapshot!(name, body));
}
