//! Inserts from 64 threads for a few seconds, and how many of them shared each `fdatasync`.
//!
//! `cargo run --release -p tessera-store --example bench [SECONDS] [BODY_BYTES]`
//!
//! The directory is a temporary one: set `TMPDIR` to the disk to measure.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tessera_store::{BATCH_SIZE_BOUNDS, Hash, Kind, Options, Stats, Store, Value};

const WRITERS: u64 = 64;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().map_or(Ok(3), |argument| argument.parse())?;
    let body_bytes = arguments.next().map_or(Ok(600), |argument| argument.parse())?;

    let dir = tempfile::tempdir()?;
    let store = Options::new(dir.path()).open()?;
    let started = Instant::now();
    write(&store, Duration::from_secs(seconds), body_bytes);
    report(&store.stats(), started.elapsed());

    drop(store);
    let started = Instant::now();
    let store = Options::new(dir.path()).open()?;
    println!("open: {:?} with {} records", started.elapsed(), store.stats().records);
    Ok(())
}

fn write(store: &Store, duration: Duration, body_bytes: usize) {
    let (stop, next) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let value = Value { codec: 0, timestamp_ms: number, body: vec![7; body_bytes] };
                    store.insert(Kind::Transaction, hash(number), value).wait().expect("durable");
                }
            });
        }
        std::thread::sleep(duration);
        stop.store(true, Ordering::Relaxed);
    });
}

/// Spread like a real hash, which is what an index feels.
fn hash(number: u64) -> Hash {
    let mut bytes = [0; Hash::LEN];
    bytes[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    bytes[8..16].copy_from_slice(&number.to_be_bytes());
    Hash::new(bytes)
}

#[allow(clippy::cast_precision_loss)] // Figures for people.
fn report(stats: &Stats, took: Duration) {
    let written = stats.written as f64;
    let syncs = stats.syncs.max(1) as f64;
    println!("inserts: {} in {took:?}, {:.0} a second", stats.written, written / took.as_secs_f64());
    println!("fdatasync: {}, {:.1} inserts each", stats.syncs, written / syncs);
    println!("fdatasync: {:.0} µs each", stats.sync_nanos as f64 / 1e3 / syncs);
    println!("checkpoints: {}, segments: {}", stats.checkpoints, stats.segments);
    let bounds = BATCH_SIZE_BOUNDS.iter().map(|bound| format!("≤{bound}")).chain(["more".into()]);
    for (bound, batches) in bounds.zip(stats.batch_sizes).filter(|(_, batches)| *batches > 0) {
        println!("  batches of {bound:>5}: {batches}");
    }
}
