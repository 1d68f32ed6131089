//! The operator: runs fleets of Tessera nodes from TesseraNetwork and TesseraNode resources.
//!
//! ```text
//! inputs ──► resolve ──► desired ──► apply ──► observe ──► status
//! [read]     [pure]      [pure]      [write]   [read]      [pure, one patch]
//! ```
//!
//! Each kind has a folder with these stages, one file each: [`network`], [`node`]. Around them:
//!
//! - [`process`]: from the command line to running controllers; health, metrics, logs
//! - [`watch`]: what changed, and what was last seen
//! - [`controller`]: what the controllers of all kinds share
//! - [`mod@kube`]: talks to the API server, the only writer
//! - [`probe`]: talks to nodes and secret stores
//! - [`backup`]: carries offline backups of keys
//! - [`checklist`]: the lines of the security checklist, judged from what was seen
//! - [`issue`][]: certificates
//! - [`rollover`]: the change of a network's CAs
//! - [`memory`]: what is remembered between two reconciles
//! - [`report`]: conditions and error messages
//!
//! The rights that all this needs are listed in `rbac.md` beside this crate.

pub mod args;
pub mod backup;
pub mod checklist;
pub mod controller;
pub mod issue;
pub mod kube;
pub mod memory;
pub mod network;
pub mod node;
pub mod probe;
pub mod process;
pub mod report;
pub mod rollover;
pub mod settings;
pub mod watch;

#[cfg(test)]
mod fixtures;
