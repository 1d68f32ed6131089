//! What the end-to-end tests stand on. They know a kubeconfig and nothing of the engine below it.
//!
//! ```text
//! Settings (environment, set by hack/e2e) ──► Fleet (a namespace: network, nodes, client pods)
//!                                                │
//!                     wait::until (a condition with a deadline, never a fixed time)
//!                                                │
//!                     ClientPod (requests as a ledger node, from inside the cluster)
//! ```
//!
//! Each test has a namespace of its own, by its name, because the chart grants the operator a Role per namespace. A test
//! clears its namespace before it starts, and leaves it as it is when it fails: that is the evidence.

pub mod attacker;
pub mod capture;
pub mod checklist_record;
pub mod client_pod;
pub mod cluster;
pub mod custodians;
pub mod fleet;
pub mod postgres;
pub mod search;
pub mod settings;
pub mod stacks;
pub mod vault;
pub mod wait;
