//! A client asks about a transaction without reading its message.

use tessera_enclave::{EncodedPayload, PrivacyMode, PublicKey, TxHash};

use super::{Error, TransactionManager};

impl TransactionManager {
    /// The size of a record as it is stored: what reading it takes. 0: there is none, or none that is known.
    pub(crate) async fn stored_bytes(&self, hash: &TxHash, raw: bool) -> Result<u64, Error> {
        self.payloads.stored_bytes(hash, raw).await
    }

    /// Whether one of our keys sent the transaction.
    pub(crate) async fn is_sender(&self, hash: &TxHash) -> Result<bool, Error> {
        let keys = self.keys()?;
        let payload = self.stored(hash).await?;
        if keys.ring().contains(&payload.sender) {
            return Ok(true);
        }
        // It may be one of ours that is not loaded yet.
        match self.certain(Error::SenderUnknown(payload.sender), &keys).await {
            Error::SenderUnknown(_) => Ok(false),
            doubt => Err(doubt),
        }
    }

    /// The recipients' keys as they are stored, the sender's among them; at a recipient only its own.
    pub(crate) async fn participants(&self, hash: &TxHash) -> Result<Vec<PublicKey>, Error> {
        Ok(self.stored(hash).await?.recipient_keys.clone())
    }

    /// The recipients without whom the transaction must not be sent.
    pub(crate) async fn mandatory_recipients(&self, hash: &TxHash) -> Result<Vec<PublicKey>, Error> {
        let payload = self.stored(hash).await?;
        let privacy = &payload.privacy;
        if privacy.mode != PrivacyMode::MandatoryRecipients {
            return Err(Error::NotMandatory);
        }
        Ok(privacy.mandatory_recipients.iter().copied().collect())
    }

    async fn stored(&self, hash: &TxHash) -> Result<EncodedPayload, Error> {
        let unknown = || Ok(Error::TransactionUnknown(*hash).unless_incomplete(&*self.keys()?));
        match self.payloads.get(hash).await? {
            Some(payload) => Ok(payload),
            None => unknown().and_then(Err),
        }
    }
}
