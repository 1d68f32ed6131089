//! The ServiceAccount token that a node shows its secret store.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tessera_node_api::secret_store::require_audience;

fuzz_target!(|token: &str| {
    let _ = require_audience(token, "https://vault:8200");
});
