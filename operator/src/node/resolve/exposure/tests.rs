use serde_json::{Value, json};

use super::*;
use crate::fixtures::{network, network_json, node, node_json};

/// A node that is to be exposed, and announces what its status says.
fn asking(name: &str, url: &str, announces: Option<&str>) -> Value {
    let mut json = node_json(name);
    json["metadata"]["creationTimestamp"] = json!("2027-01-01T00:00:00Z");
    json["spec"]["exposure"] = json!({
        "type": "LoadBalancer", "loadBalancer": {"advertisedURL": url, "sourceCIDRs": ["203.0.113.0/28"]},
    });
    json["status"] = json!({"endpoints": {
        "q2t": "https://q2t",
        "p2p": announces.map_or_else(|| names::node::p2p_url(name, "org-a"), |url: &str| format!("{url}/")),
    }});
    json
}

const URL: &str = "https://a.world.example:9443";

fn settled(json: Value, partner: &[&str], others: Vec<Value>, is_live: bool) -> (Option<String>, String) {
    let mut of = network_json();
    if !partner.is_empty() {
        of["spec"]["partners"] = json!([{
            "name": "org-b", "trustDomain": "b.example", "dnsNames": partner, "caBundleRef": {"name": "ca"},
            "egress": [{"cidr": "192.0.2.1/32", "port": 9000}],
        }]);
    }
    let others: Vec<_> = others.into_iter().map(node).collect();
    let (exposed, why) = settle(&node(json), &network(of), others.iter(), is_live);
    (exposed.map(|exposed| exposed.url), why.unwrap_or_default())
}

fn at(url: &str) -> (Option<String>, String) {
    (Some(format!("{url}/")), String::new())
}

#[test]
fn a_node_is_exposed_under_the_host_and_port_of_its_address() {
    assert_eq!(settled(asking("node-a", URL, None), &["*.b.example"], Vec::new(), false), at(URL));
    assert_eq!(settled(node_json("node-a"), &[], Vec::new(), false), (None, String::new()));
    let exposed = |url: &str| {
        let json = asking("node-a", url, None);
        settle(&node(json), &network(network_json()), [].into_iter(), false).0.unwrap()
    };
    assert_eq!((exposed(URL).host.as_str(), exposed(URL).port), ("a.world.example", 9443));
    assert_eq!(exposed("https://a.world.example").port, 443);
}

#[test]
fn a_name_of_a_partner_is_refused_unless_partners_know_the_node_by_it() {
    let asks = |announces, is_live| {
        settled(asking("node-a", URL, announces), &["*.world.example"], Vec::new(), is_live)
    };
    assert_eq!(
        asks(None, false),
        (None, "the node is not exposed as its spec says: a.world.example is among the dnsNames of partner org-b: correct spec.exposure.loadBalancer.advertisedURL".to_owned())
    );
    assert_eq!(asks(Some(URL), true), at(URL), "the partner is refused instead");
    let (kept, why) = asks(Some("https://old.example"), true);
    assert_eq!(kept.as_deref(), Some("https://old.example/"), "it goes on under the address that it has");
    assert!(why.contains("partner org-b"), "{why}");
    let mut lost = asking("node-a", URL, None);
    lost.as_object_mut().unwrap().remove("status");
    assert_eq!(settled(lost, &["*.world.example"], Vec::new(), true), at(URL), "only its status is lost");
}

#[test]
fn of_two_nodes_that_ask_for_one_address_the_one_that_has_it_keeps_it() {
    let young = |announces| {
        let mut json = asking("node-b", URL, announces);
        json["metadata"]["creationTimestamp"] = json!("2027-01-02T00:00:00Z");
        json
    };
    let old = |announces| asking("node-a", URL, announces);
    let against = |json, other| settled(json, &[], vec![other], false);
    assert_eq!(against(old(None), young(None)), at(URL));
    let (kept, why) = against(young(None), old(None));
    assert!(kept.is_none() && why.contains("https://a.world.example:9443 is that of node node-a"), "{why}");
    assert_eq!(against(old(None), young(Some(URL))).0, None);
    assert_eq!(against(young(Some(URL)), old(None)), at(URL));
    let other_port = "https://a.world.example:9444";
    assert_eq!(against(asking("node-b", other_port, None), old(None)), at(other_port));
    let spelled = asking("node-b", "https://a.world.example:443", None);
    let plain = asking("node-a", "https://a.world.example", None);
    assert_eq!(against(spelled, plain).0, None, "the same address, said otherwise");
}

#[test]
fn partners_know_a_node_by_its_public_address() {
    assert_eq!(exposed_host(&node(asking("node-a", URL, Some(URL)))), Some("a.world.example".to_owned()));
    assert_eq!(exposed_host(&node(asking("node-a", URL, None))), None);
    assert_eq!(exposed_host(&node(node_json("node-a"))), None);
}

#[test]
fn a_partner_outside_of_the_cluster_knows_the_exposed_nodes_alone() {
    let known = |url, all: &[(&'static str, bool)]| {
        known_to(url, all, |one| one.1).into_iter().map(|one| one.0).collect::<Vec<_>>()
    };
    let all = [("a", true), ("b", false)];
    assert_eq!(known("https://tm.b.example:9000", &all), ["a"]);
    assert_eq!(known("https://b-p2p.org-b.svc:9000/", &all), ["a", "b"]);
    assert_eq!(known("https://tm.b.example:9000", &all[1..]), ["b"], "nothing says that it is outside");
}

/// The node program finds nodes of its own network by the same name.
#[test]
fn the_service_has_the_name_that_nodes_know() {
    assert_eq!(names::node::p2p_service("node-a"), tessera_node_api::paths::p2p_service("node-a"));
}
