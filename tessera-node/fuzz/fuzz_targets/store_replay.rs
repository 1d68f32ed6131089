//! Opening a log that something else wrote into: no panic, and no wrong bytes for any record.
#![no_main]

use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use tessera_fuzz::disk::MemoryDisk;
use tessera_store::{Hash, Kind, Options, Store, Value};

const RECORDS: u8 = 12;

fn open(disk: &MemoryDisk) -> Option<Store> {
    let options = Options::new("unused").segment_bytes(8192).max_body_bytes(600).checkpoint_records(1000);
    let disk: Arc<dyn tessera_store::Disk> = Arc::new(disk.clone());
    options.open_on(&disk).ok()
}

fn value(number: u8) -> Value {
    Value { codec: number, timestamp_ms: number.into(), body: vec![number; usize::from(number) * 40] }
}

fn hash(number: u8) -> Hash {
    Hash::new([number; Hash::LEN])
}

/// A log of two segments, without its index.
fn log() -> &'static MemoryDisk {
    static LOG: OnceLock<MemoryDisk> = OnceLock::new();
    LOG.get_or_init(|| {
        let disk = MemoryDisk::default();
        let store = open(&disk).expect("an empty disk opens");
        for number in 0..RECORDS {
            store.insert(Kind::Transaction, hash(number), value(number)).wait().expect("durable");
        }
        drop(store);
        disk.remove_index();
        disk
    })
}

// The input is a list of patches: segment and offset (2 bytes), length (1 byte), bytes.
fuzz_target!(|patches: &[u8]| {
    let disk = log().copy();
    let mut rest = patches;
    while let [at, offset, len, more @ ..] = rest {
        let (bytes, after) = more.split_at(usize::from(*len).min(more.len()));
        disk.patch(usize::from(*at), usize::from(*offset), bytes);
        rest = after;
    }
    let Some(store) = open(&disk) else { return };
    for number in 0..RECORDS {
        if let Ok(Some(stored)) = store.get(Kind::Transaction, &hash(number)) {
            assert_eq!(stored.value, value(number));
        }
    }
});
