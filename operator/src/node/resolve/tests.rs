//! One test for each way in which a node cannot be resolved, and for what resolving decides.

use std::sync::Arc;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use tessera_pki::CaState;

use super::leaves::dns_names;
use super::*;
use crate::fixtures::{inputs, network, network_json, node, node_json, settings};
use crate::issue::leaf::StoredLeaf;
use crate::kube::object_id::ObjectId;
use crate::kube::planned::Planned;
use crate::kube::write_error::WriteError;

fn resolved(node_json: Value, inputs: &Inputs) -> Resolved {
    resolve(&node(node_json), inputs, &settings()).unwrap()
}

fn error(node_json: Value, inputs: &Inputs) -> Unresolved {
    resolve(&node(node_json), inputs, &settings()).err().expect("it cannot be resolved")
}

#[test]
fn a_missing_network_is_named() {
    let inputs = Inputs { network: NetworkInput::Missing, ..inputs() };
    assert!(
        matches!(error(node_json("node-a"), &inputs), Unresolved::NetworkNotFound(name) if name == "org-a")
    );
}

#[test]
fn a_network_without_ca_is_not_ready() {
    let inputs = Inputs { authorities: None, ..inputs() };
    assert!(matches!(error(node_json("node-a"), &inputs), Unresolved::NetworkNotReady(_)));
}

#[test]
fn without_any_image_the_fields_are_named() {
    let mut without = network_json();
    without["spec"].as_object_mut().unwrap().remove("nodeDefaults");
    let inputs = Inputs { network: NetworkInput::Found(Arc::new(network(without))), ..inputs() };
    let message = error(node_json("node-a"), &inputs).to_string();
    assert!(message.contains("spec.image") && message.contains("nodeDefaults.image"), "{message}");
}

#[test]
fn an_expired_ca_issues_nothing() {
    let mut inputs = inputs();
    inputs.now += SignedDuration::from_hours(9000);
    assert!(matches!(error(node_json("node-a"), &inputs), Unresolved::Leaf(_)));
}

#[test]
fn a_good_leaf_is_kept_and_one_that_is_due_is_replaced() {
    let mut inputs = inputs();
    let first = resolved(node_json("node-a"), &inputs);
    assert!(first.tls.reissued.is_some());
    let secret = Planned::new(&first.tls.to_secret(first.owner.metadata("node-a-tls".into())).unwrap());
    let live: DynamicObject = serde_json::from_value(secret.body).unwrap();
    inputs.secrets.insert(first.tls.secret.clone(), StoredLeaf::Read(live));

    let second = resolved(node_json("node-a"), &inputs);
    assert!(second.tls.reissued.is_none());
    assert_eq!(second.tls.certificate, first.tls.certificate);

    // What is known of an unchanged Secret is as good as reading it.
    let version = kube::api::ObjectMeta { resource_version: Some("7".into()), ..Default::default() };
    inputs.secrets.insert(first.tls.secret.clone(), StoredLeaf::Known(first.tls.known_in(&version)));
    let unread = resolved(node_json("node-a"), &inputs);
    assert!(unread.tls.reissued.is_none() && unread.tls.to_secret(version.clone()).is_none());
    assert!(first.tls.known_in(&version).is_of(&version));

    inputs.now = first.tls.due_at;
    let third = resolved(node_json("node-a"), &inputs);
    assert!(third.tls.reissued.is_some());
    assert!(third.tls.certificate.not_after() > first.tls.certificate.not_after());
}

#[test]
fn names_of_the_leaf_cover_services_and_pods() {
    let names = dns_names("node-a", "org-a");
    for name in [
        "node-a.org-a.svc",
        "node-a-p2p.org-a.svc",
        "node-a.org-a.svc.cluster.local",
        "node-a-p2p.org-a.svc.cluster.local",
        "*.node-a-p2p.org-a.svc",
        "*.node-a-p2p.org-a.svc.cluster.local",
    ] {
        assert!(names.iter().any(|found| found == name), "{name} is missing in {names:?}");
    }
    assert_eq!(names.len(), 6);
}

#[test]
fn a_network_that_this_version_cannot_read_is_named() {
    let inputs = Inputs { network: NetworkInput::Unreadable("unknown variant".into()), ..inputs() };
    let message = error(node_json("node-a"), &inputs).to_string();
    assert!(message.contains("TesseraNetwork org-a") && message.contains("unknown variant"), "{message}");
}

#[test]
fn a_field_of_a_nodes_pod_replaces_the_networks_field_and_no_other() {
    let mut json = network_json();
    json["spec"]["nodeDefaults"]["pod"] = json!({
        "nodeSelector": {"disk": "ssd"}, "labels": {"team": "a", "cost": "1"}, "priorityClassName": "ledger",
        "imagePullSecrets": [{"name": "registry"}],
    });
    json["spec"]["nodeDefaults"]["resources"] = json!({"limits": {"memory": "1Gi"}});
    let inputs = Inputs { network: NetworkInput::Found(Arc::new(network(json))), ..inputs() };
    let mut own = node_json("node-a");
    own["spec"]["pod"] = json!({"labels": {"team": "b"}, "imagePullSecrets": []});
    own["spec"]["resources"] = json!({"limits": {"memory": "2Gi"}});
    let resolved = resolved(own, &inputs);
    assert_eq!(resolved.pod.labels, Some([("team".to_owned(), "b".to_owned())].into()));
    assert_eq!(resolved.pod.image_pull_secrets, Some(Vec::new()));
    assert_eq!(resolved.pod.priority_class_name.as_deref(), Some("ledger"));
    assert_eq!(resolved.pod.node_selector, Some([("disk".to_owned(), "ssd".to_owned())].into()));
    assert_eq!(resolved.resources.limits.unwrap()["memory"].0, "2Gi");
}

#[test]
fn a_client_may_have_a_certificate_that_lives_longer() {
    let mut json = node_json("node-a");
    json["spec"]["clients"][0]["certificate"] = json!({"lifetime": "2160h", "renewBefore": "720h"});
    let mut inputs = inputs();
    assert!(resolved(json.clone(), &inputs).client_tls.is_empty(), "before the authority admits it");
    let mut authorities = CaState::clone(inputs.authorities.as_deref().unwrap());
    authorities.network.longest_leaf = SignedDuration::from_hours(2160);
    inputs.authorities = Some(Arc::new(authorities));
    let resolved = resolved(json, &inputs);
    let ends = |leaf: &Leaf| leaf.certificate.not_after().duration_since(inputs.now);
    assert!(ends(&resolved.client_tls[0]) > SignedDuration::from_hours(2159));
    assert!(ends(&resolved.tls) <= SignedDuration::from_hours(24));
}

#[test]
fn nothing_is_issued_for_a_client_whose_secret_cannot_be_read() {
    let mut json = node_json("node-a");
    json["spec"]["clients"][0]["certificate"] = json!({"secretNamespace": "ledger-a"});
    let secret = ObjectId::of::<Secret>("ledger-a", "node-a-client-quorum-a");
    let with = resolved(json.clone(), &inputs());
    assert_eq!(with.client_tls[0].secret, secret);
    let failure = WriteError::NamespaceNotGiven { object: secret, to: "org-a".into() };
    let without = resolved(json, &Inputs { unread: vec![failure], ..inputs() });
    assert_eq!(without.client_tls.len(), with.client_tls.len() - 1);
    assert_eq!(without.clients, with.clients);
}
