//! Our keys in memory, and whether they are all that the configuration names.

use std::sync::Arc;

use tessera_enclave::KeyRing;
use tessera_node_api::admin::KeyStatus;

use crate::transaction::Error;

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

    /// `error`, unless a key that is configured and not loaded could make it untrue: a ledger node must not take our
    /// being late for "not a party".
    pub(crate) fn unless_incomplete(&self, error: Error) -> Error {
        let depends_on_keys = matches!(
            error,
            Error::TransactionUnknown(_)
                | Error::RawUnknown(_)
                | Error::RawTransactionUnknown(_)
                | Error::SenderUnknown(_)
                | Error::NoSuitableKey(_)
                | Error::RecipientUnknown(_)
        );
        if depends_on_keys && !self.complete {
            return Error::KeysIncomplete;
        }
        error
    }
}
