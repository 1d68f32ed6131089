//! The operator: runs fleets of Tessera nodes from TesseraNetwork and TesseraNode resources.
//!
//! ```text
//! inputs ──► resolve ──► desired ──► apply ──► observe ──► status
//! [read]     [pure]      [pure]      [write]   [read]      [pure, one patch]
//! ```
//!
//! Each kind has a folder with these stages, one file each: [`network`], [`node`]. Around them, in the order of the flow:
//!
//! - [`args`], [`run`]: from the command line to running controllers
//! - [`watch`], [`caches`]: what changed, and what was last seen
//! - [`authorities`], [`leaf`]: the networks' CAs and the certificates that they issue (crate `tessera-pki` decides)
//! - [`mod@kube`]: the only writer to the API server
//! - [`store`], [`admin_client`]: what the secret store and the nodes say
//! - [`conditions`]: what a person is told
//!
//! The rights that all this needs are listed in `rbac.md` beside this crate.

pub mod admin_client;
pub mod args;
pub mod authorities;
pub mod backoff;
pub mod caches;
pub mod conditions;
pub mod context;
pub mod error;
pub mod health;
pub mod kube;
pub mod leaf;
pub mod meta;
pub mod metrics;
pub mod network;
pub mod node;
pub mod prune;
pub mod run;
pub mod status_memo;
pub mod store;
pub mod surroundings;
pub mod tasks;
pub mod telemetry;
pub mod watch;

#[cfg(test)]
mod fixtures;
