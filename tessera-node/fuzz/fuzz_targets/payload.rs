//! Payloads as peers push them and as the store holds them, in both codecs. What decodes survives the way back.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tessera_enclave::PayloadCodec;

fuzz_target!(|data: &[u8]| {
    for codec in [PayloadCodec::Legacy, PayloadCodec::Cbor] {
        if let Ok(payload) = codec.decode(&Bytes::copy_from_slice(data)) {
            let again = codec.decode(&Bytes::from(codec.encode(&payload)));
            assert_eq!(again.as_ref(), Ok(&payload), "{codec:?}");
        }
    }
});
