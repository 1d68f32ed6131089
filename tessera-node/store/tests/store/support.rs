//! Stores and values to test with.

use std::path::Path;

use tessera_store::{Hash, InsertOutcome, Kind, Options, ReplaceOutcome, Store, Value};

/// Small segments, so that every test crosses from one to the next.
pub(crate) const SEGMENT_BYTES: u64 = 64 << 10;

pub(crate) fn options(dir: &Path) -> Options {
    Options::new(dir).segment_bytes(SEGMENT_BYTES).max_body_bytes(16 << 10)
}

pub(crate) fn open(dir: &Path) -> Store {
    options(dir).open().expect("the store opens")
}

/// A hash and a value that follow from a number, so that a test can say what it must read.
pub(crate) fn hash(number: u64) -> Hash {
    let mut bytes = [0; Hash::LEN];
    for (at, piece) in (0_u64..).zip(bytes.chunks_exact_mut(8)) {
        piece.copy_from_slice(&mix(number * 8 + at).to_le_bytes());
    }
    Hash::new(bytes)
}

pub(crate) fn value(number: u64, bytes: usize) -> Value {
    let seed = number * 7919;
    let body = (seed..).flat_map(|at| mix(at).to_le_bytes()).take(bytes).collect();
    Value { codec: u8::try_from(number % 251).expect("small"), timestamp_ms: number, body }
}

/// The finaliser of splitmix64: a bijection, so that numbers and hashes are one to one.
pub(crate) fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

pub(crate) fn insert(store: &Store, number: u64, bytes: usize) {
    let outcome = store
        .insert(Kind::Transaction, hash(number), value(number, bytes))
        .wait()
        .expect("the insert is durable");
    assert!(matches!(outcome, InsertOutcome::Inserted(_)), "{number}: {outcome:?}");
}

/// Replaces the record, damaged or not.
pub(crate) fn replace(store: &Store, number: u64, value: Value) {
    let version = store.version(Kind::Transaction, &hash(number)).expect("an answer").expect("there");
    let outcome = store
        .compare_and_replace(Kind::Transaction, hash(number), version, value)
        .wait()
        .expect("the replacement is durable");
    assert!(matches!(outcome, ReplaceOutcome::Replaced(_)), "{number}: {outcome:?}");
}

pub(crate) fn assert_holds(store: &Store, number: u64, bytes: usize) {
    let stored = store
        .get(Kind::Transaction, &hash(number))
        .unwrap_or_else(|error| panic!("{number}: {error}"))
        .unwrap_or_else(|| panic!("{number} is gone"));
    assert_eq!(stored.value, value(number, bytes), "{number}");
}
