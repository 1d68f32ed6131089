//! Whole nodes with real sockets, certificates and stores.

#[path = "../support/mod.rs"]
mod support;

mod requests;
mod send_receive;
