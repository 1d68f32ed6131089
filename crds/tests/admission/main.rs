//! What a real API server says to our kinds. Run it with
//!
//! ```text
//! hack/apiserver -- cargo test -p tessera-crds --test admission
//! ```
//!
//! `cases_*` are tables: each line changes one field of a valid object to something that must be refused, naming field
//! and rule, and beside it the same field to something that must be admitted. A rule that refuses everything, or one that
//! the API server never evaluates, fails one half of its line.

// `.clippy.toml` allows these in `#[test]` functions only, not in what they share.
#![allow(clippy::unwrap_used, clippy::panic)]

mod api_server;
mod behaviour;
mod case;
mod cases_attestation;
mod cases_checklist;
mod cases_exposure;
mod cases_key_backup;
mod cases_logging;
mod cases_network;
mod cases_node;
mod cases_partner;
mod cases_pki;
mod cases_update;
mod fixture;
mod kubectl;
mod policies;
