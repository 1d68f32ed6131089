//! Pods that take connections and never answer, as those of a lost machine, delay nobody else.

use std::time::{Duration, Instant};

use futures::future::join_all;
use kube::api::DeleteParams;
use serde_json::json;

use crate::operator::Operator;
use crate::pods::{self, Silence};
use crate::world::{World, node};

const NODES: usize = 40;
const SILENT: usize = 8;
const ROUNDS: usize = 20;
/// Two seconds on a machine that does nothing else.
const BACK: Duration = Duration::from_secs(10);

fn name(number: usize) -> String {
    format!("n{number:02}")
}

#[tokio::test]
async fn repairs_go_on_beside_pods_that_never_answer() {
    let world = World::new("silent").await;
    let _operator = Operator::start(&world);
    world.create_fleet(&[]).await;
    join_all((0..NODES).map(|number| world.create("TesseraNode", node(&name(number))))).await;
    let names: Vec<_> = (0..NODES).map(name).collect();
    for name in &names {
        world.until_reason("TesseraNode", name, "Ready", "Starting").await;
    }
    let silences: Vec<_> = (1..=SILENT).map(|number| Silence::new(number.try_into().unwrap())).collect();
    for (name, silence) in names.iter().zip(&silences) {
        pods::make(&world, name).await;
        pods::set_running(&world, name, silence.address, true).await;
    }
    // The control: they are asked, and it is said that they do not answer.
    for name in names.iter().take(SILENT) {
        world.until_reason("TesseraNode", name, "Ready", "NodeUnreachable").await;
    }
    let others = &names[SILENT..];
    let mut slowest = Duration::ZERO;
    for round in 1..=ROUNDS {
        // What touches a silent node asks for its reconcile, too.
        for name in names.iter().take(SILENT) {
            let touch = json!({"metadata": {"annotations": {"round": round.to_string()}}});
            world.edit("TesseraNode", name, touch).await;
        }
        join_all(others.iter().map(async |name| {
            let budget = tessera_crds::names::node::disruption_budget(name);
            world.api("PodDisruptionBudget").delete(&budget, &DeleteParams::default()).await.unwrap();
        }))
        .await;
        let begun = Instant::now();
        for name in others {
            let budget = tessera_crds::names::node::disruption_budget(name);
            world.until("PodDisruptionBudget", &budget, |object| !object.is_null()).await;
        }
        slowest = slowest.max(begun.elapsed());
        assert!(begun.elapsed() < BACK, "round {round}: {:?}", begun.elapsed());
    }
    println!("{} budgets back in at most {slowest:?} in {ROUNDS} rounds", others.len());
}
