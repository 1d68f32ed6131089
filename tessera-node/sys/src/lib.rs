//! The system calls that keep key bytes inside the process, and all `unsafe` of the workspace.
//!
//! ```text
//!   main ──► harden()      no core file, not dumpable, read back
//!        ──► install()     one Arena: guard │ locked, undumped, unforked pages │ guard
//!               └─► Locked<N>    one secret: zero at birth, zeroed at death
//!   later ─► self_limits()       what an observer may report as evidence
//! ```
//!
//! What may not happen here: a secret that is copied out of the arena, a hardening that is set but
//! not verified, anything that is not about memory or the limits of this process.

mod arena;
mod harden;
mod limits;

pub use arena::{Arena, ArenaError, Locked, MAX_ARENA_BYTES, install, installed};
pub use harden::{HardenError, harden};
pub use limits::{CoreLimit, LimitsError, SelfLimits, self_limits};
