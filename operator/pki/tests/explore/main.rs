//! Every order of events in a rollover: two CAs, up to three nodes, two clients, a dependency, two leaders of which one may be
//! stale, writes that are late or lost, reports that are old, processes that stop and start.
//!
//! Refusals are between two parties, and a party more is only somebody more whom a phase awaits; so small worlds show what
//! happens between any two parties of a large one, in all orders.
//!
//! What the world's parties do is modelled here; whom a phase awaits and when it ends is the real code. In no state that can be
//! reached is a party that follows the rules refused, and none trusts the old CA once its key is destroyed.

mod world;

use std::collections::{HashSet, VecDeque};

use world::{Answers, Condition, END, World};

/// Nodes, clients (whether each reads its roots anew), a dependency.
const WORLDS: [(usize, &[bool], bool); 5] =
    [(3, &[], false), (2, &[], true), (1, &[false], true), (1, &[true], true), (1, &[false, true], false)];

#[test]
fn nobody_who_follows_the_rules_is_refused_in_any_order_of_events() {
    for world in WORLDS {
        let explored = explore(world, None);
        println!("{world:?}: {} states, {} with the rollover ended", explored.states, explored.ended);
        assert_eq!(explored.fault, None);
        assert!(explored.ended > 0, "no rollover ends");
    }
}

/// The exploration finds what it is for: each of the conditions is needed.
#[test]
fn without_a_condition_somebody_is_refused() {
    for condition in world::CONDITIONS {
        let is_fault = |world| explore(world, Some(condition)).fault.is_some();
        assert!(WORLDS.into_iter().any(is_fault), "nothing goes wrong without {condition:?}");
    }
}

struct Explored {
    states: usize,
    ended: usize,
    /// The first state in which something is wrong.
    fault: Option<String>,
}

/// All states that can be reached, or those up to the first fault.
fn explore((nodes, clients, dependency): (usize, &[bool], bool), missing: Option<Condition>) -> Explored {
    let start = World::start(nodes, clients, dependency);
    let mut seen = HashSet::from([start]);
    let mut queue = VecDeque::from([start]);
    let mut answers = Answers::default();
    let (mut ended, mut fault) = (0, None);
    while let Some(world) = queue.pop_front() {
        if world.trusts_what_is_gone() || world.refused().is_some() {
            fault = Some(format!("{:?} in {world:?}", world.refused()));
            break;
        }
        ended += usize::from(world.phase == END);
        for next in world.events(missing, &mut answers) {
            let next = next.canonical();
            if seen.insert(next) {
                queue.push_back(next);
            }
        }
    }
    Explored { states: seen.len(), ended, fault }
}

/// From every state something leads on: nobody waits for what cannot come.
#[test]
fn a_rollover_ends_when_everybody_does_what_is_asked() {
    let mut world = World::start(3, &[false, true], true);
    let mut rounds = 0;
    while world.phase != END {
        world = world.everybody_acts();
        rounds += 1;
        assert!(rounds < 50, "stuck: {world:?}");
    }
}
