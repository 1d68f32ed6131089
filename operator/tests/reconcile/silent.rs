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
/// Rounds without a silent pod, which say what this machine needs now.
const CONTROL_ROUNDS: usize = 4;
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
    let others = &names[SILENT..];
    let mut control = Duration::ZERO;
    for _ in 0..CONTROL_ROUNDS {
        control = control.max(budgets_back(&world, others).await);
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
    let mut slowest = Duration::ZERO;
    for round in 1..=ROUNDS {
        // What touches a silent node asks for its reconcile, too.
        for name in names.iter().take(SILENT) {
            let touch = json!({"metadata": {"annotations": {"round": round.to_string()}}});
            world.edit("TesseraNode", name, touch).await;
        }
        let took = budgets_back(&world, others).await;
        slowest = slowest.max(took);
        assert!(
            took < BACK.max(control * 4),
            "round {round}: {took:?}, and at most {control:?} without silent pods"
        );
    }
    println!(
        "{} budgets back in at most {slowest:?} in {ROUNDS} rounds, {control:?} without silent pods",
        others.len()
    );
}

/// How long it takes until the budgets of `nodes`, deleted at once, are there again.
async fn budgets_back(world: &World, nodes: &[String]) -> Duration {
    let budgets: Vec<_> =
        nodes.iter().map(|name| tessera_crds::names::node::disruption_budget(name)).collect();
    join_all(budgets.iter().map(async |budget| {
        world.api("PodDisruptionBudget").delete(budget, &DeleteParams::default()).await.unwrap();
    }))
    .await;
    let begun = Instant::now();
    for budget in &budgets {
        world.until("PodDisruptionBudget", budget, |object| !object.is_null()).await;
    }
    begun.elapsed()
}
