//! Each object whole, once.

use super::{Desired, desired};
use crate::fixtures::{assert_golden, network, network_inputs, network_json, node, node_json, settings};
use crate::network::logging::CollectorCa;
use crate::network::resolve::resolve;
use crate::node::image_check::Untried;
use tessera_node_api::dynamic_config::Logging;

fn desired_with(isolation: &str) -> Desired {
    let mut json = network_json();
    json["spec"]["namespaceIsolation"] = isolation.into();
    desired(&resolve(&network(json), &network_inputs()).unwrap(), &settings())
}

#[test]
fn every_object_is_as_it_was_agreed() {
    let desired = desired_with("Dedicated");
    assert!(desired.authorities.is_none(), "those that exist are never written again");
    for planned in &desired.objects {
        assert_golden("network", planned);
    }
}

#[test]
fn the_pod_that_tries_an_image_is_as_it_was_agreed() {
    let mut inputs = network_inputs();
    let pod =
        serde_json::json!({"imagePullSecrets": [{"name": "registry"}], "nodeSelector": {"disk": "fast"}});
    let image = |digit: &str| format!("registry.example/tessera-node@sha256:{}", digit.repeat(64));
    let untried = |digit, pod: &serde_json::Value| Untried {
        image: image(digit),
        pod: serde_json::from_value(pod.clone()).unwrap(),
    };
    inputs.untried = vec![untried("1", &pod), untried("2", &pod), untried("2", &serde_json::json!({}))];
    let desired = desired(&resolve(&network(network_json()), &inputs).unwrap(), &settings());
    assert_golden("network", &desired.image_checks[0]);
    let names: std::collections::BTreeSet<_> =
        desired.image_checks.iter().map(|planned| &planned.id.name).collect();
    assert_eq!(names.len(), 3, "a change of the image, or of where it is tried, is another pod");
}

#[test]
fn in_a_shared_namespace_only_nodes_are_denied() {
    let objects = desired_with("Shared").objects;
    let names: Vec<_> =
        objects.iter().map(|planned| format!("{} {}", planned.id.kind, planned.id.name)).collect();
    assert_eq!(
        names,
        [
            "NetworkPolicy org-a-nodes-deny",
            "ConfigMap org-a-ca",
            "ConfigMap org-a-peers",
            "Secret org-a-monitoring-prometheus"
        ]
    );
}

#[test]
fn new_authorities_are_stored_before_anything_is_issued() {
    let mut inputs = network_inputs();
    inputs.authorities = Ok(None);
    let resolved = resolve(&network(network_json()), &inputs).unwrap();
    let desired = desired(&resolved, &settings());
    let authorities = desired.authorities.expect("they are to be created");
    assert_eq!(authorities.to_string(), "Secret tessera-system/tessera-ca-org-a.org-a");
    assert_eq!(authorities.owner, None, "an owner in another namespace is not possible");
    assert!(desired.objects.iter().all(|planned| planned.resource.kind != "Secret"));
}

#[test]
fn the_peers_are_all_nodes_but_those_that_stalled_before_they_had_a_key() {
    let peers = |statuses: &[serde_json::Value]| {
        let mut inputs = network_inputs();
        for (status, name) in statuses.iter().zip(["node-b", "node-a"]) {
            let mut json = node_json(name);
            json["status"] = status.clone();
            inputs.nodes.push(std::sync::Arc::new(node(json)));
        }
        resolve(&network(network_json()), &inputs).unwrap().peers
    };
    let stalled = serde_json::json!([{"type": "Stalled", "status": "True", "reason": "NameConflict", "message": "",
        "lastTransitionTime": "2027-01-01T00:00:00Z"}]);
    let key = serde_json::json!([{"name": "main", "version": 1, "publicKey": "k", "state": "Default"}]);
    let on_its_way = serde_json::json!({"conditions": []});
    let urls = ["https://node-a-p2p.org-a.svc:9000/", "https://node-b-p2p.org-a.svc:9000/"];
    assert_eq!(peers(&[on_its_way.clone(), on_its_way.clone()]), urls);
    let never = serde_json::json!({"conditions": stalled});
    assert_eq!(peers(&[never, on_its_way.clone()]), urls[..1]);
    let may_return = serde_json::json!({"conditions": stalled, "keys": key});
    assert_eq!(peers(&[may_return, on_its_way]), urls);
}

#[test]
fn nodes_are_given_what_they_must_not_reach_each_once() {
    let mut json = network_json();
    json["spec"]["checklist"] = serde_json::json!({"mustNotReach": ["192.0.2.7:5432", "169.254.169.254:80"]});
    let objects = desired(&resolve(&network(json), &network_inputs()).unwrap(), &settings()).objects;
    let peers = objects.into_iter().find(|planned| planned.id.name == "org-a-peers").unwrap();
    let egress: tessera_node_api::dynamic_config::Egress =
        serde_json::from_str(peers.body["data"]["egress.json"].as_str().unwrap()).unwrap();
    assert_eq!(egress.must_not_reach, ["169.254.169.254:80", "192.0.2.7:5432"]);
}

#[test]
fn a_collector_of_logs_is_one_more_file_beside_the_peers_and_changes_nothing_else() {
    let with = |ca: CollectorCa| {
        let mut json = network_json();
        json["spec"]["logging"] = serde_json::json!({"otlp": {
            "endpoint": "https://otel.logs.svc:4318", "caBundleRef": {"name": "otel-ca"},
            "egress": [{"cidr": "192.0.2.0/28", "port": 4318}],
        }});
        let mut inputs = network_inputs();
        inputs.collector_ca = ca;
        let objects = desired(&resolve(&network(json), &inputs).unwrap(), &settings()).objects;
        objects.into_iter().find(|planned| planned.id.name == "org-a-peers").unwrap().body["data"].clone()
    };
    let without = desired_with("Dedicated").objects;
    let without = without.iter().find(|planned| planned.id.name == "org-a-peers").unwrap();
    let data = with(CollectorCa::Found("PEM".into()));
    assert_eq!(data["peers.json"], without.body["data"]["peers.json"]);
    assert_eq!(without.body["data"].as_object().unwrap().len(), 2);
    let logging = |data: &serde_json::Value| -> Logging {
        serde_json::from_str(data["logging.json"].as_str().unwrap()).unwrap()
    };
    let expected =
        Logging { version: 1, endpoint: "https://otel.logs.svc:4318".into(), ca_bundle: "PEM".into() };
    assert_eq!(logging(&data), expected);
    let missing = with(CollectorCa::Missing("it is not there".into()));
    assert_eq!(logging(&missing).ca_bundle, "", "the node says that it ships nothing");
}

#[test]
fn partners_are_one_more_file_beside_the_peers_and_an_empty_bundle_cuts_one_off() {
    let partner = |name: &str| {
        serde_json::json!({
            "name": name, "trustDomain": format!("{name}.example"), "caBundleRef": {"name": format!("{name}-ca")},
            "dnsNames": [format!("*.tm.{name}.example")], "urls": [format!("https://a.tm.{name}.example:9000")],
            "egress": [{"cidr": "203.0.113.0/28", "port": 9000}],
        })
    };
    let mut json = network_json();
    json["spec"]["partners"] = [partner("org-c"), partner("org-b")].into();
    let mut inputs = network_inputs();
    let pem = crate::fixtures::authorities().network.roots_pem();
    let missing = Err("ConfigMap org-c-ca does not exist".to_owned());
    inputs.partner_bundles = [("org-b".into(), Ok(pem.clone())), ("org-c".into(), missing)].into();
    let objects = desired(&resolve(&network(json), &inputs).unwrap(), &settings()).objects;
    let peers = objects.into_iter().find(|planned| planned.id.name == "org-a-peers").unwrap();
    let file: serde_json::Value =
        serde_json::from_str(peers.body["data"]["partners.json"].as_str().unwrap()).unwrap();
    let expected = serde_json::json!({"version": 1, "partners": [{
        "name": "org-b", "trustDomain": "org-b.example", "dnsNames": ["*.tm.org-b.example"],
        "urls": ["https://a.tm.org-b.example:9000"], "caBundle": pem,
    }, {
        "name": "org-c", "trustDomain": "org-c.example", "dnsNames": ["*.tm.org-c.example"],
        "urls": ["https://a.tm.org-c.example:9000"], "caBundle": "",
    }]});
    assert_eq!(file, expected);
}

#[test]
fn the_operator_has_a_leaf_for_a_store_that_trusts_the_network_s_ca() {
    let leaf = |certificate: serde_json::Value| {
        let mut json = network_json();
        json["spec"]["secretStore"]["vault"]["clientCertificate"] = certificate;
        let objects = desired(&resolve(&network(json), &network_inputs()).unwrap(), &settings()).objects;
        objects.into_iter().find(|planned| planned.id.name == "org-a-store-client")
    };
    let issued = leaf(serde_json::json!({"type": "Issued"})).expect("it is issued");
    assert_eq!((issued.id.kind.as_str(), &issued.body["type"]), ("Secret", &"kubernetes.io/tls".into()));
    assert!(leaf(serde_json::json!({"type": "SecretRef", "secretRef": {"name": "v"}})).is_none());
    assert!(leaf(serde_json::Value::Null).is_none());
}
