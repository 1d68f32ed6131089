//! A real process on the real file system, killed while it writes.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tessera_store::{Kind, ReplaceOutcome, Store};

use crate::support::{assert_holds, hash, open, options, value};

const DIR: &str = "TESSERA_STORE_TEST_DIR";
const RUN: &str = "TESSERA_STORE_TEST_RUN";
const NAME: &str = "kill::what_a_killed_process_acknowledged_is_there";
const REPLACING: &str = "kill::what_a_killed_process_replaced_is_there_and_the_rest_is_compacted";

const KILLS: u64 = 6;
const WRITERS: u64 = 8;
/// Much more than recovery takes, for a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

const RUN_SPAN: u64 = 1_000_000;

#[test]
fn what_a_killed_process_acknowledged_is_there() {
    if let (Ok(dir), Ok(run)) = (std::env::var(DIR), std::env::var(RUN)) {
        write_until_killed(Path::new(&dir), run.parse().expect("a number"));
    }
    let dir = tempfile::tempdir().expect("a directory");
    let mut acknowledged = BTreeMap::new();
    for run in 0..KILLS {
        let mut child = writer(dir.path(), run, NAME);
        let wanted = usize::try_from(200 + run * 300).expect("small");
        let new = kill_after(&mut child, wanted);
        assert!(new.len() >= wanted, "{} of {wanted} before the kill", new.len());
        acknowledged.extend(new.into_iter().map(|number| (number, body_bytes(number))));

        let started = Instant::now();
        let store = open(dir.path());
        let took = started.elapsed();
        assert!(took < PATIENCE, "recovery took {took:?}");
        assert_eq!(store.stats().corrupt, 0);
        for (number, bytes) in &acknowledged {
            assert_holds(&store, *number, *bytes);
        }
    }
    println!("kill test: {KILLS} kills, {} acknowledged", acknowledged.len());
}

fn body_bytes(number: u64) -> usize {
    usize::try_from(number * 31 % 900).expect("small")
}

fn writer(dir: &Path, run: u64, test: &str) -> Child {
    Command::new(std::env::current_exe().expect("a running test has a path"))
        .args(["--exact", test, "--nocapture"])
        .env(DIR, dir)
        .env(RUN, run.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test binary starts")
}

/// Reads acknowledgements, kills in the middle, and reads those that were still on their way.
fn kill_after(child: &mut Child, wanted: usize) -> Vec<u64> {
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    let mut text = String::new();
    let mut lines = 0;
    while lines < wanted {
        let read = output.read_line(&mut text).expect("the child speaks");
        assert!(read > 0, "the child ended by itself: {text}");
        lines = text.matches("ack ").count();
    }
    child.kill().expect("SIGKILL");
    child.wait().expect("it ends");
    output.read_to_string(&mut text).expect("the rest of the pipe");
    // A last line without its end may be half a number.
    text.split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n')?.rsplit_once("ack ")?.1.parse().ok())
        .collect()
}

/// The child: acknowledges on its standard output what the store acknowledged to it.
fn write_until_killed(dir: &Path, run: u64) -> ! {
    let store = options(dir).checkpoint_records(100).open().expect("the store opens");
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let store = &store;
            scope.spawn(move || {
                let numbers = run * RUN_SPAN + writer..(run + 1) * RUN_SPAN;
                numbers.step_by(8).for_each(|number| write_one(store, number));
            });
        }
    });
    std::process::exit(0)
}

/// Records of the second test: each writer has eight of them, and replaces them for as long as it lives.
const REPLACED: u64 = 64;

/// Kills hit compactions as well: of all that is written little is live.
#[test]
fn what_a_killed_process_replaced_is_there_and_the_rest_is_compacted() {
    if let Ok(dir) = std::env::var(DIR) {
        replace_until_killed(Path::new(&dir));
    }
    let dir = tempfile::tempdir().expect("a directory");
    // By record: the number of its last version that was acknowledged.
    let mut acknowledged = BTreeMap::new();
    for run in 0..KILLS {
        let mut child = writer(dir.path(), run, REPLACING);
        for number in kill_after(&mut child, usize::try_from(800 + run * 150).expect("small")) {
            let last = acknowledged.entry(number % REPLACED).or_insert(0);
            *last = number.max(*last);
        }
        let store = open(dir.path());
        assert_eq!((store.stats().corrupt, store.stats().unidentified), (0, 0));
        for (record, last) in &acknowledged {
            let found = version(&store, *record).expect("acknowledged");
            assert!(found >= *last && found % REPLACED == *record, "{record}: {found}, {last} acknowledged");
            let stored = store.get(Kind::Transaction, &hash(*record)).expect("no damage").expect("there");
            assert_eq!(stored.value, value(found, body_bytes(found)), "{record}");
        }
    }
    let store = open(dir.path());
    let started = Instant::now();
    // All live records fit two segments; the rest is the one in use, those ahead, and what a checkpoint has not passed.
    while store.stats().segments > 12 {
        assert!(started.elapsed() < PATIENCE, "{:?}", store.stats());
        std::thread::yield_now();
    }
    println!("kill test: {KILLS} kills, {:?}", store.stats());
}

/// The number of the version that is there.
fn version(store: &Store, record: u64) -> Option<u64> {
    let stored = store.get(Kind::Transaction, &hash(record)).expect("no damage");
    stored.map(|stored| stored.value.timestamp_ms)
}

fn replace_until_killed(dir: &Path) -> ! {
    let store = options(dir).checkpoint_records(100).open().expect("the store opens");
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let store = &store;
            scope.spawn(move || {
                loop {
                    for record in (writer..REPLACED).step_by(8) {
                        replace_one(store, record);
                    }
                }
            });
        }
    });
    std::process::exit(0)
}

fn replace_one(store: &Store, record: u64) {
    let number = version(store, record).map_or(record, |number| number + REPLACED);
    let value = || value(number, body_bytes(number));
    // Compaction may give a record another version in between.
    while match store.version(Kind::Transaction, &hash(record)).expect("an answer") {
        None => store.insert(Kind::Transaction, hash(record), value()).wait().is_err(),
        Some(read) => {
            let replaced = store.compare_and_replace(Kind::Transaction, hash(record), read, value()).wait();
            !matches!(replaced.expect("durable"), ReplaceOutcome::Replaced(_))
        }
    } {}
    let line = format!("ack {number}\n");
    std::io::stdout().lock().write_all(line.as_bytes()).expect("the parent reads");
}

fn write_one(store: &Store, number: u64) {
    let value = value(number, body_bytes(number));
    store.insert(Kind::Transaction, hash(number), value).wait().expect("durable");
    let line = format!("ack {number}\n");
    std::io::stdout().lock().write_all(line.as_bytes()).expect("the parent reads");
}
