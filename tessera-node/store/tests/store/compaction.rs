//! Compaction: what it gives back, what it leaves alone, and power cuts at each of its steps.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tessera_store::{Kind, Options, ReadError, ReplaceOutcome, Stats, Store, WriteError, verify_on};

use crate::disk::{Faults, TestDisk};
use crate::support::{hash, insert, value};

const TX: Kind = Kind::Transaction;
const INDEX: &str = "index.redb";
const PATIENCE: Duration = Duration::from_secs(30);
const BODY: usize = 1500;
/// A few segments of 16 KiB.
const RECORDS: u64 = 32;
/// Every fourth record keeps its first version, so that each of the first segments has something to copy.
const ROUNDS: u64 = 4;

fn options() -> Options {
    Options::new("unused").segment_bytes(16 << 10).max_body_bytes(4000).checkpoint_records(8)
}

fn open(disk: &TestDisk) -> Store {
    options().open_on(&disk.arc()).expect("the store opens")
}

/// Replaces a record, whatever compaction does to its version meanwhile.
fn replace(store: &Store, number: u64, seed: u64, bytes: usize) -> Result<(), WriteError> {
    loop {
        let version = store.version(TX, &hash(number)).map_err(|_| WriteError::Index)?.expect("there");
        match store.compare_and_replace(TX, hash(number), version, value(seed, bytes)).wait()? {
            ReplaceOutcome::Replaced(_) => return Ok(()),
            ReplaceOutcome::Changed { .. } => {}
            ReplaceOutcome::Absent => panic!("{number} is gone"),
        }
    }
}

fn seed(number: u64, round: u64) -> u64 {
    if number.is_multiple_of(ROUNDS) { number } else { number + round * 1000 }
}

fn wait_until(store: &Store, what: &str, done: impl Fn(&Stats) -> bool) -> Stats {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let stats = store.stats();
        if done(&stats) {
            return stats;
        }
        assert!(Instant::now() < deadline, "{what}: {stats:?}");
        std::thread::yield_now();
    }
}

/// Waits for compaction. What it may take next is what a checkpoint has passed, so a record is written again and again.
fn wait_for_compactions(store: &Store, number: u64, seed: u64, done: impl Fn(&Stats) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done(&store.stats()) && replace(store, number, seed, BODY).is_ok() {
        assert!(Instant::now() < deadline, "{:?}", store.stats());
    }
}

/// Writes records and replaces most of them, a few times.
fn fill(store: &Store) -> Result<(), WriteError> {
    for number in 0..RECORDS {
        store.insert(TX, hash(number), value(number, BODY)).wait()?;
    }
    replace_rounds(store, |_, _| {})
}

/// Says before each replacement, and after it, which record and round it is.
fn replace_rounds(store: &Store, mut each: impl FnMut(u64, Asked)) -> Result<(), WriteError> {
    for round in 1..ROUNDS {
        for number in (0..RECORDS).filter(|number| !number.is_multiple_of(ROUNDS)) {
            each(number, Asked::Round(round));
            replace(store, number, seed(number, round), BODY)?;
            each(number, Asked::Durable(round));
        }
    }
    Ok(())
}

enum Asked {
    Round(u64),
    Durable(u64),
}

fn assert_holds_all(store: &Store) {
    for number in 0..RECORDS {
        let stored = store.get(TX, &hash(number)).unwrap_or_else(|error| panic!("{number}: {error}"));
        let stored = stored.unwrap_or_else(|| panic!("{number} is gone"));
        assert_eq!(stored.value, value(seed(number, ROUNDS - 1), BODY), "{number}");
    }
    // A log without some of its segments still knows what it never had.
    assert_eq!(store.get(TX, &hash(RECORDS)).expect("certain"), None);
    let stats = store.stats();
    assert_eq!((stats.records, stats.corrupt, stats.unidentified), (RECORDS, 0, 0), "{stats:?}");
}

/// All rounds, and compaction has done what it can.
fn compacted() -> (TestDisk, Store) {
    let disk = TestDisk::new(1);
    let store = open(&disk);
    fill(&store).expect("durable");
    wait_for_compactions(&store, 1, seed(1, ROUNDS - 1), |stats| stats.compactions >= 6);
    (disk, store)
}

#[test]
fn the_space_of_superseded_records_comes_back_and_what_is_left_is_read_with_and_without_the_index() {
    let (disk, store) = compacted();
    assert_holds_all(&store);
    let stats = store.stats();
    let live = RECORDS * (BODY.next_multiple_of(8) as u64 + 224);
    assert_eq!(stats.live_bytes, Some(live));
    assert!(stats.log_bytes < 3 * live, "{stats:?}");
    assert!(stats.reclaimed_bytes > live, "{stats:?}");
    for what in ["closed", "closed, without its index", "killed", "killed, without its index"] {
        let disk = disk.killed();
        if what.starts_with("closed") {
            drop(open(&disk));
        }
        if what.contains("without") {
            disk.delete(INDEX);
        }
        let store = open(&disk);
        assert_holds_all(&store);
        let stats = wait_until(&store, what, |stats| stats.live_bytes.is_some());
        assert_eq!(stats.live_bytes, Some(live), "{what}");
        drop(store);
        let verified = verify_on(&disk.arc(), |_, _, _| true).expect("a log");
        assert!(verified.is_sound() && verified.torn == 0, "{what}: {verified:?}");
    }
}

#[test]
fn a_log_of_live_records_is_left_as_it_is() {
    let disk = TestDisk::new(2);
    let store = open(&disk);
    for number in 0.. {
        insert(&store, number, BODY);
        if number > 100 && store.stats().checkpoints >= 3 {
            break;
        }
    }
    let before = store.stats();
    drop(store);
    let names = disk.names();
    drop(open(&disk));
    assert_eq!((before.compactions, disk.names()), (0, names));
}

/// A second start compacts what the first one left: the counts are made again from the index.
#[test]
fn what_an_earlier_process_superseded_is_found_after_a_start() {
    let disk = TestDisk::new(3);
    // So slow that a segment takes days.
    let slow = Options::new("unused").segment_bytes(1 << 20).compaction_bytes_per_second(1);
    let slow = slow.max_body_bytes(16 << 10);
    let store = slow.clone().open_on(&disk.arc()).expect("the store opens");
    (0..100).for_each(|number| insert(&store, number, 16_000));
    for _ in 0..3 {
        (0..100).for_each(|number| replace(&store, number, number, 16_000).expect("durable"));
    }
    assert_eq!(store.stats().compactions, 0);
    drop(store);
    let store = slow.compaction_bytes_per_second(1 << 30).open_on(&disk.arc()).expect("the store opens");
    let stats = wait_until(&store, "compacted", |stats| stats.compactions >= 3);
    assert_eq!(stats.live_bytes, Some(100 * (16_000 + 224)));
}

#[test]
fn a_read_never_misses_a_record_that_moves() {
    let disk = TestDisk::new(4);
    let store = open(&disk);
    (0..RECORDS).for_each(|number| insert(&store, number, BODY));
    let read = &store;
    std::thread::scope(|scope| {
        // Dropped at the end of this scope, also by a panic.
        let (done, ended) = std::sync::mpsc::channel::<()>();
        let reader = scope.spawn(move || {
            while matches!(ended.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty)) {
                for number in 0..RECORDS {
                    assert!(read.get(TX, &hash(number)).expect("no damage").is_some(), "{number}");
                }
            }
        });
        for round in 0..40 {
            for number in (0..RECORDS).filter(|number| number % 5 != 0) {
                replace(&store, number, number + round, BODY).expect("durable");
            }
        }
        drop(done);
        reader.join().expect("every read finds its record");
    });
    assert!(store.stats().compactions >= 20, "{:?}", store.stats());
    assert_eq!(store.stats().corrupt, 0);
}

/// Changes a byte in the body of the record in the segment `name`.
fn hurt(disk: &TestDisk, name: &str, number: u64) {
    disk.damage(name, |bytes| {
        let hash_at = bytes.windows(64).position(|it| it == hash(number).as_bytes()).expect("in the log");
        bytes[hash_at + 200] ^= 1;
    });
}

/// A record is damaged while it is current; then all others in its segment are replaced.
#[test]
fn a_segment_with_a_damaged_record_is_left_alone_until_that_is_repaired() {
    const HURT: u64 = 104;
    let disk = TestDisk::new(5);
    let store = open(&disk);
    // From 100 on no body holds the hash of another record.
    (100..108).for_each(|number| insert(&store, number, BODY));
    let first = "0000000000000001.log";
    hurt(&disk, first, HURT);
    let content = disk.content(first);
    for round in 1..6 {
        (100..108).filter(|number| *number != HURT).for_each(|number| {
            replace(&store, number, number + round * 1000, BODY).expect("durable");
        });
    }
    wait_for_compactions(&store, 100, 5100, |stats| stats.damaged_segments == 1 && stats.compactions > 0);
    assert_eq!(store.stats().damaged_segments, 1);
    assert_eq!(disk.content(first), content);
    for what in ["open", "again", "rebuilt"] {
        let store = match what {
            "open" => store.clone(),
            "again" => open(&disk.killed()),
            _ => {
                let disk = disk.killed();
                disk.delete(INDEX);
                open(&disk)
            }
        };
        let error = store.get(TX, &hash(HURT)).expect_err("damaged, never gone");
        assert!(matches!(error, ReadError::Corrupt { .. }), "{what}: {error}");
        assert_eq!((store.stats().records, store.stats().corrupt), (8, 1), "{what}");
    }
    // A repair is a newer version, and the damaged bytes are dead then.
    replace(&store, HURT, HURT, BODY).expect("durable");
    wait_for_compactions(&store, 100, 5100, |_| !disk.names().iter().any(|name| name == first));
    assert_eq!(store.stats().damaged_segments, 0, "none is left alone any more");
    drop(store);
    for what in ["again", "rebuilt"] {
        let disk = disk.killed();
        if what == "rebuilt" {
            disk.delete(INDEX);
        }
        let store = open(&disk);
        let stored = store.get(TX, &hash(HURT)).expect("repaired").expect("there");
        assert_eq!(stored.value, value(HURT, BODY), "{what}");
        let stats = store.stats();
        assert_eq!((stats.records, stats.corrupt, stats.unidentified), (8, 0, 0), "{what}");
    }
}

/// The damage is found by compaction only after the repair.
#[test]
fn a_segment_with_a_superseded_damaged_record_is_reclaimed() {
    const HURT: u64 = 104;
    let disk = TestDisk::new(5);
    let store = open(&disk);
    (100..108).for_each(|number| insert(&store, number, BODY));
    let first = "0000000000000001.log";
    hurt(&disk, first, HURT);
    assert!(store.get(TX, &hash(HURT)).is_err());
    for round in 1..6 {
        (100..108).for_each(|number| {
            replace(&store, number, number + round * 1000, BODY).expect("durable");
        });
    }
    wait_for_compactions(&store, 100, 5100, |_| !disk.names().iter().any(|name| name == first));
    assert_eq!((store.stats().damaged_segments, store.stats().corrupt), (0, 0));
    for number in 100..108 {
        let stored = store.get(TX, &hash(number)).expect("whole").expect("there");
        assert_eq!(stored.value, value(number + 5000, BODY));
    }
}

/// Cuts, spread over all calls that change the disk from the first replacement to the end of the last compaction.
const CUTS: u64 = 250;

/// Calls from the first replacement on, as one run without a cut has them.
fn calls_of_a_run() -> u64 {
    let disk = TestDisk::new(0);
    let store = open(&disk);
    (0..RECORDS).for_each(|number| insert(&store, number, BODY));
    let before = disk.calls();
    replace_rounds(&store, |_, _| {}).expect("durable");
    wait_for_compactions(&store, 1, seed(1, ROUNDS - 1), |stats| stats.compactions >= 6);
    disk.calls() - before
}

#[test]
fn a_power_cut_at_any_step_of_a_compaction_loses_nothing_and_brings_nothing_back() {
    let calls = calls_of_a_run();
    let (mut during, mut compactions) = (0, 0);
    for step in 0..CUTS {
        match cut_at(step, calls * step / CUTS, Faults::default()) {
            Ok(compacted) => {
                compactions += compacted;
                during += u64::from(compacted < 6);
            }
            Err(loss) => panic!("step {step}: {loss}"),
        }
    }
    println!("compaction: {CUTS} power cuts, {during} before its end, {compactions} segments compacted");
    assert!(compactions > 100 && during > CUTS / 2, "{during} {compactions}");
}

/// The controls: the same test finds the loss when a segment goes before its copies are durable, and when it goes before
/// the note is.
#[test]
fn without_the_sync_before_a_segment_is_removed_the_same_test_finds_the_loss() {
    let calls = calls_of_a_run();
    for faults in
        [Faults { copies_lie: true, ..Faults::default() }, Faults { notes_lie: true, ..Faults::default() }]
    {
        let found = (0..CUTS).any(|step| cut_at(step, calls * step / CUTS, faults).is_err());
        assert!(found, "{faults:?} must be found out");
    }
}

/// One disk whose power goes `calls` calls after the last insert. The segments compacted before, or what is wrong after.
fn cut_at(seed_of_disk: u64, calls: u64, faults: Faults) -> Result<u64, String> {
    let disk = TestDisk::new(seed_of_disk);
    disk.faults(|of_disk| *of_disk = faults);
    let store = open(&disk);
    for number in 0..RECORDS {
        insert(&store, number, BODY);
    }
    let off = disk.calls() + calls + 1;
    disk.faults(|faults| faults.off_at = Some(off));
    // The round that each record is in: the last one that is durable, and the last one asked for.
    let mut rounds: BTreeMap<_, _> = (0..RECORDS).map(|number| (number, 0..=0)).collect();
    // It ends when the power goes.
    let _ = replace_rounds(&store, |number, asked| {
        let durable = *rounds[&number].start();
        let allowed = match asked {
            Asked::Round(round) => durable..=round,
            Asked::Durable(round) => round..=round,
        };
        rounds.insert(number, allowed);
    });
    let last = seed(1, *rounds[&1].end());
    wait_for_compactions(&store, 1, last, |stats| stats.compactions >= 6);
    let compactions = store.stats().compactions;
    let disk = disk.crash();
    drop(store);
    for indexed in [true, false] {
        if !indexed {
            disk.delete(INDEX);
        }
        let store = options().open_on(&disk.arc()).map_err(|error| format!("open: {error:?}"))?;
        for (number, allowed) in &rounds {
            let stored = store.get(TX, &hash(*number)).map_err(|error| format!("{number}: {error}"))?;
            let stored = stored.ok_or_else(|| format!("{number} is gone"))?.value;
            if !allowed.clone().any(|round| stored == value(seed(*number, round), BODY)) {
                return Err(format!("{number} is none of the versions {allowed:?}"));
            }
        }
        let stats = store.stats();
        if (stats.records, stats.corrupt) != (RECORDS, 0) {
            return Err(format!("indexed={indexed}: {stats:?}"));
        }
    }
    Ok(compactions)
}

/// The disk fills up with dead bytes, since compaction is too slow; then it is not slow any more.
#[test]
fn a_full_disk_with_dead_bytes_gets_space_back_and_takes_writes_again_without_a_restart() {
    write_more_than_fits(Bound::Disk);
}

/// Most checkpoints fail meanwhile; a kill then leaves a log to replay that misses the segments that are gone.
#[test]
fn a_full_disk_gets_space_back_also_when_the_index_cannot_grow() {
    write_more_than_fits(Bound::DiskAndIndex);
}

/// The disk has space without end.
#[test]
fn at_its_quota_a_store_gets_space_back_as_on_a_full_disk() {
    write_more_than_fits(Bound::Quota);
}

/// What is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Disk,
    DiskAndIndex,
    Quota,
}

fn write_more_than_fits(bound: Bound) {
    const RECORDS: u64 = 300;
    const SPACE: u64 = 12 << 20;
    let disk = TestDisk::new(6);
    let slow = Options::new("unused").segment_bytes(1 << 20).max_body_bytes(4000).checkpoint_records(200);
    let mut slow = slow.compaction_bytes_per_second(1);
    let index_finds_it_full = bound == Bound::DiskAndIndex;
    if bound == Bound::Quota {
        slow = slow.quota_bytes(SPACE);
    }
    let store = slow.clone().open_on(&disk.arc()).expect("the store opens");
    disk.faults(|faults| faults.space = (bound != Bound::Quota).then_some(SPACE));
    disk.faults(|faults| faults.index_finds_it_full = index_finds_it_full);
    (0..RECORDS).for_each(|number| insert(&store, number, 3900));
    let (mut refused, mut written) = (0_u64, 0);
    // Five times what the disk holds.
    for round in 1..=50 {
        for number in 0..RECORDS {
            let deadline = Instant::now() + PATIENCE;
            while let Err(error) = replace(&store, number, number + round * 1000, 3900) {
                assert_eq!(error, WriteError::Full);
                refused += 1;
                assert!(store.get(TX, &hash(number)).expect("reads go on").is_some());
                assert!(Instant::now() < deadline, "{round} {number}: {:?}", store.stats());
            }
            written += 3900;
        }
    }
    assert!(written > 4 * SPACE);
    let stats = store.stats();
    println!("full disk: {refused} writes refused, {stats:?}");
    assert!(refused > 0 && stats.compactions > 20, "{refused} {stats:?}");
    assert!(stats.checkpoint_failures > 0 || !index_finds_it_full, "{stats:?}");
    let killed = disk.killed();
    drop(store);
    let disk = if index_finds_it_full { killed } else { disk };
    for indexed in [true, false] {
        if !indexed {
            disk.delete(INDEX);
        }
        let store = slow.clone().open_on(&disk.arc()).expect("the store opens");
        for number in 0..RECORDS {
            let stored = store.get(TX, &hash(number)).expect("no damage").expect("there");
            assert_eq!(stored.value, value(number + 50_000, 3900));
        }
        assert_eq!((store.stats().records, store.stats().corrupt), (RECORDS, 0));
    }
}
