//! The transaction manager: it seals private payloads, delivers them to their recipients, and hands them back.
//!
//! ```text
//! ledger node ──Q2T──► http ──► transaction ──► enclave (pure, its own crate)
//! other nodes ──P2P──►              │ ▲
//!                                   ▼ │
//!                               store, peers ──P2P──► other nodes
//!
//! operator ──admin──► status        keys ◄── secret store        kubelet ──Unix socket──► probe
//! ```
//!
//! [`node`] puts it together; [`http`] is what comes in; [`transaction`] is what we do, one use case per file; [`peers`]
//! is whom we tell.

pub mod admin;
pub mod args;
pub mod config;
pub mod connect;
pub mod egress_guard;
pub mod fault;
pub mod http;
pub mod keyring;
pub mod logs;
pub mod metrics;
pub mod node;
pub mod payload_store;
pub mod peers;
pub mod probe;
pub mod readiness;
pub mod repair;
mod replicas;
mod resources;
pub mod server_trials;
mod tasks;
pub mod telemetry;
pub mod transaction;
pub mod verify;
pub mod volume;

mod callers;
mod certificate;
mod clock;
mod database_trials;
mod egress_trials;
mod key_backups;
mod key_files;
mod key_import;
mod key_restore;
mod key_service;
mod listener_trials;
mod loaded_keys;
mod log_limiter;
