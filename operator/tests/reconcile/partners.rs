//! Partners: what the nodes are given of them, and whom a rollover waits for.

use serde_json::{Value, json};

use crate::operator::Operator;
use crate::world::{World, network, node, store_ca};

pub(crate) fn partner(name: &str) -> Value {
    json!({
        "name": name,
        "trustDomain": format!("{name}.example"),
        "caBundleRef": {"name": format!("{name}-ca")},
        "dnsNames": [format!("*.tm.{name}.example")],
        "urls": [format!("https://a.tm.{name}.example:9000")],
        "egress": [{"cidr": "203.0.113.0/28", "port": 9000}],
        "from": [{"ipBlock": {"cidr": "203.0.113.0/28"}}],
    })
}

/// A ConfigMap with a CA, as a person makes it.
pub(crate) fn bundle(name: &str) -> Value {
    let mut bundle = store_ca();
    bundle["metadata"]["name"] = format!("{name}-ca").into();
    bundle
}

/// A network with these partners and a node, neither of which has scrapers or ledgers.
async fn fleet(test: &str, partners: &[Value]) -> World {
    let world = World::new(test).await;
    let (mut network, mut node) = (network(), node("a"));
    network["spec"]["monitoring"] = json!([]);
    network["spec"]["partners"] = partners.into();
    node["spec"]["clients"] = json!([]);
    world.create("ConfigMap", store_ca()).await;
    world.create("TesseraNetwork", network).await;
    world.create("TesseraNode", node).await;
    world
}

/// The partners whose bundle the nodes have.
pub(crate) fn given(peers: &Value) -> Vec<String> {
    let file = peers["data"]["partners.json"].as_str().unwrap_or("{}");
    let file: Value = serde_json::from_str(file).expect("the operator writes JSON");
    let partners = file["partners"].as_array().cloned().unwrap_or_default();
    let accepted = partners.iter().filter(|partner| partner["caBundle"] != "");
    accepted.map(|partner| partner["name"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn a_missing_bundle_cuts_off_its_partner_alone_until_it_is_there() {
    let world = fleet("partners", &[partner("org-b"), partner("org-c")]).await;
    world.create("ConfigMap", bundle("org-b")).await;
    let _operator = Operator::start(&world);
    world.until("ConfigMap", "net-peers", |peers| given(peers) == ["org-b"]).await;
    let message = world.until_reason("TesseraNetwork", "net", "PartnersAccepted", "InvalidReference").await;
    assert!(message.contains("partner org-c is cut off: ConfigMap org-c-ca does not exist"), "{message}");
    let policy = world.until("NetworkPolicy", "a", |policy| !policy.is_null()).await;
    let addresses = |way: &str, side: &str| {
        let rules = policy["spec"][way].as_array().cloned().unwrap_or_default();
        let peers: Vec<_> =
            rules.iter().flat_map(|rule| rule[side].as_array().cloned().unwrap_or_default()).collect();
        peers.iter().filter(|peer| peer["ipBlock"]["cidr"] == "203.0.113.0/28").count()
    };
    assert_eq!((addresses("egress", "to"), addresses("ingress", "from")), (2, 2));

    world.create("ConfigMap", bundle("org-c")).await;
    // No watch leads to it; the next reconcile does.
    world.edit("TesseraNetwork", "net", json!({"spec": {"privacy": {"enhancements": true}}})).await;
    world.until("ConfigMap", "net-peers", |peers| given(peers) == ["org-b", "org-c"]).await;
    world.until_reason("TesseraNetwork", "net", "PartnersAccepted", "Accepted").await;
    let network = world.get("TesseraNetwork", "net").await.expect("it is there");
    let partner = &network["status"]["partners"][1];
    assert_eq!((&partner["name"], &partner["accepted"]), (&json!("org-c"), &json!(true)));
    assert_eq!(partner["unreached"], json!(["https://a.tm.org-c.example:9000"]), "no node runs here");
    assert_eq!(partner["cas"][0]["fingerprint"].as_str().map(str::len), Some(64));

    world.edit("TesseraNetwork", "net", json!({"spec": {"partners": []}})).await;
    world.until("ConfigMap", "net-peers", |peers| peers["data"]["partners.json"].is_null()).await;
}

#[tokio::test]
async fn two_partners_with_a_name_in_common_are_given_to_nobody() {
    let mut other = partner("org-c");
    other["dnsNames"] = json!(["a.tm.org-b.example", "*.tm.org-c.example"]);
    let world = fleet("partners-overlap", &[partner("org-b"), other, partner("org-d")]).await;
    for name in ["org-b", "org-c", "org-d"] {
        world.create("ConfigMap", bundle(name)).await;
    }
    let _operator = Operator::start(&world);
    let message = world.until_reason("TesseraNetwork", "net", "Stalled", "InvalidReference").await;
    assert!(message.contains("partner org-b is cut off: dnsNames: *.tm.org-b.example"), "{message}");
    world.until("ConfigMap", "net-peers", |peers| given(peers) == ["org-d"]).await;
}

#[tokio::test]
async fn a_rollover_waits_for_a_partner_until_it_is_acknowledged() {
    let world = fleet("partners-rollover", &[partner("org-b")]).await;
    world.create("ConfigMap", bundle("org-b")).await;
    let _operator = Operator::start(&world);
    world.until("StatefulSet", "tessera-a", |object| !object.is_null()).await;
    world.edit("TesseraNetwork", "net", json!({"spec": {"pki": {"ca": {"rolloverTrigger": 1}}}})).await;
    let waits = |network: &Value| {
        let rollover = &network["status"]["rollover"];
        let named = rollover["waitingFor"].as_array().cloned().unwrap_or_default();
        let is_partner =
            |who: &Value| who.as_str().is_some_and(|who| who.starts_with("partner org-b is not known"));
        rollover["phase"] == "Retiring" && named.len() == 1 && is_partner(&named[0])
    };
    let network = world.until("TesseraNetwork", "net", waits).await;
    let what = network["status"]["rollover"]["waitingFor"][0].to_string();
    assert!(what.contains("set acknowledgedCA of the partner in spec.partners"), "{what}");
    let cas = network["status"]["cas"].as_array().cloned().unwrap_or_default();
    let of = |state: &str| {
        let ca = cas.iter().find(|ca| ca["role"] == "Network" && ca["state"] == state);
        ca.map(|ca| ca["fingerprint"].clone()).expect("a network CA in this state")
    };
    let mut acknowledged = partner("org-b");
    acknowledged["acknowledgedCA"] = of("Retiring");
    acknowledged["urls"] = json!([]);
    world.edit("TesseraNetwork", "net", json!({"spec": {"partners": [acknowledged.clone()]}})).await;
    let has_seen = |network: &Value| {
        network["status"]["observedGeneration"] == network["metadata"]["generation"] && waits(network)
    };
    world.until("TesseraNetwork", "net", has_seen).await;
    acknowledged["acknowledgedCA"] = of("Current");
    world.edit("TesseraNetwork", "net", json!({"spec": {"partners": [acknowledged]}})).await;
    world.until("TesseraNetwork", "net", |network| network["status"]["rollover"].is_null()).await;
}
