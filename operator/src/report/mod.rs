//! What a person reads: conditions and error messages. Pure.

pub mod conditions;
pub mod error;
pub mod unreadable;
