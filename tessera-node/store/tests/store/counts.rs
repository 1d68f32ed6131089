//! What writes cost in calls, whatever the machine does.

use tessera_store::{InsertOutcome, Kind, Options, Pending};

use crate::disk::TestDisk;
use crate::support::{hash, insert, value};

const TX: Kind = Kind::Transaction;

#[test]
fn records_that_queue_together_share_one_sync() {
    const RECORDS: u64 = 500;
    let disk = TestDisk::new(0);
    let store = Options::new("unused").open_on(&disk.arc()).expect("the store opens");
    let before = store.stats();
    let mut pending = Vec::new();
    // The writer takes the first one or few, and cannot go on; all others queue meanwhile.
    disk.while_held(|| {
        pending.extend((0..RECORDS).map(|number| store.insert(TX, hash(number), value(number, 100))));
    });
    let written = pending
        .into_iter()
        .map(Pending::wait)
        .filter(|answer| matches!(answer, Ok(InsertOutcome::Inserted(_))));
    assert_eq!(written.count(), 500);
    let after = store.stats();
    assert_eq!(after.written - before.written, RECORDS);
    let syncs = after.syncs - before.syncs;
    assert!(syncs <= 2, "{syncs} syncs");
}

#[test]
fn a_new_hash_is_written_without_a_read_of_the_index() {
    // More than are scanned before the store is open.
    const OLD: u64 = 3000;
    const NEW: u64 = 1000;
    let disk = TestDisk::new(0);
    let store = Options::new("unused").open_on(&disk.arc()).expect("the store opens");
    let all = |numbers: std::ops::Range<u64>, store: &tessera_store::Store| {
        let pending: Vec<_> =
            numbers.map(|number| store.insert(TX, hash(number), value(number, 10))).collect();
        for write in pending {
            write.wait().expect("an answer");
        }
        store.stats().index_reads
    };
    let reads = all(0..OLD, &store);
    assert!(reads <= OLD / 25, "{reads} reads");
    // Each is there already: the filter cannot say so.
    assert_eq!(all(0..OLD, &store) - reads, OLD);
    drop(store);

    let store = Options::new("unused").open_on(&disk.arc()).expect("the store opens");
    // Until the rest of the index has been scanned, the index is asked.
    let mut number = OLD;
    let scanned = (0..1_000_000).any(|_| {
        let before = store.stats().index_reads;
        insert(&store, number, 10);
        number += 1;
        store.stats().index_reads == before
    });
    assert!(scanned, "the index was never scanned");
    let before = store.stats().index_reads;
    let reads = all(number..number + NEW, &store) - before;
    assert!(reads <= NEW / 25, "{reads} reads");
    let before = store.stats().index_reads;
    assert_eq!(all(0..OLD, &store) - before, OLD, "an old hash is found after a restart");
    assert_eq!(store.stats().records, number + NEW);
}
