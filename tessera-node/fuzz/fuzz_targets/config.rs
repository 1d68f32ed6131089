//! Tessera's configuration file with our extension. (Key files and passwords that it names are not read.)
#![no_main]

use libfuzzer_sys::fuzz_target;
use tessera_fuzz::config::{self, ConfigError};

fuzz_target!(|text: &str| {
    if let Err(ConfigError::Invalid(problems)) = config::parse(text) {
        assert!(!problems.is_empty(), "a refusal says why");
    }
});
