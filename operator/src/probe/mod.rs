//! What nodes and secret stores answer when the operator asks them.

pub mod admin;
pub mod store;
pub mod vault;
