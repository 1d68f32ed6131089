//! The dynamic configuration, and after a zero byte each: the list of peers beside it, the collector of logs, what it must
//! not reach, the partners.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tessera_fuzz::config::dynamic::{self, Texts};

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(5, |byte| *byte == 0);
    let own = parts.next().unwrap_or_default();
    let (peers, logging, egress, partners) = (parts.next(), parts.next(), parts.next(), parts.next());
    let _ = dynamic::parse(Texts { own, peers, logging, egress, partners });
});
