//! The bytes of bodies that were accepted and not answered yet: at most as many as configured.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::WriteError;

/// The bound on the bodies of a store.
#[derive(Debug)]
pub(crate) struct BodyLimit {
    limit_bytes: usize,
    accepted_bytes: Arc<AtomicUsize>,
}

/// Bytes of a body that was accepted; released when the request is answered, so that the limit holds
/// for what the writer has taken and not made durable yet as well.
#[derive(Debug)]
pub(crate) struct Reservation {
    accepted_bytes: Arc<AtomicUsize>,
    bytes: usize,
}

impl BodyLimit {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, accepted_bytes: Arc::default() }
    }

    /// Reserves the bytes of a body. A body larger than the limit is accepted when nothing else is.
    pub(crate) fn reserve(&self, bytes: usize) -> Result<Reservation, WriteError> {
        self.accepted_bytes
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |accepted| {
                let sum = accepted.saturating_add(bytes);
                (accepted == 0 || sum <= self.limit_bytes).then_some(sum)
            })
            .map_err(|_| WriteError::Busy)?;
        Ok(Reservation { accepted_bytes: Arc::clone(&self.accepted_bytes), bytes })
    }

    /// A reservation of nothing.
    pub(crate) fn uncounted(&self) -> Reservation {
        Reservation { accepted_bytes: Arc::clone(&self.accepted_bytes), bytes: 0 }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.accepted_bytes.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}
