//! What the controllers of all kinds share.

pub mod context;
