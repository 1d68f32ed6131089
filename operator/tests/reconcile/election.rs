//! Several operators, one Lease: one works at a time, and another takes over from one that hangs, ends or dies.

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use rustix::process::Signal;
use serde_json::json;

use crate::operator::Operator;
use crate::world::{DEADLINE, World};

fn start(world: &World, identity: &str) -> Operator {
    Operator::start_with(world, &["--leader-elect", "--identity", identity])
}

async fn until_leads(world: &World, identity: &str) {
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), &world.operator_namespace);
    let end = std::time::Instant::now() + DEADLINE;
    loop {
        let lease = leases.get_opt("tessera-operator").await.expect("the API server answers");
        let holder = lease.and_then(|lease| lease.spec?.holder_identity);
        if holder.as_deref() == Some(identity) {
            return;
        }
        assert!(std::time::Instant::now() < end, "{identity} never led: {holder:?}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

/// What is edited is put back: somebody works.
async fn is_worked_at(world: &World) {
    world.edit("Service", "a", json!({"metadata": {"labels": {"tessera.rs/by": "hand"}}})).await;
    world.until("Service", "a", |service| service["metadata"]["labels"]["tessera.rs/by"].is_null()).await;
}

#[tokio::test]
async fn another_takes_over_from_one_that_hangs_ends_or_dies() {
    let world = World::new("election").await;
    let mut first = start(&world, "first");
    until_leads(&world, "first").await;
    world.create_fleet(&["a"]).await;
    world.until_brought_up(&["a"]).await;
    let second = start(&world, "second");
    is_worked_at(&world).await;

    first.signal(Signal::STOP);
    until_leads(&world, "second").await;
    is_worked_at(&world).await;
    first.signal(Signal::CONT);
    assert!(!first.until_ended().success(), "it must not go on as if it led");

    let third = start(&world, "third");
    third.until_serves().await;
    is_worked_at(&world).await;
    assert!(second.reconciles() > 0, "the control: it is counted");
    assert_eq!(third.reconciles(), 0, "one that stands by does nothing");
    assert!(second.terminate().success());
    until_leads(&world, "third").await;
    is_worked_at(&world).await;

    let _fourth = start(&world, "fourth");
    // Killed.
    drop(third);
    until_leads(&world, "fourth").await;
    is_worked_at(&world).await;
}
