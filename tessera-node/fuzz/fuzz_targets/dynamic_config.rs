//! The dynamic configuration, and after a zero byte the list of peers beside it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tessera_fuzz::config::dynamic;

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let file = parts.next().unwrap_or_default();
    let _ = dynamic::parse(file, parts.next());
});
