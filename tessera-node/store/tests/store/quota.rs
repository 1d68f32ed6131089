//! A bound on the bytes of a store.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use tessera_store::{Kind, Options, ReplaceOutcome, Store, WriteError};

use crate::disk::TestDisk;
use crate::support::{SEGMENT_BYTES, assert_holds, hash, options, value};

const QUOTA: u64 = 4 << 20;
const BODY: usize = 4000;

/// Inserts records from `first` on until one is refused; the number of that one.
fn fill(store: &Store, first: u64) -> u64 {
    let mut number = first;
    loop {
        match store.insert(Kind::Transaction, hash(number), value(number, BODY)).wait() {
            Ok(_) => number += 1,
            Err(error) => {
                assert_eq!(error, WriteError::Full);
                return number;
            }
        }
        assert!(number < 10 * QUOTA / BODY as u64, "nothing is refused");
    }
}

/// Bytes of all files in the directory.
fn bytes(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry"));
    entries.map(|entry| entry.metadata().expect("a file").len()).sum()
}

#[test]
fn a_store_stays_within_its_quota_and_takes_writes_again_when_that_is_raised() {
    let dir = tempfile::tempdir().expect("a directory");
    let open = |quota| options(dir.path()).quota_bytes(quota).open().expect("the store opens");
    let store = open(QUOTA);
    let full_at = fill(&store, 0);
    assert!(full_at > QUOTA / 2 / BODY as u64, "{full_at} records of {BODY} bytes");
    let stats = store.stats();
    assert_eq!(stats.quota_bytes, Some(QUOTA));
    assert!(stats.quota_free_bytes.is_some_and(|free| free < SEGMENT_BYTES), "{stats:?}");
    assert!(store.full_since().is_some());
    assert!(bytes(dir.path()) <= QUOTA, "{} bytes", bytes(dir.path()));
    (0..full_at).for_each(|number| assert_holds(&store, number, BODY));
    store.close();
    drop(store);

    // The same after a start, which counts what is there. (A closed index is smaller, which may leave space for a segment.)
    let store = open(QUOTA);
    let full_at = fill(&store, full_at);
    assert!(bytes(dir.path()) <= QUOTA, "{} bytes", bytes(dir.path()));
    drop(store);
    // A store that is larger than its quota is read, and only that.
    let store = open(QUOTA / 2);
    let stats = store.stats();
    assert_eq!(stats.quota_free_bytes, Some(0));
    assert!(stats.free_bytes.is_some_and(|free| free > 0), "the volume's own");
    assert_eq!(fill(&store, full_at), full_at);
    assert_holds(&store, 0, BODY);
    drop(store);

    let store = open(2 * QUOTA);
    let raised = fill(&store, full_at);
    assert!(raised > full_at * 3 / 2, "{full_at} {raised}");
    assert!(bytes(dir.path()) <= 2 * QUOTA, "{} bytes", bytes(dir.path()));
    drop(store);
    let store = options(dir.path()).open().expect("the store opens");
    assert_eq!((store.stats().quota_bytes, store.stats().quota_free_bytes), (None, None));
    (0..raised).for_each(|number| assert_holds(&store, number, BODY));
    assert_eq!(store.stats().records, raised);
}

/// The smallest quota that a node takes is five segments. A log of small records has a large index, which takes from that.
#[test]
fn with_five_segments_small_records_are_written_over_and_over() {
    const SEGMENT: u64 = 4 << 20;
    const SMALL: usize = 300;
    /// Records that fill a bit more than one segment.
    const RECORDS: u64 = 8_500;
    /// Together more than the quota.
    const ROUNDS: u64 = 7;
    const PATIENCE: Duration = Duration::from_mins(1);
    let disk = TestDisk::new(8);
    let options = Options::new("unused").segment_bytes(SEGMENT).max_body_bytes(4000).checkpoint_records(1000);
    let store = options.quota_bytes(5 * SEGMENT).open_on(&disk.arc()).expect("the store opens");
    for number in 0..RECORDS {
        store.insert(Kind::Transaction, hash(number), value(number, SMALL)).wait().expect("there is space");
    }
    let mut refused = 0;
    for round in 1..=ROUNDS {
        for number in 0..RECORDS {
            let deadline = Instant::now() + PATIENCE;
            loop {
                let version =
                    store.version(Kind::Transaction, &hash(number)).expect("an answer").expect("there");
                let body = value(number + round * RECORDS, SMALL);
                match store.compare_and_replace(Kind::Transaction, hash(number), version, body).wait() {
                    Ok(ReplaceOutcome::Replaced(_)) => break,
                    // Compaction moved it.
                    Ok(_) => {}
                    Err(error) => {
                        assert_eq!(error, WriteError::Full);
                        refused += 1;
                    }
                }
                assert!(Instant::now() < deadline, "{round} {number} {refused}: {:?}", store.stats());
            }
        }
    }
    let stats = store.stats();
    let index = disk.content("index.redb").len();
    println!("quota: index {index} bytes, {refused} writes refused, {stats:?}");
    assert!(stats.compactions > 5, "{stats:?}");
    assert!(
        stats.log_bytes + stats.reclaimed_bytes > 5 * SEGMENT,
        "more than the quota was written: {stats:?}"
    );
    assert_eq!((stats.records, stats.corrupt), (RECORDS, 0));
}
