//! A node whose payloads are in a database.

use serde_json::{Value, json};

use super::super::desired;
use crate::fixtures::{assert_golden, inputs, node, node_json, settings};
use crate::kube::planned::Planned;
use crate::node::resolve::resolve;

fn planned(client_certificate: &Value) -> Vec<Planned> {
    let mut json = node_json("node-a");
    json["spec"]["storage"] = json!({"type": "Postgres", "postgres": {
        "connection": {"type": "SecretRef", "secretRef": {"name": "payloads", "key": "url"}},
        "caBundleRef": {"name": "database-ca"},
        "clientCertificate": client_certificate,
        "egress": [{"cidr": "10.1.2.3/32", "port": 5432}],
    }});
    let desired = desired(&resolve(&node(json), &inputs(), &settings()).unwrap());
    desired.supports.into_iter().chain([desired.workload]).collect()
}

#[test]
fn it_has_no_volume_and_reaches_its_database() {
    let all = planned(&json!({"type": "Issued"}));
    for name in
        ["ConfigMap org-a/node-a-config", "NetworkPolicy org-a/node-a", "StatefulSet org-a/tessera-node-a"]
    {
        assert_golden("database", all.iter().find(|planned| planned.to_string() == name).unwrap());
    }
}

#[test]
fn it_shows_the_certificate_of_the_databases_owner_instead_of_its_own() {
    let all = planned(&json!({"type": "SecretRef", "secretRef": {"name": "database-client"}}));
    let config = all.iter().find(|planned| planned.id.name == "node-a-config").unwrap();
    let config = config.body["data"]["tessera.json"].as_str().unwrap();
    let config: Value = serde_json::from_str(config).unwrap();
    let shown = &config["tesseraNode"]["storage"]["postgres"]["clientCertificate"];
    assert_eq!(shown, "/etc/tessera/tls/database-client");
    let pod = &all.last().unwrap().body["spec"]["template"]["spec"];
    let volumes = pod["volumes"].as_array().unwrap();
    let volume = volumes.iter().find(|volume| volume["secret"]["secretName"] == "database-client").unwrap();
    let keys: Vec<_> =
        volume["secret"]["items"].as_array().unwrap().iter().map(|item| &item["key"]).collect();
    assert_eq!(keys, ["tls.crt", "tls.key"], "nothing else of the Secret");
    let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
    assert!(mounts.iter().any(|mount| mount["name"] == volume["name"] && mount["mountPath"] == *shown));
}
