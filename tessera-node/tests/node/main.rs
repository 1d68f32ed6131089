//! Whole nodes with real sockets, certificates and stores.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests fail as tests do.

#[path = "../support/mod.rs"]
mod support;

mod certificates;
mod egress;
mod key_backup;
mod key_import;
mod key_restore;
mod keys;
mod limits;
mod listeners;
mod operations;
mod overlap;
mod partners;
mod peers;
mod privacy;
mod pushes;
mod quota;
mod repair;
mod requests;
mod resend;
mod rollover;
mod rotation;
mod send_receive;
mod trials;
mod volume;
