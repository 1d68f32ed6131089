//! Our keys in memory, and whether they are all that the configuration names.

use std::sync::Arc;

use tessera_enclave::KeyRing;
use tessera_node_api::admin::KeyStatus;

/// The keys in use. Replaced as a whole when one is added.
#[derive(Debug)]
pub struct Keys {
    ring: Arc<KeyRing>,
    complete: bool,
    status: Vec<KeyStatus>,
}

impl Keys {
    /// `complete`: every key of the configuration is in `ring`.
    pub fn new(ring: KeyRing, complete: bool, status: Vec<KeyStatus>) -> Self {
        Self { ring: Arc::new(ring), complete, status }
    }

    /// The keys themselves.
    pub fn ring(&self) -> &Arc<KeyRing> {
        &self.ring
    }

    /// Whether they are all that the configuration names.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// What the status tells of them.
    pub fn status(&self) -> &[KeyStatus] {
        &self.status
    }
}
