//! The API server, as this operator uses it. Everything that changes an object goes through [`writer`]; the rest reads.
//!
//! ```text
//! desired ──► Planned ──► drift::find(planned, cached) ── none ──► nothing is written
//!                              │ some
//!                              ▼
//!                     GET, look again ──► POST (absent) | PUT at resourceVersion (ours) | NameConflict (not ours)
//!                                           too often of late: Contested, nothing is written
//! ```

mod body;
mod conflict_tracker;
pub mod drift;
pub mod events;
pub mod exec_probe;
pub mod fault;
pub mod lease;
pub mod meta;
pub mod object_id;
pub mod open_reports;
pub mod ownership;
pub mod planned;
pub mod prune;
pub mod quantity;
pub mod refusal;
mod refused_growth;
pub mod replace_as_read;
pub mod requests;
pub mod restricted;
pub mod watch_clients;
pub mod write_error;
pub mod writer;

/// The name under which our writes appear in `managedFields`.
pub const FIELD_MANAGER: &str = "tessera-operator";
