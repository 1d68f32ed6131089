//! What this process remembers of objects between two reconciles. Nothing here outlives the process.

pub mod backoff;
pub mod status_memo;
