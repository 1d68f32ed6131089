//! What a network's spec and the facts make of its authorities. Whom a phase awaits is explored in the crate `tessera-pki`.

use serde_json::json;
use tessera_pki::rollover::{NodeFacts, Report};

use super::*;
use crate::fixtures::{network, network_json, node, node_json, now};

fn of(policy: &serde_json::Value) -> TesseraNetwork {
    let mut json = network_json();
    json["spec"]["pki"] = json!({"ca": policy});
    network(json)
}

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn stepped(network: &TesseraNetwork, state: &CaState, facts: &AllFacts, at: Timestamp) -> Option<CaState> {
    next(network, state, facts, DAY, at).unwrap()
}

fn phases(state: &CaState) -> [Option<tessera_pki::Phase>; 2] {
    [state.network.phase(), state.admin.phase()]
}

#[test]
fn nothing_happens_until_it_is_due_or_demanded() {
    let first = first(&of(&json!({})), DAY, now()).unwrap();
    let none = AllFacts::default();
    assert!(stepped(&of(&json!({})), &first, &none, now()).is_none());
    let demanded = stepped(&of(&json!({"rolloverTrigger": 1})), &first, &none, now()).unwrap();
    assert_eq!(phases(&demanded), [Some(tessera_pki::Phase::Trusting); 2]);
    assert_eq!((demanded.generation, demanded.network.trigger), (2, 1));
    // 8,760 hours, of which the last 2,160 are for the next.
    let before = now() + SignedDuration::from_hours(6_599);
    assert!(stepped(&of(&json!({})), &first, &none, before).is_none());
    assert!(stepped(&of(&json!({})), &first, &none, before + DAY).is_some());
}

/// The CA and all that it signed have expired: the next one signs within two steps, though no node answers.
#[test]
fn a_ca_that_has_ended_is_replaced() {
    let network = of(&json!({}));
    let mut state = first(&network, DAY, now()).unwrap();
    let ended = now() + DAY * 400;
    let silent = Facts {
        nodes: vec![NodeFacts { name: "a".into(), stored: false, pods: vec![None] }],
        ..Facts::default()
    };
    let facts = AllFacts { network: silent.clone(), admin: silent, ..AllFacts::default() };
    for _ in 0..2 {
        state = stepped(&network, &state, &facts, ended).unwrap();
    }
    assert_eq!(phases(&state), [Some(tessera_pki::Phase::Reissuing); 2]);
    assert!(state.network.issuing.certificate().not_after() > ended);
}

#[test]
fn a_date_has_passed_when_our_clock_and_those_of_the_nodes_say_so() {
    let network = of(&json!({}));
    let state = first(&network, DAY, now()).unwrap();
    let ended = now() + DAY * 400;
    let silent = Facts {
        nodes: vec![NodeFacts { name: "a".into(), stored: false, pods: vec![None] }],
        ..Facts::default()
    };
    let by = |earliest_time| AllFacts { network: silent.clone(), admin: silent.clone(), earliest_time };
    // The rollover begins, since nothing else says when; its end by date waits for the node's clock.
    let begun = stepped(&network, &state, &by(None), ended).unwrap();
    assert!(stepped(&network, &begun, &by(Some(now())), ended).is_none());
    assert!(!super::super::status::awaited(&begun, &by(Some(now())), ended).is_empty());
    assert!(stepped(&network, &begun, &by(Some(ended + DAY)), ended).is_some());
}

#[test]
fn who_may_still_trust_a_distrusted_ca_is_named() {
    let bad = "0f".repeat(32);
    let report = |trusts: &str| Some(Report { trusts: vec![trusts.to_owned()], ..Report::default() });
    let node = |name: &str, stored, pods| NodeFacts { name: name.into(), stored, pods };
    let nodes = vec![
        node("good", true, vec![report("aa")]),
        node("stopped", true, vec![]),
        node("old", true, vec![report(&bad)]),
        node("paused", false, vec![]),
        node("silent", true, vec![report("aa"), None]),
    ];
    let facts = AllFacts { network: Facts { nodes, ..Facts::default() }, ..AllFacts::default() };
    let named = |policy| crate::rollover::status::distrusting(&of(&policy), &facts);
    assert_eq!(named(json!({"distrust": [bad]})), ["old", "paused", "silent"].map(String::from).into());
    assert!(named(json!({})).is_empty());
}

#[test]
fn a_demand_that_is_older_than_the_network_is_met_by_its_first_authorities() {
    let network = of(&json!({"rolloverTrigger": 7}));
    let first = first(&network, DAY, now()).unwrap();
    assert!(stepped(&network, &first, &AllFacts::default(), now()).is_none());
}

#[test]
fn each_authority_goes_on_by_what_was_seen_of_it() {
    let network = of(&json!({"rolloverTrigger": 1}));
    let state = stepped(&network, &first(&of(&json!({})), DAY, now()).unwrap(), &AllFacts::default(), now());
    let state = state.unwrap();
    let trusting = |authority: &Authority| Facts {
        nodes: vec![NodeFacts {
            name: "a".into(),
            stored: true,
            pods: vec![Some(Report {
                trusts: authority.roots().iter().map(|root| root.fingerprint().to_owned()).collect(),
                ..Report::default()
            })],
        }],
        ..Facts::default()
    };
    let silent = Facts {
        nodes: vec![NodeFacts { name: "a".into(), stored: true, pods: vec![None] }],
        ..Facts::default()
    };
    let both = AllFacts { network: silent.clone(), admin: silent.clone(), ..AllFacts::default() };
    assert!(stepped(&network, &state, &both, now()).is_none());
    let one = AllFacts { network: trusting(&state.network), admin: silent, ..AllFacts::default() };
    let next = stepped(&network, &state, &one, now()).unwrap();
    assert_eq!(phases(&next), [Some(tessera_pki::Phase::Reissuing), Some(tessera_pki::Phase::Trusting)]);
}

#[test]
fn a_longer_leaf_is_admitted_before_one_is_signed_and_never_taken_back() {
    let state = first(&of(&json!({})), DAY, now()).unwrap();
    let longer = next(&of(&json!({})), &state, &AllFacts::default(), DAY * 90, now()).unwrap().unwrap();
    assert_eq!(longer.network.longest_leaf, DAY * 90);
    assert!(stepped(&of(&json!({})), &longer, &AllFacts::default(), now()).is_none());
    let mut with_client = node_json("a");
    with_client["spec"]["clients"][0]["certificate"] = json!({"lifetime": "2160h", "renewBefore": "24h"});
    let nodes = [node(node_json("b")), node(with_client)];
    assert_eq!(longest_leaf(&of(&json!({})), &nodes), DAY * 90);
    assert_eq!(longest_leaf(&of(&json!({})), &nodes[..1]), DAY);
}

#[test]
fn a_distrusted_ca_is_replaced_at_once_and_the_other_authority_stays() {
    let state = first(&of(&json!({})), DAY, now()).unwrap();
    let bad = state.network.issuing.certificate().fingerprint().to_owned();
    let after = stepped(&of(&json!({"distrust": [bad]})), &state, &AllFacts::default(), now()).unwrap();
    assert_eq!(phases(&after), [None, None]);
    assert!(after.network.roots().iter().all(|root| root.fingerprint() != bad));
    assert_eq!(after.admin.digest(), state.admin.digest());
    assert!(stepped(&of(&json!({"distrust": [bad]})), &after, &AllFacts::default(), now()).is_none());
}
