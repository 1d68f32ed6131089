//! Damage to the payload store of a stopped node.

use std::path::PathBuf;

use super::Spec;

/// Flips a bit in the body of the newest record with this hash, in base64.
pub fn flip_a_bit_of(node: &Spec, hash: &str) {
    let name = tessera_enclave::base64::decode_strict(hash).unwrap();
    let found = |bytes: &[u8]| bytes.windows(name.len()).rposition(|window| window == name);
    for path in segments(node).iter().rev() {
        let mut log = std::fs::read(path).unwrap();
        // The last is in the record's tail, and the one before in its head; behind that comes the body.
        let Some(head) = found(&log).and_then(|tail| found(&log[..tail])) else { continue };
        log[head + name.len() + 40] ^= 1;
        return std::fs::write(path, log).unwrap();
    }
    panic!("no segment holds the record");
}

/// Flips a bit of this hash wherever a segment has it.
pub fn lose_the_name_of(node: &Spec, hash: &str) {
    let name = tessera_enclave::base64::decode_strict(hash).unwrap();
    for path in segments(node) {
        let mut log = std::fs::read(&path).unwrap();
        while let Some(at) = log.windows(name.len()).position(|window| window == name) {
            log[at] ^= 1;
        }
        std::fs::write(path, log).unwrap();
    }
}

fn segments(node: &Spec) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(node.dir.join("data")).unwrap();
    let mut segments: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    segments.sort();
    segments
}
