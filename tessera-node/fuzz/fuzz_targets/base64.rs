//! Java's two base64 decoders. What the strict one takes, the lenient one takes alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tessera_enclave::base64::{decode_lenient, decode_strict, encode};

fuzz_target!(|text: &str| {
    let lenient = decode_lenient(text);
    if let Ok(bytes) = decode_strict(text) {
        assert_eq!(lenient.as_ref(), Ok(&bytes));
    }
    if let Ok(bytes) = lenient {
        assert_eq!(decode_strict(&encode(&bytes)).as_ref(), Ok(&bytes));
    }
});
