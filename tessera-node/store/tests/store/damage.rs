//! Files damaged under the store: nothing wrong is ever read, nothing acknowledged is ever denied,
//! and everything that was not hit is still there.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tessera_store::{Hash, InsertOutcome, Kind, OpenError, Options, ReadError, Store, verify_on};

use crate::disk::TestDisk;
use crate::support::{hash, insert, replace, value};

const TX: Kind = Kind::Transaction;
const RECORDS: u64 = 120;
const INDEX: &str = "index.redb";
const UNFINISHED: &str = ".tmp";

/// As the format has it: HEAD, body, padding, TAIL; the hash at 40 of HEAD.
const HEADER: usize = 112;
const HASH_AT: usize = 40;

/// How long each loop of random damage may run beyond its minimum.
const TIME_LIMIT: Duration = Duration::from_secs(4);

/// Also on a machine that is busy.
const MIN_TRIALS: usize = 40;

fn options() -> Options {
    Options::new("unused").segment_bytes(16 << 10).max_body_bytes(4000).checkpoint_records(40)
}

fn body_bytes(number: u64) -> usize {
    usize::try_from(number * 37 % 700).expect("small")
}

/// Where a record is.
#[derive(Debug, Clone)]
struct RecordSpan {
    number: u64,
    segment: String,
    whole: Range<usize>,
    body: Range<usize>,
}

/// A disk with records, as it is when the process that wrote them was closed or killed.
struct Fixture {
    disk: TestDisk,
    spans: Vec<RecordSpan>,
    what: &'static str,
    indexed: bool,
}

fn fixtures() -> Vec<Fixture> {
    [("closed", true), ("closed", false), ("killed", true), ("killed", false)]
        .into_iter()
        .map(|(what, indexed)| fixture(what, indexed))
        .collect()
}

fn fixture(what: &'static str, indexed: bool) -> Fixture {
    let disk = TestDisk::new(0);
    let store = options().open_on(&disk.arc()).expect("the store opens");
    (0..RECORDS).for_each(|number| insert(&store, number, body_bytes(number)));
    let disk = if what == "killed" {
        disk.killed()
    } else {
        drop(store);
        disk
    };
    if !indexed {
        disk.delete(INDEX);
    }
    let spans = spans(&disk);
    Fixture { disk, spans, what, indexed }
}

/// The log, without the file that a thread of the store may just be making into the next segment.
fn segments(disk: &TestDisk) -> Vec<String> {
    disk.names().into_iter().filter(|name| name != INDEX && !name.ends_with(UNFINISHED)).collect()
}

/// Where each record is, by number.
fn spans(disk: &TestDisk) -> Vec<RecordSpan> {
    let numbers: HashMap<_, _> = (0..RECORDS).map(|number| (*hash(number).as_bytes(), number)).collect();
    let mut spans = BTreeMap::new();
    for segment in segments(disk) {
        let bytes = disk.content(&segment);
        for at in (HASH_AT..bytes.len() - Hash::LEN).step_by(8) {
            let found = <[u8; Hash::LEN]>::try_from(&bytes[at..at + Hash::LEN]).expect("64 bytes");
            if let Some(number) = numbers.get(&found) {
                // The first of two: HEAD comes before TAIL.
                spans.entry(*number).or_insert_with(|| record(*number, &segment, at - HASH_AT));
            }
        }
    }
    assert_eq!(spans.len(), numbers.len(), "every record is in the log");
    spans.into_values().collect()
}

fn record(number: u64, segment: &str, start: usize) -> RecordSpan {
    let body = start + HEADER..start + HEADER + body_bytes(number);
    let whole = start..body.end.next_multiple_of(8) + HEADER;
    RecordSpan { number, segment: segment.to_owned(), whole, body }
}

/// Reads every record: right, or an error where it may be one.
fn check_reads(store: &Store, spans: &[RecordSpan], may_fail: impl Fn(&RecordSpan) -> bool, what: &str) {
    for record in spans {
        match store.get(TX, &hash(record.number)) {
            Ok(Some(stored)) => {
                assert_eq!(stored.value, value(record.number, body_bytes(record.number)), "{what}");
            }
            Ok(None) => panic!("{what}: {record:?} is denied"),
            Err(ReadError::Corrupt { .. } | ReadError::Undecidable { .. }) if may_fail(record) => {}
            Err(error) => panic!("{what}: {record:?}: {error}"),
        }
    }
}

/// Opens a damaged disk, checks it, writes, and checks again after a restart and after a rebuild of the index.
fn check_damaged(fixture: &Fixture, hurt: &TestDisk, may_fail: impl Fn(&RecordSpan) -> bool, what: &str) {
    let mut store = options().open_on(&hurt.arc()).unwrap_or_else(|e| panic!("{what}: {e:?}"));
    check_reads(&store, &fixture.spans, &may_fail, what);
    let outcome = store.insert(TX, hash(9999), value(9999, 50)).wait();
    assert!(matches!(outcome, Ok(InsertOutcome::Inserted(_))), "{what}: {outcome:?}");
    for again in ["again", "rebuilt"] {
        drop(store);
        if again == "rebuilt" {
            hurt.delete(INDEX);
        }
        store = options().open_on(&hurt.arc()).unwrap_or_else(|e| panic!("{what} {again}: {e:?}"));
        check_reads(&store, &fixture.spans, &may_fail, &format!("{what}, {again}"));
        let added = store.get(TX, &hash(9999)).expect("sound").expect("acknowledged");
        assert_eq!(added.value, value(9999, 50), "{what} {again}");
    }
}

#[test]
fn a_flipped_bit_costs_at_most_the_record_whose_body_it_is_in() {
    let mut random = StdRng::seed_from_u64(11);
    let (mut flips, mut hits) = (0, 0);
    let fixtures = fixtures();
    let deadline = Instant::now() + TIME_LIMIT;
    while Instant::now() < deadline || flips < MIN_TRIALS {
        for fixture in &fixtures {
            let hurt = fixture.disk.killed();
            // Half of the flips where they matter most.
            let (segment, at) = if random.random_bool(0.5) {
                let record = &fixture.spans[random.random_range(0..fixture.spans.len())];
                (record.segment.clone(), random.random_range(record.whole.clone()))
            } else {
                let segments = segments(&hurt);
                let segment = segments[random.random_range(0..segments.len())].clone();
                let at = random.random_range(0..hurt.content(&segment).len());
                (segment, at)
            };
            let bit = random.random_range(0..8);
            hurt.damage(&segment, |bytes| bytes[at] ^= 1 << bit);
            let hit = |record: &RecordSpan| record.segment == segment && record.body.contains(&at);
            let what = format!("{} indexed={} {segment} {at}.{bit}", fixture.what, fixture.indexed);
            check_damaged(fixture, &hurt, hit, &what);
            flips += 1;
            hits += usize::from(fixture.spans.iter().any(hit));
        }
    }
    println!("bit flips: {flips}, of which in bodies: {hits}");
    assert!(hits > 0 && flips > hits);
}

#[test]
fn a_body_hit_by_a_flip_is_reported_and_counted_and_can_be_repaired() {
    for fixture in fixtures() {
        let hurt = fixture.disk.killed();
        let record = &fixture.spans[50];
        hurt.damage(&record.segment, |bytes| bytes[record.body.start] ^= 1);
        let store = options().open_on(&hurt.arc()).expect("the store opens");
        let error = store.get(TX, &hash(50)).expect_err("damaged");
        assert!(matches!(error, ReadError::Corrupt { hash: of, .. } if of == hash(50)));
        assert_eq!((store.stats().corrupt, store.stats().unidentified), (1, 0));
        assert_eq!(store.damaged().expect("an answer"), [(TX, hash(50))]);
        store.close();
        let store = options().open_on(&hurt.arc()).expect("the store opens");
        if !fixture.indexed {
            // The replay found it, so the index knows.
            assert_eq!(store.damaged().expect("an answer"), [(TX, hash(50))]);
        }
        let _ = store.get(TX, &hash(50)).expect_err("damaged");
        assert_eq!(store.damaged().expect("an answer"), [(TX, hash(50))]);

        replace(&store, 50, value(50, body_bytes(50)));

        check_reads(&store, &fixture.spans, |_| false, "repaired");
        assert_eq!(store.stats().corrupt, 0);
        assert_eq!(store.damaged().expect("an answer"), []);
    }
}

#[test]
fn the_last_record_is_not_taken_for_a_torn_one() {
    for fixture in fixtures() {
        let hurt = fixture.disk.killed();
        let last = &fixture.spans[fixture.spans.len() - 1];
        hurt.damage(&last.segment, |bytes| bytes[last.body.start] ^= 1);
        check_damaged(&fixture, &hurt, |record| record.number == last.number, fixture.what);
    }
}

#[test]
fn a_wiped_stretch_costs_the_records_in_it_and_none_is_denied() {
    let mut random = StdRng::seed_from_u64(12);
    let fixtures = fixtures();
    let deadline = Instant::now() + TIME_LIMIT;
    let mut wiped = 0;
    while Instant::now() < deadline || wiped < MIN_TRIALS {
        for fixture in &fixtures {
            let hurt = fixture.disk.killed();
            // Not the last record: without it and its marker the log simply ends before it.
            let record = &fixture.spans[random.random_range(0..fixture.spans.len() - 8)];
            let start = random.random_range(record.whole.clone());
            let span = start..start + random.random_range(1..1500);
            let last = &fixture.spans[fixture.spans.len() - 1];
            if record.segment == last.segment && span.end > last.whole.start {
                continue;
            }
            let noise = random.random_bool(0.5);
            hurt.damage(&record.segment, |bytes| {
                let end = span.end.min(bytes.len());
                bytes[span.start..end].fill_with(|| if noise { random.random() } else { 0 });
            });
            let hit = |other: &RecordSpan| {
                other.segment == record.segment
                    && other.whole.start < span.end
                    && span.start < other.whole.end
            };
            let what = format!("{} indexed={} {} {span:?}", fixture.what, fixture.indexed, record.segment);
            check_damaged(fixture, &hurt, hit, &what);
            wiped += 1;
        }
    }
    println!("wiped stretches: {wiped}");
}

#[test]
fn a_shortened_segment_keeps_what_is_before_the_cut_and_none_is_denied() {
    let mut random = StdRng::seed_from_u64(13);
    let fixtures = fixtures();
    let deadline = Instant::now() + TIME_LIMIT;
    let mut shortened = 0;
    while Instant::now() < deadline || shortened < MIN_TRIALS {
        for fixture in &fixtures {
            shortened += 1;
            let hurt = fixture.disk.killed();
            let record = &fixture.spans[random.random_range(0..fixture.spans.len())];
            let size = match random.random_range(0..10) {
                0 => 0,
                1 => random.random_range(0..4096),
                _ => random.random_range(4096..record.whole.end),
            };
            hurt.damage(&record.segment, |bytes| bytes.truncate(size));
            let hit = |other: &RecordSpan| other.segment == record.segment && other.whole.end > size;
            let what = format!("{} indexed={} {} {size}", fixture.what, fixture.indexed, record.segment);
            check_damaged(fixture, &hurt, hit, &what);
        }
    }
}

#[test]
fn a_lost_segment_costs_its_records_and_none_is_denied() {
    for fixture in fixtures() {
        let last = &fixture.spans[fixture.spans.len() - 1].segment;
        for lost in segments(&fixture.disk) {
            if lost == *last && (fixture.what == "killed" || !fixture.indexed) {
                continue; // What is left may be a shorter log that is sound in itself.
            }
            let hurt = fixture.disk.killed();
            hurt.delete(&lost);
            let store = options().open_on(&hurt.arc()).expect("the store opens");
            let what = format!("{} indexed={} lost {lost}", fixture.what, fixture.indexed);
            check_reads(&store, &fixture.spans, |record| record.segment == lost, &what);
        }
    }
}

#[test]
fn an_index_of_noise_is_made_anew() {
    let fixture = fixture("closed", true);
    let mut random = StdRng::seed_from_u64(14);
    for span in [0..64, 0..4096, 4096..8192, 0..usize::MAX] {
        let hurt = fixture.disk.killed();
        hurt.damage(INDEX, |bytes| {
            let end = span.end.min(bytes.len());
            bytes[span.start..end].fill_with(|| random.random());
        });
        let store = options().open_on(&hurt.arc()).expect("the store opens");
        check_reads(&store, &fixture.spans, |_| false, &format!("index {span:?}"));
    }
}

#[test]
fn an_index_of_another_store_is_made_anew() {
    let (ours, theirs) = (fixture("closed", true), fixture("closed", true));
    let hurt = ours.disk.killed();
    hurt.damage(INDEX, |bytes| *bytes = theirs.disk.content(INDEX));
    let store = options().open_on(&hurt.arc()).expect("the store opens");
    assert_eq!(store.stats().replayed, RECORDS);
    check_reads(&store, &ours.spans, |_| false, "another index");
}

#[test]
fn segments_of_two_stores_are_refused() {
    let (ours, theirs) = (fixture("closed", false), fixture("closed", false));
    let hurt = ours.disk.killed();
    let second = &segments(&hurt)[1];
    hurt.damage(second, |bytes| *bytes = theirs.disk.content(second));
    let error = options().open_on(&hurt.arc()).expect_err("two stores");
    assert!(matches!(&error, OpenError::ForeignSegment { name } if name == second), "{error}");
}

#[test]
fn a_log_without_any_readable_header_is_refused_when_the_index_is_gone_too() {
    let fixture = fixture("closed", false);
    let hurt = fixture.disk.killed();
    for segment in segments(&hurt) {
        hurt.damage(&segment, |bytes| bytes[..4096].fill(0));
    }
    let error = options().open_on(&hurt.arc()).expect_err("no identity");
    assert!(matches!(error, OpenError::NoReadableHeader), "{error}");
}

#[test]
fn a_payload_that_looks_like_a_record_is_not_taken_for_one() {
    let disk = TestDisk::new(0);
    let store = options().open_on(&disk.arc()).expect("the store opens");
    insert(&store, 1, 300);
    // The bytes of a real record of this format, but of another store.
    let other = fixture("closed", false);
    let record = &other.spans[5];
    let body = other.disk.content(&record.segment)[record.whole.clone()].to_vec();
    let forged = tessera_store::Value { codec: 0, timestamp_ms: 0, body };
    store.insert(TX, hash(2), forged).wait().expect("durable");
    insert(&store, 3, 300);
    drop(store);
    disk.delete(INDEX);
    // The header goes, so that the scan looks for the next record inside the body.
    let segment = segments(&disk)[0].clone();
    disk.damage(&segment, |bytes| {
        let at = bytes.windows(64).position(|it| it == hash(2).as_bytes()).expect("there");
        bytes[at] ^= 1;
    });
    let store = options().open_on(&disk.arc()).expect("the store opens");
    assert_eq!(store.get(TX, &hash(5)).expect("an answer"), None);
    assert!(store.get(TX, &hash(2)).expect("read by its other header").is_some());
}

/// A log of any end is verified without a start, which would repair it; each kind of damage is found, and its names are right.
#[test]
fn an_offline_check_names_what_is_damaged_and_changes_nothing() {
    for fixture in fixtures() {
        let what = format!("{} indexed={}", fixture.what, fixture.indexed);
        let check = |disk: &TestDisk| {
            let before = disk.calls();
            let verified = verify_on(&disk.arc(), |kind, hash, value| {
                kind == TX
                    && fixture.spans.iter().any(|record| {
                        *hash == crate::support::hash(record.number)
                            && value == crate::support::value(record.number, body_bytes(record.number))
                    })
            });
            assert_eq!(disk.calls(), before, "{what}: it only reads");
            verified.unwrap_or_else(|error| panic!("{what}: {error}"))
        };
        let sound = check(&fixture.disk.killed());
        assert!(sound.is_sound() && sound.torn == 0 && sound.records == RECORDS, "{what}: {sound:?}");

        let hurt = fixture.disk.killed();
        let record = &fixture.spans[50];
        hurt.damage(&record.segment, |bytes| bytes[record.body.start] ^= 1);
        let found = check(&hurt);
        assert_eq!(found.damaged.iter().collect::<Vec<_>>(), [&(TX, hash(50))], "{what}");
        assert_eq!((found.records, found.lost), (RECORDS - 1, 0), "{what}");

        let hurt = fixture.disk.killed();
        hurt.damage(&record.segment, |bytes| bytes[record.whole.clone()].fill(0));
        let found = check(&hurt);
        assert_eq!((found.damaged.len(), found.lost, found.is_sound()), (0, 1, false), "{what}");

        let hurt = fixture.disk.killed();
        hurt.delete(&record.segment);
        assert!(!check(&hurt).is_sound(), "{what}");
    }
}
