//! Finds credentials that lie in clear text in configuration. Pure: no files, no network, no clock.
//!
//! ```text
//! text ───────────► RULES, as one set ──► the rules that match ──► key, value ──► Hit (rule, line)
//!   └─ base64 runs ──► decoded text ──────────┘  (one level)
//! object ──► its texts and its named values ──► ObjectHit (path, rule)
//! ```
//!
//! A hit names the rule and the place and never carries the value. Every search is bounded: a text or an object of which a
//! part was not searched says so ([`Scan::complete`]).
//!
//! References are no hits: `${VAR}`, `$(…)`, templates, paths, `vault:…`, sealed values (`ENC[…]`), and what is empty, masked
//! (`***`) or to be filled in (`<password>`). `changeme` and `password` are hits: a program accepts them.

mod encoded;
mod key;
mod object;
mod rule;
mod rules;
mod scan;
mod value;

pub use object::{ObjectHit, ObjectScan, scan_object, scan_values};
pub use rule::{Rule, Value};
pub use rules::RULES;
pub use scan::{Hit, Scan, control, scan};

/// The most hits that one search gives.
pub const MAX_HITS: usize = 16;
/// The longest text that is searched whole, in bytes: more than an object can hold.
pub const MAX_TEXT: usize = 4 << 20;
