//! What this process remembers of objects between two reconciles. Nothing here outlives the process, and nothing outlives
//! its object: [`per_object::Registry`] releases all of it when the object is deleted.

pub mod backoff;
pub mod per_object;
pub mod status_memo;
