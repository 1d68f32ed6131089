//! Growths of volumes that the API server refused. What storage class or quota do not allow stays so for a while, so the same
//! growth is not asked for in each reconcile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::memory::per_object::{PerObject, Registry};

/// After how long a refused growth is asked for again: the storage class may have been changed.
const REFUSED_FOR: Duration = Duration::from_mins(5);

/// Refused growths by the UID of their claim.
pub(super) struct RefusedGrowths(Arc<PerObject<RefusedGrowth>>);

struct RefusedGrowth {
    size: String,
    message: String,
    at: Instant,
}

impl RefusedGrowths {
    /// None was refused yet.
    pub(super) fn new(registry: &Registry) -> Self {
        Self(registry.per_object())
    }

    /// Why a growth of this claim to `size` was refused a short time ago; `None`: ask.
    pub(super) fn why(&self, claim_uid: &str, size: &str) -> Option<String> {
        let message = |before: &mut RefusedGrowth| {
            (before.size == size && before.at.elapsed() < REFUSED_FOR).then(|| before.message.clone())
        };
        self.0.with(claim_uid, message).flatten()
    }

    /// A growth of this claim to `size` was refused now.
    pub(super) fn put(&self, claim_uid: &str, size: &str, message: &str) {
        let (size, message) = (size.to_owned(), message.to_owned());
        self.0.put(claim_uid, RefusedGrowth { size, message, at: Instant::now() });
    }
}
