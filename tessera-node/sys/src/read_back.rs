//! What the kernel holds for this process now: a limit that was lowered at boot can be raised from outside.

use std::{fs, io};

use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};

/// What keeps the memory of this process off every disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryProtection {
    /// The soft limit of a core file, in bytes; `None`: unlimited.
    pub core_soft_limit: Option<u64>,
    /// The hard limit of a core file, in bytes; `None`: unlimited.
    pub core_hard_limit: Option<u64>,
    /// Whether the kernel may dump the process.
    pub dumpable: bool,
    /// How much of its memory is locked, in KiB.
    pub locked_kib: u64,
    /// How much swap its memory may go to, in KiB.
    pub swap_kib: u64,
    /// Where the kernel puts core dumps: a file, or a program after `|`.
    pub core_pattern: String,
}

/// Reads all of it, from the kernel and from `/proc`.
pub fn read_back() -> io::Result<MemoryProtection> {
    let core = getrlimit(Resource::Core);
    let dumpable = dumpable_behavior()? != DumpableBehavior::NotDumpable;
    Ok(MemoryProtection {
        core_soft_limit: core.current,
        core_hard_limit: core.maximum,
        dumpable,
        locked_kib: field(&fs::read_to_string("/proc/self/status")?, "VmLck:")?,
        swap_kib: swap_kib()?,
        core_pattern: fs::read_to_string("/proc/sys/kernel/core_pattern")?.trim().to_owned(),
    })
}

/// The machine's swap, unless the control group may use none of it.
fn swap_kib() -> io::Result<u64> {
    let total = field(&fs::read_to_string("/proc/meminfo")?, "SwapTotal:")?;
    // Only version 2 has the file, and its root has none: then the machine's swap counts.
    let is_denied = fs::read_to_string("/sys/fs/cgroup/memory.swap.max").is_ok_and(|max| max.trim() == "0");
    Ok(if is_denied { 0 } else { total })
}

/// The number in the line `NAME   NUMBER kB`.
fn field(text: &str, name: &str) -> io::Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok());
    number.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("no line {name} NUMBER")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_hardened_is_read_back() {
        crate::harden().unwrap();
        let found = read_back().unwrap();
        assert_eq!((found.core_soft_limit, found.core_hard_limit, found.dumpable), (Some(0), Some(0), false));
        assert!(!found.core_pattern.is_empty());
    }

    #[test]
    fn a_line_that_is_not_there_is_an_error() {
        assert_eq!(field("VmLck:\t      48 kB\n", "VmLck:").unwrap(), 48);
        assert!(field("VmLck:\t kB\n", "VmLck:").is_err() && field("", "VmLck:").is_err());
    }
}
