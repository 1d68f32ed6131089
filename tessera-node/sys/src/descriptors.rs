//! The number of files and connections that may be open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The most descriptors that the process asks for: more than its bounds use up, and few enough for the kernel's tables.
pub const MAX_DESCRIPTORS: u64 = 65_536;

/// Raises the soft limit to the hard limit, but to no more than [`MAX_DESCRIPTORS`]; a higher one stays.
///
/// The usual soft limit of 1024 protects programs that use `select`, which cannot name a higher descriptor. This process
/// waits with `epoll`. Where the limit cannot be raised the process lives with what it has, since its bounds follow from the
/// limit that stands.
pub fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(u64::MAX).min(MAX_DESCRIPTORS);
    if limit.current.is_some_and(|current| current < wanted) {
        // Allowed to every process; a filter of system calls may refuse even so.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit });
    }
}
