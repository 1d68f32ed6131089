//! What is held back, that nothing else is, and that no hold takes away what is live.

use proptest::prelude::*;
use serde_json::{Value, json};
use tessera_crds::checklist::Line;

use super::*;
use crate::fixtures::{held_by, inputs, node, node_json, now, settings};
use crate::node::desired::desired;
use crate::node::inputs::NetworkInput;
use crate::node::resolve::resolve;

fn from(app: &str) -> Value {
    json!({"podSelector": {"matchLabels": {"app": app}}})
}

/// A node with these clients, each with pods of these apps as sources.
fn with(clients: &[(&str, &[&str])]) -> Value {
    let mut json = node_json("node-a");
    let clients = clients.iter().map(
        |(name, apps)| json!({"name": name, "from": apps.iter().map(|app| from(app)).collect::<Vec<_>>()}),
    );
    json["spec"]["clients"] = clients.collect();
    json
}

fn resolved(json: Value) -> Resolved {
    resolve(&node(json), &inputs(), &settings()).unwrap()
}

fn source_of(app: &str) -> NetworkPolicyPeer {
    source(&serde_json::from_value(from(app)).unwrap())
}

/// A policy that lets in clients from pods of these apps, and the network's scrapers.
fn policy(apps: &[&str]) -> LetThrough {
    let scrapers = resolved(node_json("node-a")).monitoring;
    LetThrough {
        clients: apps.iter().map(|app| source_of(app)).collect(),
        scrapers: scrapers.iter().map(|scraper| source(&scraper.from)).collect(),
        ..LetThrough::default()
    }
}

/// A node that serves these clients from pods of these apps.
fn live(clients: &[&str], apps: &[&str]) -> Live {
    Live {
        node: true,
        replicas: Some(1),
        has_run: true,
        clients: clients.iter().map(|client| (*client).to_owned()).collect(),
        exposed_to: Vec::new(),
        policy: Some(policy(apps)),
    }
}

fn fields(json: Value, live: &Live) -> Vec<String> {
    widenings(&resolved(json), live).iter().map(Widening::field).collect()
}

#[test]
fn what_was_there_before_is_no_widening() {
    assert_eq!(fields(with(&[("a", &["x", "y"])]), &live(&["a"], &["x", "y"])), [""; 0]);
    // Fewer clients and sources.
    assert_eq!(fields(with(&[("a", &["x"])]), &live(&["a", "b"], &["x", "y"])), [""; 0]);
    // The policy is gone, or as the whole spec says: there is nothing to compare with.
    let unknown = Live { policy: None, ..live(&["a"], &[]) };
    assert_eq!(fields(with(&[("a", &["x"])]), &unknown), [""; 0]);
}

#[test]
fn image_keys_volume_restart_and_scale_down_are_no_widening() {
    let mut json = with(&[("a", &["x"])]);
    json["spec"]["image"] = json!(format!("other/node@sha256:{}", "1".repeat(64)));
    json["spec"]["keys"][0]["rotation"]["trigger"] = json!(7);
    json["spec"]["keys"].as_array_mut().unwrap().push(json!({"name": "second", "type": "Vault"}));
    json["spec"]["storage"]["embedded"]["size"] = json!("50Gi");
    json["spec"]["restartTrigger"] = json!(3);
    json["spec"]["privacy"] = json!({"enhancements": true});
    json["spec"]["replicas"] = json!(0);
    assert_eq!(fields(json, &live(&["a"], &["x"])), [""; 0]);
}

#[test]
fn each_widening_names_its_field() {
    let json = || with(&[("a", &["x", "z"]), ("b", &["x"])]);
    assert_eq!(fields(json(), &Live::default()), ["spec"], "a new node is one change");
    assert_eq!(fields(json(), &live(&["a"], &["x"])), ["spec.clients[a].from", "spec.clients[b]"]);
}

#[test]
fn a_stopped_node_starts_again_and_one_that_has_never_run_starts_for_the_first_time() {
    let stopped = Live { replicas: Some(0), ..live(&["a"], &["x"]) };
    assert_eq!(fields(with(&[("a", &["x"])]), &stopped), [""; 0]);
    let never_run = Live { has_run: false, ..stopped };
    assert_eq!(fields(with(&[("a", &["x"])]), &never_run), ["spec.replicas"]);
    // The workload was deleted: it is made again.
    let without_workload = Live { replicas: None, ..live(&["a"], &["x"]) };
    assert_eq!(fields(with(&[("a", &["x"])]), &without_workload), [""; 0]);
}

#[test]
fn the_network_s_lines_hold_a_new_node_and_the_node_s_own_hold_its_clients() {
    let all = || vec![Widening::Replicas { live: 0 }, Widening::Client("b".into())];
    let on_network =
        Holds::of(all(), &Gates::one(held_by(Line::HardwareKeys)), &Gates::one(Gate::Free), true);
    assert_eq!(
        on_network.status(&[], now()).iter().map(|held| held.line).collect::<Vec<_>>(),
        [Line::HardwareKeys]
    );
    let on_node = Holds::of(all(), &Gates::one(Gate::Free), &Gates::one(held_by(Line::NoCoreDumps)), true);
    assert_eq!(on_node.status(&[], now())[0].field, "spec.clients[b]");
    assert!(Holds::of(all(), &Gates::one(Gate::Free), &Gates::one(Gate::Free), true).is_empty());
}

#[test]
fn since_when_a_change_waits_is_kept() {
    let holds = Holds::of(
        vec![Widening::Client("b".into())],
        &Gates::one(Gate::Free),
        &Gates::one(held_by(Line::NoCoreDumps)),
        true,
    );
    let first = holds.status(&[], now());
    let later = holds.status(&first, now() + jiff::SignedDuration::from_hours(1));
    assert_eq!(first, later);
}

#[test]
fn a_new_node_that_is_held_says_why_and_what_to_do() {
    let whole = |gate| Holds::of(vec![Widening::Node], &Gates::one(gate), &Gates::one(Gate::Free), true);
    let held = whole(held_by(Line::HardwareKeys));
    assert!(held.is_whole() && held.changes().is_none());
    let (reason, message) = held.new_node().unwrap();
    assert_eq!(reason, Reason::ChecklistHeld);
    assert!(message.contains("HardwareKeys") && message.contains("do this") && message.contains("Exception"));
    let awaited = whole(Gate::NotJudged);
    assert!(awaited.is_whole() && awaited.status(&[], now()).is_empty());
    assert_eq!(awaited.new_node().unwrap().0, Reason::NetworkNotReady);
    assert!(!whole(Gate::Free).is_whole());
}

#[test]
fn a_held_client_has_neither_certificate_nor_entry_nor_policy() {
    let node = resolved(with(&[("a", &["x"]), ("b", &["y"])]));
    let holds = Holds::of(
        vec![Widening::Client("b".into())],
        &Gates::one(Gate::Free),
        &Gates::one(held_by(Line::NoCoreDumps)),
        true,
    );
    let (reason, message) = holds.changes().unwrap();
    assert_eq!(reason, Reason::ChecklistHeld);
    assert!(
        message.contains("spec.clients[b]: NoCoreDumps is Violated (Reason); what to do: do this"),
        "{message}"
    );
    let desired = desired(&holds.narrow(node));
    let all = [desired.supports, vec![desired.workload]].concat();
    let text = all.iter().map(|planned| planned.body.to_string()).collect::<String>();
    assert!(text.contains("node-a-client-a") && !text.contains("node-a-client-b"));
    assert!(!text.contains("/client/node-a.b") && !text.contains("\"y\""));
}

#[test]
fn a_held_source_is_left_out_and_one_that_goes_is_gone() {
    let node = resolved(with(&[("a", &["new", "x"])]));
    let live = live(&["a"], &["x", "old"]);
    let holds = Holds::of(
        widenings(&node, &live),
        &Gates::one(Gate::Free),
        &Gates::one(held_by(Line::NoCoreDumps)),
        true,
    );
    let narrowed = holds.narrow(node);
    assert_eq!(narrowed.clients[0].from, [serde_json::from_value(from("x")).unwrap()]);
}

#[test]
fn a_node_is_exposed_to_no_new_address_while_that_is_held() {
    let exposed = |sources: &[&str]| {
        let mut json = with(&[]);
        json["spec"]["exposure"] = json!({"type": "LoadBalancer", "loadBalancer": {
            "advertisedURL": "https://a.world.example", "sourceCIDRs": sources,
        }});
        resolved(json)
    };
    // What widens it, and what is left of its sources and of its address while that is held.
    let held = |wanted: &[&str], known: &[&str]| {
        let exposed_to = known.iter().map(|cidr| (*cidr).into()).collect();
        let node = exposed(wanted);
        let wider = widenings(&node, &Live { exposed_to, ..live(&[], &[]) });
        let fields: Vec<_> = wider.iter().map(Widening::field).collect();
        let (on_network, on_node) = (Gates::one(Gate::Free), Gates::one(held_by(Line::NoCoreDumps)));
        let narrow = Holds::of(wider, &on_network, &on_node, true).narrow(node);
        let sources = narrow.exposure.iter().flat_map(Exposed::sources).map(ToString::to_string);
        (fields.join(" "), sources.collect::<Vec<_>>().join(" "), narrow.p2p_url().contains("world"))
    };
    let (old, new) = ("192.0.2.0/28", "203.0.113.0/28");
    let says = |field: &str, sources: &str, exposed| (field.to_owned(), sources.to_owned(), exposed);
    assert_eq!(held(&[old], &[old]), says("", old, true));
    assert_eq!(held(&[old, new], &[old]), says("spec.exposure", old, true));
    assert_eq!(held(&[new], &[old]), says("spec.exposure", old, true), "it goes on as it was");
    assert_eq!(held(&[new], &[]), says("spec.exposure", "", false), "it is not exposed at all");
}

#[test]
fn what_the_api_server_drops_of_a_peer_makes_it_no_other() {
    let peer = |json: Value| serde_json::from_value::<NetworkPolicyPeer>(json).unwrap();
    let same = |one, other| same(&peer(one), &peer(other));
    assert!(same(json!({"podSelector": {"matchLabels": {}}}), json!({"podSelector": {}})));
    assert!(!same(json!({"podSelector": {}}), json!({"namespaceSelector": {}})));
    assert!(!same(json!({"podSelector": {}}), json!({"podSelector": {}, "namespaceSelector": {}})));
    assert!(!same(json!({"podSelector": {}}), json!({"podSelector": {"matchLabels": {"a": "b"}}})));
    assert!(!same(json!({"ipBlock": {"cidr": "10.0.0.0/8"}}), json!({"ipBlock": {"cidr": "10.0.0.0/7"}})));
}

const CLIENTS: [&str; 3] = ["a", "b", "c"];
const APPS: [&str; 3] = ["x", "y", "z"];

fn some_of(all: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    proptest::sample::subsequence(all, 0..=all.len())
}

fn any_gate() -> impl Strategy<Value = Gate> {
    prop_oneof![Just(Gate::Free), Just(Gate::NotJudged), Just(held_by(Line::HardwareKeys))]
}

/// The names of clients and the sources of each, as they are let in.
fn granted(node: &Resolved) -> Vec<(String, Vec<NetworkPolicyPeer>)> {
    let clients = node.clients.iter();
    clients.map(|client| (client.name.to_string(), client.from.iter().map(source).collect())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Nothing but a widening is held, and a hold takes away nothing that is live and wanted.
    #[test]
    fn a_hold_holds_widenings_alone_and_never_what_is_live(
        wanted in proptest::sample::subsequence(&CLIENTS[..], 1..=3),
        sources in proptest::sample::subsequence(&APPS[..], 1..=3),
        live_clients in some_of(&CLIENTS),
        live_apps in some_of(&APPS),
        known in any::<bool>(),
        there in any::<bool>(),
        live_replicas in proptest::option::of(0..=9),
        replicas in 0..=9,
        has_run in any::<bool>(),
        on_network in any_gate(),
        on_node in any_gate(),
    ) {
        let clients: Vec<_> = wanted.iter().map(|name| (*name, sources.as_slice())).collect();
        let mut json = with(&clients);
        json["spec"]["replicas"] = json!(replicas);
        let node = resolved(json);
        let (before, image, keys) = (granted(&node), node.image.clone(), node.keys.clone());
        let live = Live {
            node: there, replicas: live_replicas, has_run,
            policy: known.then(|| policy(&live_apps)),
            ..live(&live_clients, &[])
        };
        let holds = Holds::of(widenings(&node, &live), &Gates::one(on_network.clone()), &Gates::one(on_node.clone()), true);
        let all_free = on_network.is_free() && on_node.is_free();
        prop_assert!(!all_free || holds.is_empty());
        prop_assert!(!there || !holds.is_whole(), "a node that is there is never held as a whole");
        let narrowed = holds.narrow(node);
        prop_assert_eq!((&narrowed.image, &narrowed.keys), (&image, &keys));
        // More pods than wanted, or fewer than there are and wanted, are never the work of a hold.
        prop_assert!(narrowed.replicas <= replicas);
        prop_assert!(narrowed.replicas >= replicas.min(live_replicas.unwrap_or(replicas)));
        prop_assert!(!(has_run && live_replicas == Some(0)) || narrowed.replicas == replicas);
        let after = granted(&narrowed);
        for (name, peers) in before {
            let Some((_, kept)) = after.iter().find(|(kept, _)| *kept == name) else {
                prop_assert!(there && !live.clients.contains(&name), "client {} is live", name);
                continue;
            };
            for peer in peers {
                let is_live = live.policy.as_ref().is_none_or(|known| known.clients.iter().any(|known| same(known, &peer)));
                prop_assert!(kept.contains(&peer) || !is_live, "a live source was taken");
            }
        }
        prop_assert_eq!(narrowed.clients.len(), narrowed.client_tls.len());
    }
}

/// A node of a network with one partner, and one scraper, from pods of these apps.
fn in_network(partner: &[&str], scraper: &str) -> Resolved {
    let mut inputs = inputs();
    let mut network = crate::fixtures::network_json();
    network["spec"]["partners"] = json!([{
        "name": "org-b", "trustDomain": "b.example", "dnsNames": ["b.example"], "urls": ["https://b.example:9000"],
        "caBundleRef": {"name": "ca"}, "from": partner.iter().map(|app| from(app)).collect::<Vec<_>>(),
        "egress": [{"cidr": "192.0.2.1/32", "port": 9000}, {"cidr": "192.0.2.2/32", "port": 9000}],
    }]);
    network["spec"]["monitoring"] = json!([{"name": "prom", "from": from(scraper)}]);
    inputs.network = NetworkInput::Found(crate::fixtures::network(network).into());
    resolve(&node(with(&[])), &inputs, &settings()).unwrap()
}

#[test]
fn addresses_of_partners_and_scrapers_are_held_under_a_name_that_is_there() {
    let before = in_network(&["x"], "p");
    let let_through = LetThrough {
        peers: vec![source_of("x")],
        scrapers: vec![source_of("p")],
        out: vec![(endpoint(&before.partners[0].egress[0]), Some(9000))],
        ..LetThrough::default()
    };
    let live = Live { policy: Some(let_through), ..live(&[], &[]) };
    let node = || in_network(&["x", "y"], "q");
    let wider = widenings(&node(), &live);
    let fields: Vec<_> = wider.iter().map(Widening::field).collect();
    assert_eq!(
        fields,
        [
            "network spec.partners[org-b].from",
            "network spec.partners[org-b].egress",
            "network spec.monitoring[prom].from"
        ]
    );
    let free = || Gates::one(Gate::Free);
    assert!(Holds::of(wider.clone(), &free(), &free(), true).is_empty());
    for (gates, is_judged) in [(Gates::one(held_by(Line::NoCoreDumps)), true), (free(), false)] {
        let narrow = Holds::of(wider.clone(), &free(), &gates, is_judged).narrow(node());
        assert_eq!((narrow.partners[0].from.len(), narrow.partners[0].egress.len()), (1, 1));
        assert!(narrow.monitoring.is_empty());
    }
}
