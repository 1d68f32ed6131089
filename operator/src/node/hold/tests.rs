//! What is held back, that nothing else is, and that no hold takes away what is live.

use proptest::prelude::*;
use serde_json::{Value, json};
use tessera_crds::checklist::Line;

use super::*;
use crate::checklist::enforce::HoldingLine;
use crate::fixtures::{inputs, node, node_json, now, settings};
use crate::node::desired::desired;
use crate::node::resolve::resolve;

fn held_by(id: Line) -> Gate {
    Gate::Held(HoldingLine { id, reason: "Reason".into(), remedy: "do this".into(), others: 0 })
}

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

/// A node that serves these clients from pods of these apps.
fn live(clients: &[&str], apps: &[&str]) -> Live {
    Live {
        node: true,
        replicas: Some(1),
        has_run: true,
        clients: clients.iter().map(|client| (*client).to_owned()).collect(),
        sources: Some(apps.iter().map(|app| source_of(app)).collect()),
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
    let unknown = Live { sources: None, ..live(&["a"], &[]) };
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
    let on_network = Holds::of(all(), &held_by(Line::HardwareKeys), &Gate::Free);
    assert_eq!(
        on_network.status(&[], now()).iter().map(|held| held.line).collect::<Vec<_>>(),
        [Line::HardwareKeys]
    );
    let on_node = Holds::of(all(), &Gate::Free, &held_by(Line::NoCoreDumps));
    assert_eq!(on_node.status(&[], now())[0].field, "spec.clients[b]");
    assert!(Holds::of(all(), &Gate::Free, &Gate::Free).is_empty());
}

#[test]
fn since_when_a_change_waits_is_kept() {
    let holds = Holds::of(vec![Widening::Client("b".into())], &Gate::Free, &held_by(Line::NoCoreDumps));
    let first = holds.status(&[], now());
    let later = holds.status(&first, now() + jiff::SignedDuration::from_hours(1));
    assert_eq!(first, later);
}

#[test]
fn a_new_node_that_is_held_says_why_and_what_to_do() {
    let whole = |gate| Holds::of(vec![Widening::Node], &gate, &Gate::Free);
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
    let holds = Holds::of(vec![Widening::Client("b".into())], &Gate::Free, &held_by(Line::NoCoreDumps));
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
    let holds = Holds::of(widenings(&node, &live), &Gate::Free, &held_by(Line::NoCoreDumps));
    let narrowed = holds.narrow(node);
    assert_eq!(narrowed.clients[0].from, [serde_json::from_value(from("x")).unwrap()]);
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
        live_replicas in proptest::option::of(0..=1),
        replicas in 0..=1,
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
            sources: known.then(|| live_apps.iter().map(|app| source_of(app)).collect()),
            ..live(&live_clients, &[])
        };
        let holds = Holds::of(widenings(&node, &live), &on_network, &on_node);
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
                let is_live = live.sources.as_ref().is_none_or(|known| known.iter().any(|known| same(known, &peer)));
                prop_assert!(kept.contains(&peer) || !is_live, "a live source was taken");
            }
        }
        prop_assert_eq!(narrowed.clients.len(), narrowed.client_tls.len());
    }
}
