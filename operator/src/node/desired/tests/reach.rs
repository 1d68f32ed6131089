//! Who reaches the node from outside: clients by address, partners, load balancers.

use super::*;

#[test]
fn an_exposed_node_has_a_load_balancer_an_address_for_the_world_and_a_certificate_for_it() {
    let mut json = node_json("node-a");
    json["spec"]["exposure"] = serde_json::json!({"type": "LoadBalancer", "loadBalancer": {
        "advertisedURL": "https://a.world.example:9443", "sourceCIDRs": ["203.0.113.0/28", "198.51.100.7/32"],
        "class": "example.com/internal", "annotations": {"example.com/pool": "partners"},
    }});
    let resolved = resolve(&node(json), &inputs(), &settings()).unwrap();
    let desired = desired(&resolved);
    let object = |name: &str| desired.supports.iter().find(|planned| planned.to_string() == name).unwrap();
    assert_golden("exposed", object("Service org-a/node-a-exposed"));
    assert_golden("exposed", object("NetworkPolicy org-a/node-a"));
    let config = object("ConfigMap org-a/node-a-config").body.to_string();
    assert!(config.contains("https://a.world.example:9443") && !config.contains("node-a-p2p"), "{config}");
    let names = resolved.tls.certificate.dns_names();
    assert!(names.iter().any(|name| name == "a.world.example"), "{names:?}");
    assert!(names.iter().any(|name| name == "node-a-p2p.org-a.svc"), "{names:?}");
}

/// Of another family no source range would count.
#[test]
fn a_load_balancer_has_the_address_families_of_its_sources() {
    for (sources, policy, families) in [
        (&["203.0.113.0/28"][..], "SingleStack", serde_json::json!(["IPv4"])),
        (&["2001:db8::/32"], "SingleStack", serde_json::json!(["IPv6"])),
        (&["203.0.113.0/28", "2001:db8::/32"], "PreferDualStack", serde_json::Value::Null),
    ] {
        let mut json = node_json("node-a");
        json["spec"]["exposure"] = serde_json::json!({"type": "LoadBalancer", "loadBalancer": {
            "advertisedURL": "https://a.world.example", "sourceCIDRs": sources,
        }});
        let supports = desired(&resolve(&node(json), &inputs(), &settings()).unwrap()).supports;
        let service = supports.iter().find(|planned| planned.id.name == "node-a-exposed").unwrap();
        let spec = &service.body["spec"];
        assert_eq!(
            (&spec["ipFamilyPolicy"], &spec["ipFamilies"]),
            (&policy.into(), &families),
            "{sources:?}"
        );
        assert_eq!(spec["ports"][0]["port"], 443);
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
