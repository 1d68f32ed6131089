//! What a send costs in things that can be counted: a busy machine changes none of them, so each has a committed figure. A
//! figure that falls by more than a tenth fails as well: commit the new one.

#![allow(clippy::unwrap_used, clippy::panic)] // Tests say what they expect by panicking.

#[path = "../support/mod.rs"]
mod support;

use serde_json::{Value, json};
use support::load::{message, next_id};
use support::{Net, Spec};
use tessera_sys::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Of both nodes and of the client, for a payload of 1 KiB to one remote recipient.
const ALLOCATIONS: u64 = 148;

const SENDS: u64 = 400;
const WARM_UP: usize = 50;

/// Reads of the index for records that are new, of a thousand: what the filter takes for old by mistake.
const MAX_INDEX_READS_PER_THOUSAND: u64 = 40;

/// Handshakes of all sends together: the nodes may still announce themselves to each other, over connections that are counted
/// as well.
const MAX_ANNOUNCEMENTS: u64 = 2;

/// A network whose nodes announce themselves to each other once, not all the time.
fn announce_seldom(config: &mut Value) {
    for server in config["serverConfigs"].as_array_mut().unwrap() {
        server["properties"] = json!({"partyInfoInterval": "3600000"});
    }
}

#[derive(Debug, Clone, Copy)]
struct Counts {
    handshakes: u64,
    index_reads: u64,
    written: u64,
    syncs: u64,
}

impl Counts {
    async fn of(nodes: [&Spec; 2]) -> Self {
        let sum = async |name: &str| nodes[0].metric(name).await + nodes[1].metric(name).await;
        Self {
            handshakes: sum("tessera_handshakes_total{port=\"P2p\"}").await,
            index_reads: sum("tessera_store_index_reads_total").await,
            written: sum("tessera_store_written_records_total").await,
            syncs: sum("tessera_store_syncs_total").await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_send_costs_what_was_committed() {
    let net = Net::with(&["a", "b"], announce_seldom);
    let running = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let mut ledger = a.client().session().await.unwrap();
    for _ in 0..WARM_UP {
        ledger.send(&message(next_id(), 1024), &[&b.public_key]).await;
    }

    let before = Counts::of([a, b]).await;
    let allocated = CountingAllocator::allocations();
    for _ in 0..SENDS {
        ledger.send(&message(next_id(), 1024), &[&b.public_key]).await;
    }
    let allocated = (CountingAllocator::allocations() - allocated) / SENDS;
    let after = Counts::of([a, b]).await;

    let handshakes = after.handshakes - before.handshakes;
    assert!(handshakes <= MAX_ANNOUNCEMENTS, "{handshakes} handshakes: pushes go over new connections");
    assert_eq!(after.written - before.written, 2 * SENDS, "a send is one record at each node");
    assert_eq!(after.syncs - before.syncs, 2 * SENDS, "sends that do not overlap have a sync each");
    let index_reads = (after.index_reads - before.index_reads) * 1000 / (2 * SENDS);
    assert!(index_reads <= MAX_INDEX_READS_PER_THOUSAND, "{index_reads} of 1000 new hashes asked the index");
    assert!(
        (ALLOCATIONS * 9 / 10..=ALLOCATIONS * 11 / 10).contains(&allocated),
        "{allocated} allocations a send, {ALLOCATIONS} are committed"
    );
    for node in running {
        node.stop().await;
    }
}
