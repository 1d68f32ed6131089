//! Paths of requests, before anything is routed by them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| tessera_fuzz::http::canonical_path(text));
