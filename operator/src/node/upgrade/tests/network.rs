//! A network of nodes under any order of changes: each step is decided by the same functions, from what the workloads carry.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::canary::{Holds, Peer, turn};
use super::super::*;
use super::{image, limits};
use crate::fixtures::now;

const OBSERVE: SignedDuration = SignedDuration::from_mins(2);
const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// A node, as the API server and the kubelet have it.
#[derive(Clone)]
struct Node {
    facts: Facts,
    trigger: i64,
    /// Since when it is ready; `None`: it is not.
    ready_since: Option<Timestamp>,
    got_at: Timestamp,
    /// Images that it rejected and has not been restarted since.
    rejected: BTreeSet<String>,
}

#[derive(Debug, Clone)]
enum Step {
    /// The spec of all nodes names another image.
    Want(char),
    /// Time passes.
    Wait(i64),
    /// A person restarts a node.
    Restart(usize),
    /// A node fails for a reason of its own, and comes back at the next step.
    Fall(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => proptest::char::range('p', 't').prop_map(Step::Want),
        5 => (1i64..15).prop_map(Step::Wait),
        1 => (0..NAMES.len()).prop_map(Step::Restart),
        1 => (0..NAMES.len()).prop_map(Step::Fall),
    ]
}

struct Network {
    nodes: Vec<Node>,
    wanted: String,
    bad: BTreeSet<String>,
    now: Timestamp,
}

impl Network {
    fn new(bad: &BTreeSet<char>) -> Self {
        let first = image('0');
        let facts = Facts {
            current: Some(first.clone()),
            served: Some(first.clone()),
            served_format: Some(1),
            pod: PodState::Ready(first.clone()),
            ..Facts::default()
        };
        let node =
            Node { facts, trigger: 0, ready_since: Some(now()), got_at: now(), rejected: BTreeSet::new() };
        let bad = bad.iter().copied().map(image).collect();
        Self { nodes: vec![node; NAMES.len()], wanted: first, bad, now: now() }
    }

    /// What the kubelet does: a pod of a good image is ready half a minute after its change.
    fn kubelet(&mut self) {
        for node in &mut self.nodes {
            let current = node.facts.current.clone().unwrap();
            if self.bad.contains(&current) {
                node.ready_since = None;
                node.facts.pod = PodState::Failing(Failure {
                    image: current,
                    message: "exit code 1".into(),
                    never_started: None,
                    store_back_at: None,
                });
            } else if self.now.duration_since(node.got_at) >= SignedDuration::from_secs(30) {
                node.ready_since.get_or_insert(self.now);
                node.facts.pod = PodState::Ready(current.clone());
                node.facts.served = Some(current);
            } else {
                node.ready_since = None;
                node.facts.pod = PodState::Unknown;
            }
        }
    }

    fn peers(&self) -> Vec<Peer> {
        let peers = self.nodes.iter().zip(NAMES).map(|(node, name)| {
            let has = node.facts.current.as_ref() == Some(&self.wanted);
            let canary = node.facts.record.as_ref().is_some_and(|record| record.canary);
            Peer {
                name: name.to_owned(),
                wants: true,
                serves: node.ready_since.is_some(),
                holds: match (has, canary) {
                    (false, _) => Holds::No,
                    (true, false) => Holds::Yes,
                    (true, true) => Holds::AsCanary,
                },
                ready_since: node.ready_since.filter(|_| has),
            }
        });
        peers.collect()
    }

    /// One reconcile of the node at `index`. The budget lets one of them be away at a time, or all.
    fn reconcile(&mut self, index: usize) {
        let rejected = self.nodes.iter().zip(NAMES).enumerate().filter(|(other, _)| *other != index);
        let rejected = rejected.flat_map(|(_, (node, name))| {
            let all = node.facts.record.iter().flat_map(|record| record.rejected.clone());
            all.filter(|it| it.counts(node.trigger)).map(|it| (name.to_owned(), it))
        });
        let mut facts = self.nodes[index].facts.clone();
        facts.rejected_elsewhere = rejected.collect();
        let trigger = self.nodes[index].trigger;
        let choice = choose(&self.wanted, trigger, &facts, limits(), self.now);
        if facts.current.as_ref() == Some(&choice.image) {
            return;
        }
        let serves = self.nodes[index].ready_since.is_some();
        if serves && turn(NAMES[index], &self.peers(), OBSERVE, self.now).is_err() {
            return;
        }
        self.check_change(index, &choice, serves);
        let record = record::next(&choice, &facts, trigger, Some(1), self.now);
        let node = &mut self.nodes[index];
        if let Outcome::RolledBack(rejection) = &choice.outcome {
            node.rejected.insert(rejection.image.clone());
        }
        // Only what the annotation holds is there in the next round.
        node.facts.record = record.and_then(|record| serde_json::from_str(&record.to_json()).ok());
        node.facts.current = Some(choice.image);
        (node.ready_since, node.got_at) = (None, self.now);
        node.facts.pod = PodState::Unknown;
    }

    fn check_change(&self, index: usize, choice: &Choice, serves: bool) {
        let rejected_by = self.nodes.iter().any(|node| node.rejected.contains(&choice.image));
        assert!(!rejected_by, "{} gets {}, which was rejected", NAMES[index], choice.image);
        if !serves {
            return;
        }
        let on_trial = self.nodes.iter().filter(|node| {
            let is_canary = node.facts.record.as_ref().is_some_and(|record| record.canary);
            let observed = node.ready_since.is_some_and(|since| self.now.duration_since(since) >= OBSERVE);
            node.facts.current.as_ref() == Some(&choice.image) && is_canary && !observed
        });
        let observed = self.nodes.iter().any(|node| {
            node.facts.current.as_ref() == Some(&choice.image)
                && node.ready_since.is_some_and(|since| self.now.duration_since(since) >= OBSERVE)
        });
        assert!(on_trial.count() == 0 || observed, "a second canary of {}", choice.image);
        assert!(!self.bad.contains(&choice.image) || !observed);
    }
}

proptest! {
    #[test]
    fn a_bad_image_reaches_one_serving_node_and_none_gets_it_twice(
        bad in proptest::collection::btree_set(proptest::char::range('p', 't'), 0..4),
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut network = Network::new(&bad);
        for step in steps {
            match step {
                Step::Want(digit) => network.wanted = image(digit),
                Step::Wait(minutes) => network.now += SignedDuration::from_mins(minutes),
                Step::Restart(index) => {
                    network.nodes[index].trigger += 1;
                    network.nodes[index].rejected.clear();
                }
                Step::Fall(index) => {
                    network.nodes[index].ready_since = None;
                    network.nodes[index].got_at = network.now;
                    network.nodes[index].facts.pod = PodState::Unknown;
                }
            }
            network.kubelet();
            for index in 0..NAMES.len() {
                network.reconcile(index);
            }
        }
        // Left alone, each node serves, unless its image never served and nothing is there to go back to.
        for _ in 0..40 {
            network.now += SignedDuration::from_mins(3);
            network.kubelet();
            for index in 0..NAMES.len() {
                network.reconcile(index);
            }
        }
        for (node, name) in network.nodes.iter().zip(NAMES) {
            prop_assert!(node.ready_since.is_some(), "{} does not serve: {:?}", name, node.facts);
        }
    }
}

fn peers(of: &[(&str, Holds, Option<i64>)]) -> Vec<Peer> {
    let peer = |(name, holds, ready_for): &(&str, Holds, Option<i64>)| Peer {
        name: (*name).to_owned(),
        wants: true,
        serves: *holds == Holds::No || ready_for.is_some(),
        holds: *holds,
        ready_since: ready_for
            .filter(|_| *holds != Holds::No)
            .map(|seconds| now() - SignedDuration::from_secs(seconds)),
    };
    of.iter().map(peer).collect()
}

#[test]
fn the_first_by_name_goes_first_and_the_others_when_it_was_observed() {
    let turns = |peers: &[Peer]| -> Vec<String> {
        let goes = |peer: &&Peer| turn(&peer.name, peers, OBSERVE, now()).is_ok();
        let waiting = peers.iter().filter(|peer| peer.holds == Holds::No && peer.serves);
        waiting.filter(goes).map(|peer| peer.name.clone()).collect()
    };
    let (no, yes, canary) = (Holds::No, Holds::Yes, Holds::AsCanary);
    assert_eq!(turns(&peers(&[("a", no, None), ("b", no, None), ("c", no, None)])), ["a"]);
    assert_eq!(turns(&peers(&[("a", canary, None), ("b", no, None), ("c", no, None)])), [""; 0]);
    assert_eq!(turns(&peers(&[("a", canary, Some(119)), ("b", no, None)])), [""; 0]);
    assert_eq!(turns(&peers(&[("a", canary, Some(120)), ("b", no, None), ("c", no, None)])), ["b", "c"]);
    assert_eq!(turns(&peers(&[("a", no, None)])), ["a"], "one node alone");
    // A new node is as good; one that is broken in any way keeps nobody.
    assert_eq!(turns(&peers(&[("a", no, None), ("b", yes, Some(500))])), ["a"]);
    assert_eq!(turns(&peers(&[("a", no, None), ("b", yes, Some(5))])), [""; 0]);
    assert_eq!(turns(&peers(&[("a", no, None), ("b", no, None), ("c", yes, None)])), ["a"]);
    // It was admitted, and asks again before its change shows: were it to wait for the next, that one would wait for it.
    let mut asks_again = peers(&[("a", canary, None), ("b", no, None)]);
    asks_again[0].serves = true;
    assert_eq!(turn("a", &asks_again, OBSERVE, now()), Ok(()));
    let why = turn("b", &peers(&[("a", canary, Some(60)), ("b", no, None)]), OBSERVE, now()).unwrap_err();
    assert!(why.contains("node a") && why.contains("2027-01-01T00:01:00Z"), "{why}");
}
