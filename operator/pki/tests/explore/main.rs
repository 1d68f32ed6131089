//! Every order of events in a rollover: two CAs, three nodes, two clients, a dependency, two leaders of which one may be stale,
//! writes that are late or lost, reports that are old, processes that stop and start.
//!
//! What the world's parties do is modelled here; whom a phase awaits and when it ends is the real code. In no state that can be
//! reached is a party that follows the rules refused, and none trusts the old CA once its key is destroyed.

mod world;

use std::collections::{HashSet, VecDeque};

use world::{Answers, Condition, END, World};

#[test]
fn nobody_who_follows_the_rules_is_refused_in_any_order_of_events() {
    let explored = explore(None);
    println!("{} states, {} of them with the rollover ended", explored.states, explored.ended);
    assert_eq!(explored.fault, None);
    assert!(explored.ended > 0, "no rollover ends");
}

/// The exploration finds what it is for: each of the conditions is needed.
#[test]
fn without_a_condition_somebody_is_refused() {
    for condition in world::CONDITIONS {
        assert!(explore(Some(condition)).fault.is_some(), "nothing goes wrong without {condition:?}");
    }
}

struct Explored {
    states: usize,
    ended: usize,
    /// The first state in which something is wrong.
    fault: Option<String>,
}

/// All states that can be reached, or those up to the first fault.
fn explore(missing: Option<Condition>) -> Explored {
    let mut seen = HashSet::from([World::start()]);
    let mut queue = VecDeque::from([World::start()]);
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
        if std::env::var_os("X").is_some() && queue.len() % 4096 == 0 { eprintln!("{} {}", seen.len(), queue.len()); }
    }
    Explored { states: seen.len(), ended, fault }
}

/// From every state something leads on: nobody waits for what cannot come.
#[test]
fn a_rollover_ends_when_everybody_does_what_is_asked() {
    let mut world = World::start();
    let mut rounds = 0;
    while world.phase != END {
        world = world.everybody_acts();
        rounds += 1;
        assert!(rounds < 50, "stuck: {world:?}");
    }
}
