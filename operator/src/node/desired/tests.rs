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
fn a_client_outside_the_cluster_is_let_in_by_address() {
    let mut json = node_json("node-a");
    json["spec"]["clients"] =
        serde_json::json!([{"name": "vm", "from": [{"ipBlock": {"cidr": "192.0.2.0/28"}}]}]);
    let supports = desired(&resolve(&node(json), &inputs(), &settings()).unwrap()).supports;
    let policy = supports.iter().find(|planned| planned.to_string() == "NetworkPolicy org-a/node-a").unwrap();
    let ingress = policy.body["spec"]["ingress"].as_array().unwrap();
    assert!(ingress.iter().any(|rule| rule["from"][0]["ipBlock"]["cidr"] == "192.0.2.0/28"), "{ingress:?}");
    let names: Vec<_> = supports.iter().map(ToString::to_string).collect();
    assert!(
        !names.contains(&"NetworkPolicy org-a/node-a-client-vm".to_owned()),
        "no pod is let out: {names:?}"
    );
}

/// A network and a node that name addresses of these families only.
fn of_family(cidrs: &[&str], store: &str) -> Vec<Planned> {
    let mut network = network_json();
    network["spec"]["secretStore"]["vault"]["address"] = store.into();
    let egress = cidrs.iter().map(|cidr| serde_json::json!({"cidr": cidr, "port": 8200}));
    network["spec"]["secretStore"]["egress"] = egress.collect();
    let mut json = node_json("node-a");
    let from = cidrs.iter().map(|cidr| serde_json::json!({"ipBlock": {"cidr": cidr}}));
    json["spec"]["clients"] = serde_json::json!([{"name": "vm", "from": from.collect::<Vec<_>>()}]);
    let mut inputs = inputs();
    inputs.network = NetworkInput::Found(network_of(network).into());
    desired(&resolve(&node(json), &inputs, &settings()).unwrap()).supports
}

#[test]
fn objects_are_of_the_address_families_that_the_spec_names() {
    let families = [
        ("ipv4", vec!["192.0.2.0/28"], "https://192.0.2.1:8200"),
        ("ipv6", vec!["2001:db8::/64"], "https://[2001:db8::1]:8200"),
        ("dual", vec!["192.0.2.0/28", "2001:db8::/64"], "https://vault.example:8200"),
    ];
    for (family, cidrs, store) in families {
        let supports = of_family(&cidrs, store);
        for object in ["NetworkPolicy org-a/node-a", "ConfigMap org-a/node-a-config", "Service org-a/node-a"]
        {
            let planned = supports.iter().find(|planned| planned.to_string() == object).unwrap();
            assert_golden(family, planned);
        }
        // Whatever the pod's addresses are, the node listens on them.
        let all: String = supports.iter().map(|planned| planned.body.to_string()).collect();
        assert!(!all.contains("0.0.0.0") && all.matches("[::]:").count() == 4, "{family}");
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
    ];
    for (revision, frozen) in (1..).zip(FROZEN) {
        let template = |json| {
            let resolved = resolve(&node(json), &inputs(), &settings()).unwrap();
            let ledgers = super::placement::away_from_ledgers(&resolved);
            serde_json::to_value(super::stateful_set::template(&resolved, revision, &ledgers)).unwrap()
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

#[test]
fn partners_open_p2p_both_ways_and_change_nothing_else_of_the_node() {
    let policy = |partners: serde_json::Value| {
        let mut json = network_json();
        json["spec"]["partners"] = partners;
        let mut inputs = inputs();
        inputs.network = NetworkInput::Found(network_of(json).into());
        let desired = desired(&resolve(&node(node_json("node-a")), &inputs, &settings()).unwrap());
        let policy =
            desired.supports.iter().find(|planned| planned.to_string() == "NetworkPolicy org-a/node-a");
        let template = desired.workload.body["spec"]["template"].clone();
        (policy.unwrap().body["spec"].clone(), template)
    };
    let (without, template) = policy(serde_json::json!([]));
    let (with, same) = policy(serde_json::json!([{
        "name": "org-b", "trustDomain": "org-b.example", "caBundleRef": {"name": "org-b-ca"},
        "dnsNames": ["*.tm.org-b.example"],
        "egress": [{"cidr": "203.0.113.0/28", "port": 9001}],
        "from": [{"ipBlock": {"cidr": "203.0.113.16/28"}}, {"namespaceSelector": {"matchLabels": {"org": "b"}}}],
    }]));
    assert_eq!(template, same, "no pod is replaced");
    let rules = |policy: &serde_json::Value, way: &str| policy[way].as_array().unwrap().clone();
    let p2p = |policy: &serde_json::Value| rules(policy, "ingress")[0].clone();
    assert_eq!(p2p(&with)["ports"], p2p(&without)["ports"]);
    assert_eq!(p2p(&without)["from"].as_array().unwrap().len(), 1);
    assert_eq!(
        p2p(&with)["from"].as_array().unwrap()[1..],
        [
            serde_json::json!({"ipBlock": {"cidr": "203.0.113.16/28"}}),
            serde_json::json!({"namespaceSelector": {"matchLabels": {"org": "b"}}, "podSelector": {}}),
        ]
    );
    assert_eq!(rules(&with, "ingress")[1..], rules(&without, "ingress")[1..]);
    let (more, fewer) = (rules(&with, "egress"), rules(&without, "egress"));
    assert_eq!(more[..fewer.len()], fewer);
    let to_partner = serde_json::json!({
        "to": [{"ipBlock": {"cidr": "203.0.113.0/28"}}], "ports": [{"protocol": "TCP", "port": 9001}],
    });
    assert_eq!(more[fewer.len()..], [to_partner]);
}
