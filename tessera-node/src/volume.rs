//! Whether the payload store is the one that the node's keys were generated with.
//!
//! ```text
//!   key's record in the secret store ─► store that it names ─┬─ this store ──────────────► nothing is lost
//!                                                            ├─ loss accepted (a record) ─► nothing is awaited
//!                                                            └─ another ─► lost: 503, never 404
//! ```
//!
//! A node whose key names another payload store runs on a new volume: it may have acknowledged any payload that it does
//! not find. It says so until a person accepts the loss. The acceptance names the new store, and becomes a record in it:
//! so it counts once, and never for the next volume. Identifiers are compared, and no clocks.

use std::collections::BTreeSet;
use std::sync::Arc;

use tessera_node_api::admin::PayloadStoreStatus;
use tessera_store::StoreId;
use tokio::sync::watch;

use crate::payload_store::{PayloadStore, StoreError};

/// The answer for a payload that is not found while the loss of a store is not accepted.
pub(crate) const REPLACED: &str = "the payload is not here, but this node's volume was replaced and the payload may have been lost with the old one";

/// The payload store of a key of which nobody knows where its payloads are. Identifiers of stores are random, so none has this one.
pub(crate) const UNKNOWN_STORE: &str = "00000000000000000000000000000000";

/// The payload store in relation to the node's keys. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Volume {
    store: PayloadStore,
    lost: Arc<watch::Sender<Vec<StoreId>>>,
}

impl Volume {
    /// Nothing is lost as long as no key says so.
    pub fn new(store: PayloadStore) -> Self {
        Self { store, lost: Arc::new(watch::Sender::new(Vec::new())) }
    }

    /// Compares the stores that the keys name with this one. Must be called before the keys are used. `accepted` is the
    /// store that a person accepted as the successor of those that are lost.
    pub(crate) async fn check(
        &self,
        named: &BTreeSet<StoreId>,
        accepted: Option<StoreId>,
    ) -> Result<(), StoreError> {
        let (mut lost, mut failed) = (Vec::new(), None);
        for id in named {
            match self.is_lost(*id).await {
                Ok(false) => {}
                Ok(true) => lost.push(*id),
                // Until it is known, it counts as lost.
                Err(error) => {
                    lost.push(*id);
                    failed = Some(error);
                }
            }
        }
        self.publish(&lost);
        if let Some(error) = failed {
            return Err(error);
        }
        if lost.is_empty() || accepted != Some(self.store.id()) {
            return Ok(());
        }
        for id in lost {
            self.store.accept_loss_of(id).await?;
            tracing::warn!(lost = %id, store = %self.store.id(), "the loss of a payload store is accepted");
        }
        self.publish(&[]);
        Ok(())
    }

    /// Which payload store this is.
    pub(crate) fn id(&self) -> StoreId {
        self.store.id()
    }

    /// Whether this store keeps more than so many payloads.
    pub(crate) async fn keeps_more_than(&self, payloads: u64) -> Result<bool, StoreError> {
        self.store.keeps_more_than(payloads).await
    }

    /// Whether a payload that is not found may have been lost with another store.
    pub(crate) fn is_replaced(&self) -> bool {
        !self.lost.borrow().is_empty()
    }

    pub(crate) fn status(&self) -> PayloadStoreStatus {
        PayloadStoreStatus {
            id: self.store.id().to_string(),
            lost: self.lost.borrow().iter().map(ToString::to_string).collect(),
            format: self.store.format(),
        }
    }

    async fn is_lost(&self, id: StoreId) -> Result<bool, StoreError> {
        Ok(id != self.store.id() && !self.store.has_accepted_loss_of(id).await?)
    }

    fn publish(&self, lost: &[StoreId]) {
        let replaced = self.lost.send_if_modified(|known| {
            let changed = *known != lost;
            lost.clone_into(known);
            changed
        });
        if replaced && !lost.is_empty() {
            tracing::error!(
                store = %self.store.id(),
                lost = lost.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
                "the volume was replaced: payloads that are not found are answered with 503 until their loss is accepted"
            );
        }
    }
}
