//! The real operator against a real API server. Run it with
//!
//! ```text
//! hack/apiserver -- cargo test -p tessera-operator --test reconcile
//! ```
//!
//! There is no kubelet, no controller and no secret store: what is tested is what the operator writes, that it writes
//! nothing else, and that it ends in the same place whatever happens on the way. Each test has two namespaces of its own
//! and an operator process of its own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may panic as tests do")]

mod bring_up;
mod client_namespaces;
mod connections;
mod database;
mod drift;
mod election;
mod enforce;
mod events;
mod exec_probe;
mod exposure;
mod fake_node;
mod faults;
mod images;
mod key_backup;
mod killed;
mod leftovers;
mod open_reports;
mod operator;
mod partners;
mod pods;
mod prune;
mod replicas;
mod rollout;
mod rollover;
mod silent;
mod starts;
mod upgrade;
mod volume;
mod world;
