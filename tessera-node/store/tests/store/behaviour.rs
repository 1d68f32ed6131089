//! What the operations answer, in one run and over restarts.

use std::fs;

use tessera_store::{
    InsertOutcome, InvalidStoreId, Kind, OpenError, Options, Pending, ReplaceOutcome, StoreId, Version,
    WriteError,
};

use crate::disk::TestDisk;
use crate::support::{assert_holds, hash, insert, open, options, replace, value};

const TX: Kind = Kind::Transaction;

#[test]
fn an_inserted_record_is_read_as_it_was_put_in() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    for bytes in [0, 1, 7, 8, 9, 4096, 16 << 10] {
        insert(&store, bytes as u64, bytes);
        assert_holds(&store, bytes as u64, bytes);
    }
    assert_eq!(store.stats().records, 7);
}

#[test]
fn an_unknown_hash_is_none() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    assert_eq!(store.get(TX, &hash(1)).expect("an answer"), None);
}

#[test]
fn a_hash_is_taken_once_per_kind() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let first = store.insert(TX, hash(1), value(1, 10)).wait().expect("durable");
    let InsertOutcome::Inserted(version) = first else { panic!("{first:?}") };
    let second = store.insert(TX, hash(1), value(2, 10)).wait().expect("decided");
    assert_eq!(second, InsertOutcome::AlreadyExists(version));
    assert_holds(&store, 1, 10);

    let raw = store.insert(Kind::Raw, hash(1), value(3, 10)).wait().expect("durable");
    assert!(matches!(raw, InsertOutcome::Inserted(_)));
    let raw = store.get(Kind::Raw, &hash(1)).expect("an answer").expect("there");
    assert_eq!(raw.value, value(3, 10));
}

#[test]
fn of_many_inserts_of_one_hash_at_once_exactly_one_wins() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let pending: Vec<_> = (0..64).map(|n| store.insert(TX, hash(9), value(n, 50))).collect();
    let outcomes: Vec<_> = pending.into_iter().map(|p| p.wait().expect("decided")).collect();
    let won: Vec<_> = (0..64_u64)
        .zip(&outcomes)
        .filter(|(_, outcome)| matches!(outcome, InsertOutcome::Inserted(_)))
        .map(|(number, _)| number)
        .collect();
    assert_eq!(won.len(), 1, "{outcomes:?}");
    let stored = store.get(TX, &hash(9)).expect("an answer").expect("there");
    assert_eq!(stored.value, value(won[0], 50));
}

#[test]
fn a_merge_replaces_only_the_version_that_it_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let absent = store.compare_and_replace(TX, hash(1), any_version(&store), value(1, 1)).wait();
    assert_eq!(absent, Ok(ReplaceOutcome::Absent));

    insert(&store, 1, 10);
    let read = store.get(TX, &hash(1)).expect("an answer").expect("there");
    let merged = store.compare_and_replace(TX, hash(1), read.version, value(2, 20)).wait();
    let Ok(ReplaceOutcome::Replaced(version)) = merged else { panic!("{merged:?}") };
    assert!(version > read.version);

    let late = store.compare_and_replace(TX, hash(1), read.version, value(3, 30)).wait();
    assert_eq!(late, Ok(ReplaceOutcome::Changed { current: version }));
    let stored = store.get(TX, &hash(1)).expect("an answer").expect("there");
    assert_eq!((stored.value, stored.version), (value(2, 20), version));
    assert_eq!(store.stats().records, 2);
}

/// A version that some other record has.
fn any_version(store: &tessera_store::Store) -> Version {
    match store.insert(Kind::Raw, hash(77), value(77, 1)).wait().expect("durable") {
        InsertOutcome::Inserted(version) | InsertOutcome::AlreadyExists(version) => version,
    }
}

#[test]
fn everything_is_there_after_a_restart_with_and_without_the_index() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let bytes = |number: u64| 100 + usize::try_from(number).expect("small");
    for number in 0..500 {
        insert(&store, number, bytes(number));
    }
    replace(&store, 4, value(4000, 33));
    let before = store.stats();
    assert!(before.segments > 3, "{before:?}");
    drop(store);

    for (rebuild, replayed) in [(false, 0), (true, 501)] {
        if rebuild {
            fs::remove_file(dir.path().join("index.redb")).expect("the index is a file");
        }
        let store = open(dir.path());
        let stats = store.stats();
        assert_eq!((stats.records, stats.corrupt, stats.replayed), (500, 0, replayed));
        for number in (0..500).filter(|number| *number != 4) {
            assert_holds(&store, number, bytes(number));
        }
        let replaced = store.get(TX, &hash(4)).expect("an answer").expect("there");
        assert_eq!(replaced.value, value(4000, 33));
    }
    let store = open(dir.path());
    insert(&store, 1000, 10);
    assert_holds(&store, 1000, 10);
}

#[test]
fn a_checkpoint_moves_records_to_the_index_while_they_are_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = options(dir.path()).checkpoint_records(16).open().expect("the store opens");
    std::thread::scope(|scope| {
        for writer in 0..4_u64 {
            let store = &store;
            scope.spawn(move || {
                for number in (writer * 1000)..(writer * 1000 + 200) {
                    insert(store, number, 40);
                    assert_holds(store, number, 40);
                    assert_holds(store, writer * 1000, 40);
                }
            });
        }
    });
    store.close();
    let stats = store.stats();
    assert!(stats.checkpoints > 2, "{stats:?}");
    assert_eq!(stats.records, 800);
}

#[test]
fn a_second_open_is_refused_while_the_first_lives() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let error = options(dir.path()).open().expect_err("locked");
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    drop(store);
    drop(open(dir.path()));
}

#[test]
fn a_body_over_the_limit_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let answer = store.insert(TX, hash(1), value(1, (16 << 10) + 1)).wait();
    assert_eq!(answer, Err(WriteError::TooLarge { bytes: (16 << 10) + 1, limit: 16 << 10 }));
}

#[test]
fn a_full_queue_refuses_and_serves_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = options(dir.path()).max_queued_bytes(0).open().expect("the store opens");
    let pending: Vec<_> =
        (0..2000).map(|number| store.insert(TX, hash(number), value(number, 1000))).collect();
    let answers: Vec<_> = pending.into_iter().map(Pending::wait).collect();
    assert!(answers.contains(&Err(WriteError::Busy)));
    for (number, answer) in (0..).zip(answers) {
        match answer {
            Ok(_) => assert_holds(&store, number, 1000),
            Err(error) => assert_eq!(error, WriteError::Busy),
        }
    }
    insert(&store, 9999, 1000);
}

/// The writer takes the first request at once; what it has taken still counts.
#[test]
fn bodies_that_are_not_durable_yet_never_exceed_the_limit() {
    let disk = TestDisk::new(0);
    let store =
        Options::new("unused").max_queued_bytes(10_000).open_on(&disk.arc()).expect("the store opens");
    let mut pending = Vec::new();
    disk.while_held(|| {
        for number in 0..20_000 {
            pending.push(store.insert(TX, hash(number), value(number, 1000)));
            std::thread::yield_now();
        }
    });
    let accepted = pending.into_iter().filter_map(|write| write.wait().ok()).count();
    assert_eq!(accepted, 10, "10,000 bytes are 10 bodies");
    insert(&store, 20_000, 1000);
}

#[test]
fn a_log_of_many_segments_is_read_with_a_bounded_number_of_open_files() {
    let disk = TestDisk::new(0);
    let options = Options::new("unused").segment_bytes(8 << 10).max_body_bytes(3000);
    let store = options.clone().open_on(&disk.arc()).expect("the store opens");
    (0..300).for_each(|number| insert(&store, number, 2900));
    assert!(store.stats().segments >= 300, "{:?}", store.stats());
    drop(store);
    let store = options.open_on(&disk.arc()).expect("the store opens again");
    (0..300).rev().for_each(|number| assert_holds(&store, number, 2900));
    assert!(disk.most_open() < 80, "{} files were open at once", disk.most_open());
}

#[test]
fn the_acceptance_of_a_loss_is_durable_and_counts_for_one_store() {
    let (dir, others) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let store = open(dir.path());
    let lost = open(&others.path().join("lost")).id();
    let other = open(&others.path().join("other")).id();
    assert!(!store.has_accepted_loss_of(lost).expect("an answer"));
    store.accept_loss_of(lost, 1).wait().expect("durable");
    let id = store.id();
    drop(store);
    for rebuild in [false, true] {
        if rebuild {
            fs::remove_file(dir.path().join("index.redb")).expect("the index is a file");
        }
        let store = open(dir.path());
        assert_eq!(store.id(), id);
        assert_eq!(store.has_accepted_loss_of(lost).ok(), Some(true));
        assert_eq!(store.has_accepted_loss_of(other).ok(), Some(false));
    }
    assert_eq!(id.to_string().parse(), Ok(id));
    assert_eq!(format!("{id}0").parse::<StoreId>(), Err(InvalidStoreId));
}

#[test]
fn a_missing_directory_is_created_with_its_parents() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(&dir.path().join("a/b/c"));
    insert(&store, 1, 10);
    assert!(store.stats().free_bytes.is_some_and(|bytes| bytes > 0));
}

#[test]
fn a_closed_store_still_reads() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    insert(&store, 1, 10);
    store.close();
    assert_eq!(store.insert(TX, hash(2), value(2, 10)).wait(), Err(WriteError::Closed));
    assert_holds(&store, 1, 10);
}
