//! What this process can say about itself, as evidence for `NoCoreDumps`.

use std::fs;
use std::io;

use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};

const STATUS: &str = "/proc/self/status";

/// What was seen, not what was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SelfLimits {
    /// `RLIMIT_CORE`.
    pub core: CoreLimit,
    /// Whether the kernel would dump the process (`PR_GET_DUMPABLE` is not 0).
    pub dumpable: bool,
    /// Bytes of the process that are in swap (`VmSwap`).
    pub swap_bytes: u64,
    /// Bytes of the process that are locked in memory (`VmLck`).
    pub locked_bytes: u64,
}

/// A core limit in bytes; `None` is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoreLimit {
    /// What holds now.
    pub soft: Option<u64>,
    /// What it can be raised to.
    pub hard: Option<u64>,
}

/// Why the limits are unknown.
#[derive(Debug, thiserror::Error)]
pub enum LimitsError {
    /// Whether the process is dumpable could not be read.
    #[error("cannot read whether the process is dumpable (PR_GET_DUMPABLE)")]
    Dumpable(#[source] io::Error),
    /// The status file could not be read.
    #[error("cannot read {STATUS}; mount /proc")]
    Status(#[source] io::Error),
    /// The status file lacks a line.
    #[error("{STATUS} has no number in kB under {field}")]
    Field {
        /// The line's name.
        field: &'static str,
    },
}

/// Reads the limits of this process.
pub fn self_limits() -> Result<SelfLimits, LimitsError> {
    let status = fs::read_to_string(STATUS).map_err(LimitsError::Status)?;
    let core = getrlimit(Resource::Core);
    let dumpable = dumpable_behavior().map_err(|error| LimitsError::Dumpable(error.into()))?;
    Ok(SelfLimits {
        core: CoreLimit { soft: core.current, hard: core.maximum },
        dumpable: dumpable != DumpableBehavior::NotDumpable,
        swap_bytes: kib_field(&status, "VmSwap")?,
        locked_bytes: kib_field(&status, "VmLck")?,
    })
}

/// The value of a `Name:   12 kB` line, in bytes.
fn kib_field(status: &str, field: &'static str) -> Result<u64, LimitsError> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .and_then(|value| value.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .and_then(|kib| kib.checked_mul(1024))
        .ok_or(LimitsError::Field { field })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_by_its_whole_name() {
        let status = "VmSwapX:\t9 kB\nVmSwap:\t      12 kB\nVmLck:\t 0 kB\n";
        assert_eq!(kib_field(status, "VmSwap").expect("a field"), 12 * 1024);
        assert_eq!(kib_field(status, "VmLck").expect("a field"), 0);
    }

    #[test]
    fn a_missing_or_odd_field_is_an_error_that_names_it() {
        for status in ["", "VmSwap:\t12 MB\n", "VmSwap:\tmany kB\n"] {
            let error = kib_field(status, "VmSwap").expect_err("no number there");
            assert!(error.to_string().contains("VmSwap"), "{error}");
        }
    }
}
