//! Tessera's key files. (Not the passwords: a file may ask for any amount of Argon2.)
#![no_main]

use libfuzzer_sys::fuzz_target;
use tessera_enclave::keyfile::KeyFile;

fuzz_target!(|data: &[u8]| {
    if let Ok(file) = KeyFile::from_json(data) {
        let _ = file.private_key(None);
    }
});
