//! The system calls that keep key bytes inside the process, and all `unsafe` of the workspace.
//!
//! ```text
//!   main ──► harden()      no core file, not dumpable, read back
//!        ──► raise_descriptor_limit()
//!        ──► install()     one Arena: guard │ locked, undumped, unforked pages │ guard
//!               └─► Locked<N>    one secret: zeroed before use and on drop
//! ```
//!
//! What may not happen here: a secret that is copied out of the arena, a hardening that is set but
//! not verified, anything that is not about memory or the limits of this process.

mod arena;
mod counting;
mod descriptors;
mod harden;
mod read_back;

pub use arena::{Arena, ArenaError, Locked, MAX_ARENA_BYTES, install};
pub use counting::CountingAllocator;
pub use descriptors::{MAX_DESCRIPTORS, raise_descriptor_limit};
pub use harden::{HardenError, harden};
pub use read_back::{MemoryProtection, read_back};
