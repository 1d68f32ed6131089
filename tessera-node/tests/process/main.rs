//! The real binary.

#[path = "../support/mod.rs"]
mod support;
