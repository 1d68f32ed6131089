//! Boot hardening: the first thing a process that holds keys does.

use std::io;

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, dumpable_behavior, getrlimit, set_dumpable_behavior, setrlimit,
};

/// Why the process must not go on to handle keys.
#[derive(Debug, thiserror::Error)]
pub enum HardenError {
    /// The core limit could not be lowered.
    #[error("cannot set RLIMIT_CORE to 0")]
    CoreLimit(#[source] io::Error),
    /// The core limit was lowered and is not 0.
    #[error(
        "RLIMIT_CORE is still {soft:?} (hard limit {hard:?}) after it was set to 0; \
         run where a process may lower its own limits"
    )]
    CoreLimitStands {
        /// The soft limit read back; `None` is unlimited.
        soft: Option<u64>,
        /// The hard limit read back; `None` is unlimited.
        hard: Option<u64>,
    },
    /// The process could not be made non-dumpable.
    #[error("cannot make the process non-dumpable (PR_SET_DUMPABLE)")]
    Dumpable(#[source] io::Error),
    /// Whether the process is dumpable could not be read.
    #[error("cannot read whether the process is dumpable (PR_GET_DUMPABLE)")]
    DumpableUnknown(#[source] io::Error),
    /// The process was made non-dumpable and is not.
    #[error(
        "the process is still dumpable after PR_SET_DUMPABLE; \
         run where a process may give up being dumped"
    )]
    DumpableStands,
}

/// Gives up core dumps for good and verifies it.
///
/// Two locks, since neither is enough: a limit of 0 does not hold where the core pattern is a pipe
/// (the kernel then ignores it), and being non-dumpable is undone by an `execve`. The latter also
/// keeps other processes of the same user from `ptrace` and from `/proc/<pid>/mem`.
pub fn harden() -> Result<(), HardenError> {
    forbid_core_files()?;
    forbid_dumps()
}

fn forbid_core_files() -> Result<(), HardenError> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).map_err(|error| HardenError::CoreLimit(error.into()))?;
    match getrlimit(Resource::Core) {
        Rlimit { current: Some(0), maximum: Some(0) } => Ok(()),
        limit => Err(HardenError::CoreLimitStands { soft: limit.current, hard: limit.maximum }),
    }
}

fn forbid_dumps() -> Result<(), HardenError> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| HardenError::Dumpable(error.into()))?;
    match dumpable_behavior() {
        Ok(DumpableBehavior::NotDumpable) => Ok(()),
        Ok(_) => Err(HardenError::DumpableStands),
        Err(error) => Err(HardenError::DumpableUnknown(error.into())),
    }
}
