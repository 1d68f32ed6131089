//! Party info as peers post it. What decodes survives the way back.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tessera_enclave::codec::party_info::PartyInfo;

fuzz_target!(|data: &[u8]| {
    if let Ok(info) = PartyInfo::decode(&Bytes::copy_from_slice(data)) {
        let again = PartyInfo::decode(&Bytes::from(info.encode()));
        assert_eq!(again.as_ref(), Ok(&info));
    }
});
