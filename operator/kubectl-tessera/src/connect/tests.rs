//! What is printed for a node of the committed shape, and what is refused.

use std::num::NonZero;

use serde_json::{Value, json};
use tessera_crds::{TesseraNetwork, TesseraNode};

use super::rendered;
use super::wiring::Wiring;
use crate::args::Output;

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn network() -> TesseraNetwork {
    serde_json::from_value(json!({
        "apiVersion": "tessera.rs/v1alpha1", "kind": "TesseraNetwork",
        "metadata": {"name": "org-a", "namespace": "org-a"},
        "spec": {
            "trustDomain": "org-a.example",
            "secretStore": {"type": "Vault", "vault": {
                "address": "https://vault.vault.svc:8200",
                "caBundleRef": {"name": "vault-ca", "key": "ca.crt"},
                "auth": {"mount": "kubernetes", "role": "tessera-org-a"},
                "kv": {"mount": "secret", "pathPrefix": "prod-eu1/org-a"},
            }, "egress": [{"cidr": "10.0.0.1/32", "port": 8200}]},
            "nodeDefaults": {"image": format!("registry.example/tessera-node@{DIGEST}")},
        },
    }))
    .unwrap()
}

fn node(clients: &Value) -> TesseraNode {
    serde_json::from_value(json!({
        "apiVersion": "tessera.rs/v1alpha1", "kind": "TesseraNode",
        "metadata": {"name": "node-a", "namespace": "org-a"},
        "spec": {
            "networkRef": {"name": "org-a"},
            "storage": {"type": "Embedded", "embedded": {"size": "1Gi"}},
            "keys": [{"name": "main", "default": true, "type": "Vault"}],
            "clients": clients,
        },
    }))
    .unwrap()
}

fn geth() -> TesseraNode {
    node(&json!([{"name": "quorum-a", "from": [{"podSelector": {"matchLabels": {"app": "geth"}}}]}]))
}

fn wiring(node: &TesseraNode, client: &str, loopback: Option<u16>) -> Result<Wiring, String> {
    Wiring::new(node, &network(), "org-a", client, loopback.and_then(NonZero::new))
        .map_err(|error| error.to_string())
}

fn assert_golden(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("tests/golden");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn what_to_paste() {
    let socket = wiring(&geth(), "quorum-a", None).unwrap();
    assert_golden("socket-yaml", &rendered(&socket, None).unwrap());
    assert_golden("socket-json", &rendered(&socket, Some(Output::Json)).unwrap());
    let loopback = wiring(&geth(), "quorum-a", Some(9101)).unwrap();
    assert_golden("loopback-yaml", &rendered(&loopback, None).unwrap());
}

#[test]
fn the_ledger_is_where_its_certificate_is() {
    let with = |from: Value| {
        let certificate = json!({"secretNamespace": "ledgers"});
        let node = node(&json!([{"name": "quorum-a", "certificate": certificate, "from": from}]));
        wiring(&node, "quorum-a", None).unwrap()
    };
    let apart = with(json!([
        {"podSelector": {"matchLabels": {"app": "geth"}},
         "namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "In", "values": ["a", "b"]}]}},
        {"ipBlock": {"cidr": "10.1.0.0/16"}},
    ]));
    assert_eq!(apart.secret.namespace, "ledgers");
    assert_eq!(
        apart.remarks[0],
        "the ledger's pod must be in namespace ledgers, where its certificate is, and be one of spec.clients[].from: a pod with app=geth in a namespace with team In (a, b); or a pod with an address of 10.1.0.0/16"
    );
    assert!(!apart.remarks[1].contains("namespaceSelector"), "{:?}", apart.remarks);
    let shut_out = with(json!([{"podSelector": {"matchLabels": {"app": "geth"}}}]));
    assert!(shut_out.remarks[1].contains("add one with a namespaceSelector"), "{:?}", shut_out.remarks);
}

#[test]
fn the_image_is_the_one_with_which_the_node_serves() {
    let mut node = geth();
    let served = format!("registry.example/served@{DIGEST}");
    let status = json!({"images": {"served": served}});
    node.status = Some(serde_json::from_value(status).unwrap());
    let sidecar = &wiring(&node, "quorum-a", None).unwrap().pod_spec.init_containers.unwrap()[0];
    assert_eq!(sidecar.image.as_deref(), Some(&*served));
}

#[test]
fn a_pull_secret_of_the_node_is_remarked() {
    let mut node = geth();
    node.spec.pod = serde_json::from_value(json!({"imagePullSecrets": [{"name": "registry"}]})).unwrap();
    let remarks = wiring(&node, "quorum-a", None).unwrap().remarks;
    assert!(remarks.last().unwrap().starts_with("nodes pull this image with Secret registry"), "{remarks:?}");
}

#[test]
fn an_unknown_client_is_answered_with_those_that_there_are() {
    let error = wiring(&geth(), "besu-a", None).unwrap_err();
    assert!(error.contains("declares no client \"besu-a\": it has quorum-a;"), "{error}");
}
