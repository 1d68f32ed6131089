//! Power cuts on a disk that keeps nothing unasked, many times over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tessera_store::{
    InsertOutcome, Kind, Options, Pending, ReadError, ReplaceOutcome, Store, Value, WriteError,
};

use crate::disk::{Faults, TestDisk};
use crate::support::{assert_holds, hash, insert, value};

const TX: Kind = Kind::Transaction;
const FIRST_SEGMENT: &str = "0000000000000001.log";
const INDEX: &str = "index.redb";

/// How long the short form may run beyond its minimum.
const TIME_LIMIT: Duration = Duration::from_secs(8);

/// Power cuts of the short form, also on a busy machine. `TESSERA_CRASH_CUTS` sets those of the long form.
const MIN_CUTS: u64 = 120;

const CUTS_PER_DISK: u64 = 6;

/// What a record may be after a crash: the last acknowledged state, which comes first, or one asked for after it. One that was
/// refused for space stays possible until a later write has succeeded (see [`WriteError::Full`]).
type Allowed = BTreeMap<u64, Vec<Option<Value>>>;

#[test]
fn no_acknowledged_record_is_lost_by_a_power_cut() {
    let wanted = std::env::var("TESSERA_CRASH_CUTS").ok().and_then(|cuts| cuts.parse().ok());
    let deadline = Instant::now() + if wanted.is_some() { Duration::ZERO } else { TIME_LIMIT };
    let (mut crashes, mut acknowledged, mut refused, mut compactions) = (0, 0, 0, 0);
    for seed in 0.. {
        if crashes >= wanted.unwrap_or(MIN_CUTS) && Instant::now() > deadline {
            break;
        }
        let run = run(seed, Faults::default());
        if let Err(loss) = run.result {
            panic!("seed {seed}: {loss}");
        }
        crashes += run.crashes;
        acknowledged += run.acknowledged;
        refused += run.refused;
        compactions += run.compactions;
    }
    println!(
        "crash test: {crashes} power cuts, {acknowledged} acknowledged changes, {refused} refused for space, {compactions} segments compacted"
    );
    assert!(acknowledged >= 500 && refused >= 20, "{acknowledged} {refused}");
    assert!(compactions >= 20, "{compactions}");
}

/// The control: the same test finds the loss when syncs do nothing.
#[test]
fn with_syncs_that_do_nothing_the_same_test_finds_the_loss() {
    for faults in
        [Faults { syncs_lie: true, ..Faults::default() }, Faults { commits_lie: true, ..Faults::default() }]
    {
        // One run may end before anything was there to lose.
        let found = (0..20).any(|seed| run(seed, faults).result.is_err());
        assert!(found, "{faults:?} must be found out");
    }
}

struct Run {
    result: Result<(), String>,
    crashes: u64,
    acknowledged: u64,
    refused: u64,
    compactions: u64,
}

/// One disk through several crashes.
fn run(seed: u64, faults: Faults) -> Run {
    let mut random = StdRng::seed_from_u64(seed);
    let mut disk = TestDisk::new(seed);
    disk.faults(|of_disk| *of_disk = faults);
    let mut allowed = Allowed::new();
    let mut counts = Counts::default();
    let mut result = Ok(());
    let mut crashes = 0;
    while crashes < CUTS_PER_DISK && result.is_ok() {
        // Early ends hit opening itself – segment creation, replay, zeroing, the marker – and what
        // opening left right behind the end of the log.
        let calls = if random.random_bool(0.5) { 40 } else { 400 };
        let off = disk.calls() + random.random_range(1..calls);
        disk.faults(|faults| faults.off_at = Some(off));
        live(&disk, &mut random, &mut allowed, &mut counts);
        crashes += 1;
        // A killed process leaves in the page cache what the next power cut may take.
        disk = if random.random_bool(0.3) { disk.killed_unsynced() } else { disk.crash() };
        // What is gone from the log must not be missed by a start that has nothing but the log.
        if random.random_bool(0.3) && disk.names().iter().any(|name| name == INDEX) {
            disk.delete(INDEX);
        }
        result = check_records(&disk, &mut allowed);
    }
    let Counts { acknowledged, refused, compactions } = counts;
    Run { result, crashes, acknowledged, refused, compactions }
}

#[derive(Default)]
struct Counts {
    acknowledged: u64,
    refused: u64,
    compactions: u64,
}

/// Changes the disk's faults at random, each by itself: the disk fills up and has space again, with
/// and without writes that fail half way, and once in a while a sync fails.
fn change_faults(disk: &TestDisk, random: &mut StdRng) {
    disk.faults(|faults| {
        if random.random_bool(0.2) {
            faults.writes_find_it_full = random.random_bool(0.4);
        }
        if random.random_bool(0.2) {
            faults.space = random.random_bool(0.4).then_some(0);
        }
        if random.random_bool(0.1) {
            faults.index_finds_it_full = random.random_bool(0.4);
        }
        faults.next_sync_fails |= random.random_bool(0.004);
    });
}

fn options() -> Options {
    Options::new("unused").segment_bytes(16 << 10).max_body_bytes(4000).checkpoint_records(24)
}

/// Changes records until the power is off.
fn live(disk: &TestDisk, random: &mut StdRng, allowed: &mut Allowed, counts: &mut Counts) {
    change_faults(disk, random);
    let Ok(store) = options().open_on(&disk.arc()) else {
        return;
    };
    // Of few records most versions are dead.
    let records = if random.random_bool(0.5) { 150 } else { 25 };
    change_records(&store, disk, random, records, allowed, counts);
    let stats = store.stats();
    counts.compactions += stats.compactions;
    assert_eq!(stats.damaged_segments, 0, "nothing was damaged");
}

fn change_records(
    store: &Store,
    disk: &TestDisk,
    random: &mut StdRng,
    records: u64,
    allowed: &mut Allowed,
    counts: &mut Counts,
) {
    loop {
        change_faults(disk, random);
        let mut pending = Vec::new();
        for _ in 0..random.random_range(1..12) {
            let number = random.random_range(0..records);
            // One change of a record at a time, so that the order of answers does not matter.
            if pending.iter().all(|(other, _)| *other != number) {
                pending.push((number, ask(store, random, number, allowed)));
            }
        }
        let (mut written, mut full) = (0, 0);
        for (number, asked) in pending {
            let states = allowed.get_mut(&number).expect("it was asked for");
            match asked.wait(store, number) {
                Ok(Answer::Written(state)) => {
                    written += 1;
                    *states = vec![Some(state)];
                }
                Ok(Answer::Exists(state)) => {
                    counts.acknowledged += 1;
                    assert_eq!(states[0], Some(state), "{number}: what was refused is not read");
                    // The change was decided before anything of it was written.
                    states.pop();
                }
                Ok(Answer::Moved) => {
                    states.pop();
                }
                Err(WriteError::Full) => full += 1,
                // Without power the index does not answer either.
                Err(WriteError::Poisoned | WriteError::Index) => return,
                Err(error) => panic!("{number}: {error}"),
            }
        }
        counts.acknowledged += written;
        counts.refused += full;
        if written > 0 && full == 0 {
            for states in allowed.values_mut() {
                states.truncate(1);
            }
        }
    }
}

/// A change that was asked for, and what the record is when it is done.
enum Asked {
    Insert(Pending<InsertOutcome>, Value),
    Replace(Pending<ReplaceOutcome>, Value),
}

/// What came of a change.
enum Answer {
    /// The record is this, durably.
    Written(Value),
    /// The record was this before, and is.
    Exists(Value),
    /// Compaction wrote the record again in between, so nothing was changed.
    Moved,
}

fn ask(store: &Store, random: &mut StdRng, number: u64, allowed: &mut Allowed) -> Asked {
    let bytes = random.random_range(0..2500);
    let new = value(random.random_range(1..1_000_000), bytes);
    let states = allowed.entry(number).or_insert_with(|| vec![None]);
    states.push(Some(new.clone()));
    match store.version(TX, &hash(number)).unwrap_or(None) {
        Some(version) if random.random_bool(0.5) => {
            Asked::Replace(store.compare_and_replace(TX, hash(number), version, new.clone()), new)
        }
        _ => Asked::Insert(store.insert(TX, hash(number), new.clone()), new),
    }
}

impl Asked {
    fn wait(self, store: &Store, number: u64) -> Result<Answer, WriteError> {
        match self {
            Self::Replace(pending, new) => match pending.wait()? {
                ReplaceOutcome::Replaced(_) => Ok(Answer::Written(new)),
                ReplaceOutcome::Changed { .. } => Ok(Answer::Moved),
                outcome @ ReplaceOutcome::Absent => panic!("{number}: {outcome:?}"),
            },
            Self::Insert(pending, new) => Ok(match pending.wait()? {
                InsertOutcome::Inserted(_) => Answer::Written(new),
                InsertOutcome::AlreadyExists(_) => {
                    // Without power the index does not answer.
                    let stored = store.get(TX, &hash(number)).map_err(|_| WriteError::Index)?;
                    Answer::Exists(stored.expect("it is said to exist").value)
                }
            }),
        }
    }
}

/// Opens after a crash: every record is in an allowed state, which is then the only one.
fn check_records(disk: &TestDisk, allowed: &mut Allowed) -> Result<(), String> {
    let store = options().open_on(&disk.arc()).map_err(|error| format!("open: {error:?}"))?;
    let stats = store.stats();
    if stats.corrupt > 0 {
        return Err(format!("a power cut counts as damage: {stats:?}"));
    }
    for (number, states) in allowed.iter_mut() {
        let found = store
            .get(TX, &hash(*number))
            .map_err(|error: ReadError| format!("{number}: {error}"))?
            .map(|stored| stored.value);
        if !states.contains(&found) {
            return Err(format!("{number} is {found:?}, not one of {states:?}"));
        }
        *states = vec![found];
    }
    let live = allowed.values().filter(|states| states[0].is_some()).count() as u64;
    if stats.records != live {
        return Err(format!("{live} records, {} counted", stats.records));
    }
    Ok(())
}

#[test]
fn a_failed_sync_poisons_the_store_and_is_never_tried_again() {
    let disk = TestDisk::new(1);
    let store = options().open_on(&disk.arc()).expect("the store opens");
    store.insert(TX, hash(1), value(1, 10)).wait().expect("durable");
    disk.faults(|faults| faults.next_sync_fails = true);

    assert_eq!(store.insert(TX, hash(2), value(2, 10)).wait(), Err(WriteError::Poisoned));

    let reason = store.fatal().now().expect("the process is told");
    assert!(reason.contains("fdatasync"), "{reason}");
    let calls = disk.calls();
    assert_eq!(store.insert(TX, hash(3), value(3, 10)).wait(), Err(WriteError::Poisoned));
    store.close();
    assert_eq!(disk.calls(), calls, "nothing more is written or synced");
    assert!(store.get(TX, &hash(1)).expect("reads go on").is_some());
    assert_eq!(store.get(TX, &hash(2)).expect("never published"), None);
}

#[test]
fn a_full_disk_refuses_writes_and_serves_reads_until_there_is_space() {
    let disk = TestDisk::new(2);
    let store = options().open_on(&disk.arc()).expect("the store opens");
    disk.faults(|faults| faults.space = Some(0));
    let insert = |number| store.insert(TX, hash(number), value(number, 2000)).wait();
    let accepted = (0..1000).take_while(|number| insert(*number).is_ok()).count() as u64;
    assert!((3..100).contains(&accepted), "{accepted} fit the segment");
    for number in accepted..accepted + 20 {
        assert_eq!(insert(number), Err(WriteError::Full));
    }
    assert!(store.fatal().now().is_none());
    for number in 0..accepted {
        let stored = store.get(TX, &hash(number)).expect("reads go on").expect("there");
        assert_eq!(stored.value, value(number, 2000));
    }

    disk.faults(|faults| faults.space = None);

    for number in accepted..accepted + 200 {
        assert!(matches!(insert(number), Ok(InsertOutcome::Inserted(_))));
    }
    assert!(store.stats().full > 0);
    drop(store);
    let store = options().open_on(&disk.arc()).expect("the store opens");
    assert_eq!((store.stats().records, store.stats().corrupt), (accepted + 200, 0));
}

/// A segment could not be made for want of space, then there was some, and the power went while it was made: the file of the
/// first attempt must not be found under the segment's name.
#[test]
fn a_power_cut_while_a_segment_is_made_again_costs_nothing() {
    for seed in 0..40 {
        for calls in 1..14 {
            let disk = TestDisk::new(seed);
            let store = options().open_on(&disk.arc()).expect("the store opens");
            disk.faults(|faults| faults.space = Some(0));
            let insert = |number| store.insert(TX, hash(number), value(number, 3000)).wait();
            let accepted = (0..100).take_while(|number| insert(*number).is_ok()).count() as u64;
            let off = disk.calls() + calls;
            disk.faults(|faults| (faults.space, faults.off_at) = (None, Some(off)));
            let more = insert(accepted).is_ok();
            drop(store);

            let store = options().open_on(&disk.crash().arc()).expect("the store opens");

            let stats = store.stats();
            assert_eq!(stats.corrupt, 0, "{seed} {calls}: {stats:?}");
            assert!(stats.records >= accepted + u64::from(more), "{seed} {calls}: {stats:?}");
        }
    }
}

#[test]
fn a_write_that_finds_the_disk_full_half_way_leaves_no_trace() {
    let disk = TestDisk::new(3);
    let store = options().open_on(&disk.arc()).expect("the store opens");
    store.insert(TX, hash(1), value(1, 100)).wait().expect("durable");
    disk.faults(|faults| faults.writes_find_it_full = true);
    let mut pending = Vec::new();
    // The writer is held up with the first, so the others share a batch, whose half is whole records.
    disk.while_held(|| {
        for (number, bytes) in [(2, 200), (3, 200), (4, 200), (5, 3500)] {
            pending.push(store.insert(TX, hash(number), value(number, bytes)));
        }
    });
    for pending in pending {
        assert_eq!(pending.wait(), Err(WriteError::Full));
    }
    disk.faults(|faults| faults.writes_find_it_full = false);
    store.insert(TX, hash(6), value(6, 0)).wait().expect("durable");

    let store = options().open_on(&disk.killed().arc()).expect("the store opens");

    assert_eq!((store.stats().records, store.stats().corrupt), (2, 0));
    for number in 2..6 {
        assert_eq!(store.get(TX, &hash(number)).expect("an answer"), None);
    }
}

/// The batches that failed leave whole records at the end of the first segment; the next request goes
/// to the second segment, which uses their sequence numbers again.
fn failed_batches_before_a_rotation() -> (TestDisk, Vec<u8>) {
    let disk = TestDisk::new(6);
    let store = options().open_on(&disk.arc()).expect("the store opens");
    (0..3).for_each(|number| insert(&store, number, 3000));
    disk.faults(|faults| faults.writes_find_it_full = true);
    let mut pending = Vec::new();
    disk.while_held(|| pending.extend((10..15).map(|n| store.insert(TX, hash(n), value(n, 200)))));
    for pending in pending {
        assert_eq!(pending.wait(), Err(WriteError::Full));
    }
    let failed = disk.content(FIRST_SEGMENT);
    disk.faults(|faults| faults.writes_find_it_full = false);
    insert(&store, 20, 3500);
    assert_eq!(store.stats().segments, 2);
    (disk.killed(), failed)
}

fn check_after_the_rotation(disk: &TestDisk, what: &str) {
    let store = options().open_on(&disk.arc()).expect("the store opens");
    for (number, bytes) in [(0, 3000), (1, 3000), (2, 3000), (20, 3500)] {
        assert_holds(&store, number, bytes);
    }
    for number in 10..15 {
        assert_eq!(store.get(TX, &hash(number)).expect(what), None, "{what}: {number} was refused");
    }
    assert_eq!((store.stats().records, store.stats().corrupt), (4, 0), "{what}");
}

#[test]
fn a_record_acknowledged_after_failed_batches_and_a_rotation_survives_a_kill() {
    let (disk, _) = failed_batches_before_a_rotation();
    check_after_the_rotation(&disk, "with the index");
    disk.delete("index.redb");
    check_after_the_rotation(&disk, "without the index");
}

/// The log as a store wrote it that did not zero the failed batches.
#[test]
fn replay_ends_a_segment_where_the_next_one_starts_its_sequence_numbers_again() {
    let (disk, failed) = failed_batches_before_a_rotation();
    disk.damage(FIRST_SEGMENT, |bytes| bytes.clone_from(&failed));
    check_after_the_rotation(&disk, "with the index");
    disk.delete("index.redb");
    check_after_the_rotation(&disk, "without the index");
}

/// A batch of which a later record survived and an earlier one did not is cut at the earlier one;
/// the later must not come back when the log has grown up to where it lies.
#[test]
fn what_was_cut_from_a_torn_batch_does_not_come_back() {
    for attempt in 0..20 {
        let disk = TestDisk::new(attempt);
        let store = options().open_on(&disk.arc()).expect("the store opens");
        let mut pending = Vec::new();
        // Mostly the writer is held up with the first, so the other two share a batch.
        disk.while_held(|| {
            pending.extend((1..4).map(|n| store.insert(TX, hash(n), value(n, 200))));
        });
        for pending in pending {
            assert!(pending.wait().is_ok());
        }
        let torn = disk.killed();
        torn.damage(FIRST_SEGMENT, |bytes| {
            let at =
                |number| bytes.windows(64).position(|it| it == hash(number).as_bytes()).expect("in the log");
            let (second, third) = (at(2), at(3));
            bytes[second + 100] ^= 1;
            // All behind the third record, with the marker that proves the batch.
            bytes[third - 40 + 112 + 200 + 112..].fill(0);
        });
        torn.delete("index.redb");

        let store = options().open_on(&torn.arc()).expect("the store opens");
        if store.stats().corrupt > 0 {
            continue; // The third was in a batch of its own: that proves the second durable.
        }
        assert_eq!(store.stats().records, 1);
        store.insert(TX, hash(4), value(4, 0)).wait().expect("durable");

        let store = options().open_on(&torn.killed().arc()).expect("the store opens");
        assert_eq!((store.stats().records, store.stats().corrupt), (2, 0));
        assert_eq!(store.get(TX, &hash(3)).expect("an answer"), None);
        return;
    }
    panic!("never two records in one batch");
}

#[test]
fn a_checkpoint_on_a_full_disk_is_tried_again() {
    let disk = TestDisk::new(4);
    let options = Options::new("unused").segment_bytes(4 << 20).max_body_bytes(4000).checkpoint_records(2000);
    let store = options.clone().open_on(&disk.arc()).expect("the store opens");
    disk.faults(|faults| faults.space = Some(0));
    let pending: Vec<_> =
        (0..6000).map(|number| store.insert(TX, hash(number), value(number, 100))).collect();
    for pending in pending {
        pending.wait().expect("the segment has its space");
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while store.stats().checkpoint_failures == 0 {
        assert!(Instant::now() < deadline, "{:?}", store.stats());
        std::thread::yield_now();
    }
    assert!(store.fatal().now().is_none());
    for number in 0..6000 {
        assert!(store.get(TX, &hash(number)).expect("reads go on").is_some());
    }
    disk.faults(|faults| faults.space = None);
    drop(store);
    let store = options.open_on(&disk.arc()).expect("the store opens");
    assert_eq!((store.stats().replayed, store.stats().records), (0, 6000));
}

/// The rotations of many segments wait for no checkpoint, however long it takes.
#[test]
fn a_checkpoint_that_hangs_holds_up_no_write() {
    let disk = TestDisk::new(7);
    let store = options().open_on(&disk.arc()).expect("the store opens");
    disk.faults(|faults| faults.index_syncs_hang = true);
    let (sender, written) = std::sync::mpsc::channel();
    let writer = store.clone();
    let thread = std::thread::spawn(move || {
        (0..60).for_each(|number| insert(&writer, number, 2000));
        sender.send(()).expect("the test waits");
    });
    let outcome = written.recv_timeout(Duration::from_mins(1));
    disk.faults(|faults| faults.index_syncs_hang = false);
    thread.join().expect("all are durable");
    outcome.expect("durable while the checkpoint hangs");
    assert!(store.stats().segments >= 10, "{:?}", store.stats());
}

/// A completion can be awaited as well as waited for.
#[test]
fn the_fatal_signal_wakes_who_awaits_it() {
    let disk = TestDisk::new(5);
    let store = Arc::new(options().open_on(&disk.arc()).expect("the store opens"));
    let fatal = store.fatal();
    let waiter = std::thread::spawn(move || futures::executor::block_on(fatal.reason()));
    disk.faults(|faults| faults.next_sync_fails = true);
    let answer = futures::executor::block_on(store.insert(TX, hash(2), value(2, 10)));
    assert_eq!(answer, Err(WriteError::Poisoned));
    assert!(waiter.join().expect("no panic").contains("fdatasync"));
}
