//! End-to-end tests, one module per sentence that they prove. `hack/e2e [NAME…]` runs them, all or by name.

mod access;
mod admission_policies;
mod certificates;
mod checklist;
mod ciphertext;
mod client_namespace;
mod connect;
mod drift;
mod faults;
mod isolation;
mod key_rotation;
mod kubectl_diff;
mod lifecycle;
mod partners;
mod peers;
mod private_transaction;
mod quiet;
mod rebuild;
mod rollover;
mod secrets_search;
mod token_audience;
mod upgrade;
mod volume;
