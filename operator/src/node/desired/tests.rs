//! Each object whole, once.

use super::desired;
use crate::fixtures::{
    assert_golden, inputs, network as network_of, network_json, node, node_json, settings,
};
use crate::kube::planned::Planned;
use crate::node::inputs::NetworkInput;
use crate::node::resolve::{CURRENT_REVISION, resolve};
use crate::node::rollout::{LiveWorkload, TEMPLATE_HASH};

#[test]
fn every_object_is_as_it_was_agreed() {
    let resolved = resolve(&node(node_json("node-a")), &inputs(), &settings()).unwrap();
    let desired = desired(&resolved);
    for planned in desired.supports.iter().chain([&desired.workload]) {
        assert_golden("node", planned);
    }
}

#[test]
fn a_client_in_another_namespace_has_its_secret_there_without_an_owner() {
    let mut json = node_json("node-a");
    json["spec"]["clients"][0]["certificate"] = serde_json::json!({"secretNamespace": "ledger-a"});
    let resolved = resolve(&node(json), &inputs(), &settings()).unwrap();
    let desired = desired(&resolved);
    let elsewhere: Vec<_> =
        desired.supports.iter().filter(|planned| planned.id.namespace == "ledger-a").collect();
    assert_eq!(elsewhere.len(), 1);
    assert_golden("elsewhere", elsewhere[0]);
    assert!(desired.names(&resolved).contains(&elsewhere[0].id));
}

#[test]
fn in_a_shared_namespace_no_client_needs_to_be_let_out() {
    let mut resolved = resolve(&node(node_json("node-a")), &inputs(), &settings()).unwrap();
    resolved.dedicated = false;
    let names: Vec<_> = desired(&resolved).supports.into_iter().map(|planned| planned.to_string()).collect();
    assert!(names.contains(&"NetworkPolicy org-a/node-a".to_owned()), "{names:?}");
    assert!(!names.contains(&"NetworkPolicy org-a/node-a-client-quorum-a".to_owned()), "{names:?}");
}

#[test]
fn the_policies_of_clients_with_several_peers_have_names_of_their_own() {
    let mut json = node_json("node-a");
    let peer = |app: &str| serde_json::json!({"podSelector": {"matchLabels": {"app": app}}});
    json["spec"]["clients"] = serde_json::json!([
        {"name": "geth", "from": [peer("one"), peer("two")]},
        {"name": "geth-1", "from": [peer("three")]},
    ]);
    let resolved = resolve(&node(json), &inputs(), &settings()).unwrap();
    let mut names: Vec<_> = desired(&resolved).supports.iter().map(ToString::to_string).collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all, "two objects of one name replace each other permanently: {names:?}");
}

#[test]
fn a_node_without_clients_and_scrapers_lets_nobody_in_by_an_empty_list() {
    let mut resolved = resolve(&node(node_json("node-a")), &inputs(), &settings()).unwrap();
    resolved.clients.clear();
    resolved.monitoring.clear();
    let policy = desired(&resolved).supports.swap_remove(0);
    let ingress = policy.body["spec"]["ingress"].as_array().unwrap();
    assert_eq!(ingress.len(), 2, "peers and operator: {ingress:?}");
    assert!(ingress.iter().all(|rule| !rule["from"].as_array().unwrap().is_empty()));
}

#[test]
fn claim_templates_of_a_workload_that_exists_stay_as_they_are() {
    let mut resolved = resolve(&node(node_json("node-a")), &inputs(), &settings()).unwrap();
    let mut live = desired(&resolved).workload.body;
    // As an older version made them, with another size and without the labels of today.
    live["spec"]["volumeClaimTemplates"][0]["metadata"]["labels"] = serde_json::json!({"of": "old"});
    live["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] = "5Gi".into();
    resolved.workload = Some(LiveWorkload::of(&serde_json::from_value(live.clone()).unwrap()));
    let planned = desired(&resolved).workload.body;
    assert_eq!(planned["spec"]["volumeClaimTemplates"], live["spec"]["volumeClaimTemplates"]);
    let hash = |body: &serde_json::Value| body["metadata"]["annotations"][TEMPLATE_HASH].clone();
    assert_eq!(hash(&planned), hash(&live), "the template is the same");
}

#[test]
fn settings_of_the_user_are_in_the_pod_and_none_replaces_ours() {
    let mut json = node_json("node-a");
    json["spec"]["restartTrigger"] = 2.into();
    json["spec"]["privacy"] = serde_json::json!({"enhancements": true});
    json["spec"]["pod"] = serde_json::json!({
        "labels": {"team": "a", "tessera.rs/node": "node-b"}, "annotations": {"example.com/team": "a"},
        "priorityClassName": "ledger", "imagePullSecrets": [{"name": "registry"}],
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        "affinity": {"podAntiAffinity": {}},
    });
    let desired = desired(&resolve(&node(json), &inputs(), &settings()).unwrap());
    let template = &desired.workload.body["spec"]["template"];
    assert_eq!(template["metadata"]["labels"]["team"], "a");
    assert_eq!(
        template["metadata"]["labels"]["tessera.rs/node"], "node-a",
        "admission refuses it; so does this"
    );
    assert_eq!(template["metadata"]["annotations"]["example.com/team"], "a");
    assert_eq!(template["metadata"]["annotations"]["tessera.rs/restart-trigger"], "2");
    assert_eq!(template["spec"]["priorityClassName"], "ledger");
    assert_eq!(template["spec"]["imagePullSecrets"][0]["name"], "registry");
    assert_eq!(template["spec"]["topologySpreadConstraints"][0]["topologyKey"], "zone");
    assert!(template["spec"]["affinity"]["podAntiAffinity"].is_object());
    let config = desired.supports.iter().find(|planned| planned.id.name == "node-a-config").unwrap();
    let config: serde_json::Value = serde_json::from_str(
        config.body["data"].as_object().unwrap().values().next().unwrap().as_str().unwrap(),
    )
    .unwrap();
    assert_eq!(config["features"]["enablePrivacyEnhancements"], true);
}

#[test]
fn where_the_platform_assigns_groups_the_pod_names_neither_user_nor_group() {
    let mut settings = settings();
    settings.node_fs_group = None;
    let desired = desired(&resolve(&node(node_json("node-a")), &inputs(), &settings).unwrap());
    let context = &desired.workload.body["spec"]["template"]["spec"]["securityContext"];
    assert_eq!(context["runAsNonRoot"], true);
    for field in ["runAsUser", "runAsGroup", "fsGroup"] {
        assert!(context[field].is_null(), "{field}: {context}");
    }
}

#[test]
fn nodes_of_a_network_are_spread_over_machines_unless_the_user_says_otherwise() {
    let constraints = |user: serde_json::Value| {
        let mut json = node_json("node-a");
        json["spec"]["pod"] = serde_json::json!({"topologySpreadConstraints": user});
        let workload = desired(&resolve(&node(json), &inputs(), &settings()).unwrap()).workload;
        workload.body["spec"]["template"]["spec"]["topologySpreadConstraints"].clone()
    };
    let default = constraints(serde_json::Value::Null);
    assert_eq!(default[0]["topologyKey"], "kubernetes.io/hostname");
    assert_eq!(default[0]["whenUnsatisfiable"], "ScheduleAnyway");
    assert_eq!(default[0]["labelSelector"]["matchLabels"]["tessera.rs/network"], "org-a");
    assert!(
        constraints(serde_json::json!([])).is_null(),
        "an empty list is none, as the API server stores it"
    );
}

/// Every setting of a user that is in the template.
fn every_setting() -> serde_json::Value {
    let mut json = node_json("node-a");
    json["spec"]["restartTrigger"] = 2.into();
    json["spec"]["privacy"] = serde_json::json!({"enhancements": true});
    json["spec"]["resources"] = serde_json::json!({"limits": {"memory": "1Gi"}});
    json["spec"]["pod"] = serde_json::json!({
        "labels": {"team": "a"}, "annotations": {"example.com/team": "a"}, "nodeSelector": {"disk": "fast"},
        "tolerations": [{"operator": "Exists"}], "affinity": {"podAntiAffinity": {}},
        "topologySpreadConstraints": [], "priorityClassName": "ledger", "imagePullSecrets": [{"name": "registry"}],
    });
    json
}

#[test]
fn the_template_of_a_revision_is_frozen() {
    // By hand: no tool that accepts new goldens may accept another template, which would restart every node when the
    // operator is upgraded. A template that changes is a new revision, in a file of its own.
    const FROZEN: [&str; CURRENT_REVISION as usize] = [
        include_str!("../../../tests/frozen/template.revision-1.json"),
        include_str!("../../../tests/frozen/template.revision-2.json"),
        // The same, but of a node with a database, whose template of this revision is a golden of its own.
        include_str!("../../../tests/frozen/template.revision-2.json"),
    ];
    for (revision, frozen) in (1..).zip(FROZEN) {
        let template = |json| {
            let resolved = resolve(&node(json), &inputs(), &settings()).unwrap();
            let ledgers = super::placement::away_from_ledgers(&resolved);
            serde_json::to_value(super::stateful_set::template(&resolved, revision, &ledgers, &[])).unwrap()
        };
        let now = serde_json::json!({"plain": template(node_json("node-a")), "settings": template(every_setting())});
        let frozen: serde_json::Value = serde_json::from_str(frozen).unwrap();
        assert_eq!(now, frozen, "revision {revision}: {now:#}");
    }
}

#[test]
fn a_collector_of_logs_opens_its_egress_and_changes_nothing_else_of_the_node() {
    let mut network = network_json();
    network["spec"]["logging"] = serde_json::json!({"otlp": {
        "endpoint": "https://otel.logs.svc:4318", "caBundleRef": {"name": "otel-ca"},
        "egress": [{"cidr": "192.0.2.16/28", "port": 4318}],
    }});
    let mut with = inputs();
    let without = desired(&resolve(&node(node_json("node-a")), &with, &settings()).unwrap());
    with.network = NetworkInput::Found(network_of(network).into());
    let with = desired(&resolve(&node(node_json("node-a")), &with, &settings()).unwrap());
    assert_eq!(with.workload.body["spec"]["template"], without.workload.body["spec"]["template"]);
    let rules = |supports: &[Planned]| {
        let policy = supports.iter().find(|planned| planned.to_string() == "NetworkPolicy org-a/node-a");
        policy.unwrap().body["spec"]["egress"].as_array().unwrap().clone()
    };
    let (more, fewer) = (rules(&with.supports), rules(&without.supports));
    assert_eq!(more[..fewer.len()], fewer);
    assert_eq!(
        more[fewer.len()..],
        [
            serde_json::json!({"to": [{"ipBlock": {"cidr": "192.0.2.16/28"}}], "ports": [{"protocol": "TCP", "port": 4318}]})
        ]
    );
    let others = |supports: &[Planned]| {
        let configs = supports.iter().filter(|planned| planned.id.kind == "ConfigMap");
        configs.map(|planned| planned.body["data"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(others(&with.supports), others(&without.supports));
}

#[test]
fn the_pod_has_the_store_s_client_certificate_if_the_network_names_one() {
    let with = |certificate: serde_json::Value| {
        let mut json = network_json();
        json["spec"]["secretStore"]["vault"]["clientCertificate"] = certificate;
        let mut inputs = inputs();
        inputs.network = NetworkInput::Found(network_of(json).into());
        let desired = desired(&resolve(&node(node_json("node-a")), &inputs, &settings()).unwrap());
        let config = desired.supports.iter().find(|planned| planned.id.name == "node-a-config").unwrap();
        let config = config.body["data"]["tessera.json"].as_str().unwrap();
        let config: serde_json::Value = serde_json::from_str(config).unwrap();
        let spec = desired.workload.body["spec"]["template"]["spec"].clone();
        (config["tesseraNode"]["secretStore"]["clientCertificate"].clone(), spec)
    };
    let volume = |spec: &serde_json::Value| {
        let volumes = spec["volumes"].as_array().unwrap();
        volumes.iter().find(|volume| volume["name"] == "store-client-tls").cloned()
    };
    let (directory, spec) = with(serde_json::Value::Null);
    assert_eq!((directory, volume(&spec)), (serde_json::Value::Null, None));
    let (directory, spec) = with(serde_json::json!({"type": "Issued"}));
    assert_eq!((directory, volume(&spec)), ("/etc/tessera/tls/node".into(), None));

    let (directory, spec) =
        with(serde_json::json!({"type": "SecretRef", "secretRef": {"name": "vault-client"}}));
    let volume = volume(&spec).expect("it is mounted");
    assert_eq!(volume["secret"]["secretName"], "vault-client");
    assert_eq!(volume["secret"]["items"].as_array().unwrap().len(), 2, "nothing else of the Secret");
    let mounts = spec["containers"][0]["volumeMounts"].as_array().unwrap();
    let mount = mounts.iter().find(|mount| mount["name"] == "store-client-tls").unwrap();
    assert_eq!((&mount["mountPath"], &mount["readOnly"]), (&directory, &true.into()));
}

fn importing(import: serde_json::Value) -> crate::node::resolve::Resolved {
    let mut json = node_json("node-a");
    json["spec"]["keys"][0]["import"] = import;
    resolve(&node(json), &inputs(), &settings()).unwrap()
}

fn java_key() -> serde_json::Value {
    serde_json::json!({
        "secretRef": {"name": "java-key", "key": "tm.key"},
        "passwordSecretRef": {"name": "java-key", "key": "tm.password"},
        "publicKey": "BULeR8JyUWhiuuCMU/HLA0Q5pzkYT+cHII3ZKBey3Bo=",
    })
}

#[test]
fn secrets_of_a_key_to_import_are_mounted_in_part_and_need_not_be_there() {
    let desired = desired(&importing(java_key()));
    let spec = &desired.workload.body["spec"]["template"]["spec"];
    let volume =
        spec["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == "imports").unwrap();
    let source = |key: &str, path: &str| serde_json::json!({"secret": {"name": "java-key", "items": [{"key": key, "path": path}], "optional": true}});
    assert_eq!(volume["projected"]["defaultMode"], 0o440);
    assert_eq!(
        volume["projected"]["sources"],
        serde_json::json!([source("tm.key", "main/key"), source("tm.password", "main/password")])
    );
    let mounts = spec["containers"][0]["volumeMounts"].as_array().unwrap();
    let mount = mounts.iter().find(|mount| mount["name"] == "imports").unwrap();
    assert_eq!((&mount["mountPath"], &mount["readOnly"]), (&"/etc/tessera/import".into(), &true.into()));
    assert!(mount["subPath"].is_null(), "the kubelet would not renew it");
    let config = desired.supports.iter().find(|planned| planned.id.name == "node-a-dynamic").unwrap();
    assert_golden("import", config);
}

#[test]
fn the_end_of_an_import_rolls_no_pod_and_its_volume_goes_with_the_next_template() {
    let live = desired(&importing(java_key())).workload.body;
    let planned_upon = |import: serde_json::Value, restarts: i64| {
        let mut resolved = importing(import);
        resolved.restart_trigger = restarts;
        resolved.workload = Some(LiveWorkload::of(&serde_json::from_value(live.clone()).unwrap()));
        desired(&resolved).workload.body
    };
    let hash = |body: &serde_json::Value| body["metadata"]["annotations"][TEMPLATE_HASH].clone();
    let has_volume = |body: &serde_json::Value| body.to_string().contains("java-key");
    let ended = planned_upon(serde_json::Value::Null, 0);
    assert!(hash(&ended) == hash(&live) && has_volume(&ended), "no restart");
    let restarted = planned_upon(serde_json::Value::Null, 1);
    assert!(hash(&restarted) != hash(&live) && !has_volume(&restarted), "the next template is without");
    let mut other = java_key();
    other["secretRef"]["name"] = "another".into();
    let changed = planned_upon(other, 0);
    assert!(hash(&changed) != hash(&live) && changed.to_string().contains("another"), "it must be mounted");
}

mod database;
mod reach;
