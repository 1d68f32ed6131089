//! A client stores a message, to be sent later by its hash.

use std::sync::Arc;

use tessera_enclave::{PublicKey, SealBuffer, TxHash, raw};

use super::{Error, TransactionManager, compute, hash_of};
use crate::fault::{self, FaultPoint};

impl TransactionManager {
    /// Seals a message for ourselves and keeps it.
    pub(crate) async fn store_raw(
        &self,
        message: SealBuffer,
        from: Option<PublicKey>,
    ) -> Result<TxHash, Error> {
        let keys = self.keys()?;
        let sender = self.sender_of(&keys, from.as_ref()).await?;
        let ring = Arc::clone(keys.ring());
        let raw = compute(message.message().len(), move || raw::store(&ring, message, sender)).await??;
        let hash = hash_of(&raw.encrypted_payload).await?;
        fault::reach(FaultPoint::BeforeRawInsert);
        // The master key is new each time, so the hash is too.
        self.payloads.insert_raw(&hash, &raw).await?;
        fault::reach(FaultPoint::AfterRawInsert);
        Ok(hash)
    }
}
