//! Crash tests: the process kills itself before or after one named write. The list is the whole of what the node
//! writes on its way up and in a transaction; a test walks it.

use std::sync::atomic::{AtomicU8, Ordering};

/// A moment around a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[repr(u8)]
pub enum FaultPoint {
    /// A key is about to be written: nothing is in the secret store.
    BeforeKeyWrite = 1,
    /// The key is in the secret store, and the node has not used it yet.
    AfterKeyWrite,
    /// All recipients have a payload; the sender's own row is not written.
    BeforeSendInsert,
    /// The sender's own row is durable; the client has no answer.
    AfterSendInsert,
    /// A push is verified; its row is not written.
    BeforePushInsert,
    /// The pushed row is durable; the peer has no answer.
    AfterPushInsert,
    /// A raw payload is sealed; its row is not written.
    BeforeRawInsert,
    /// The raw row is durable; the client has no answer.
    AfterRawInsert,
}

static ARMED: AtomicU8 = AtomicU8::new(0);

/// Arms one point for the life of the process.
pub fn arm(point: FaultPoint) {
    ARMED.store(point as u8, Ordering::Relaxed);
}

/// Kills the process here if this is the armed point: as suddenly as the kernel can, without a destructor or a flush.
pub(crate) fn reach(point: FaultPoint) {
    if ARMED.load(Ordering::Relaxed) == point as u8 {
        use rustix::process::{Signal, getpid, kill_process};
        // The signal cannot fail to reach ourselves; should it, the abort is as sudden.
        let _ = kill_process(getpid(), Signal::KILL);
        std::process::abort();
    }
}
