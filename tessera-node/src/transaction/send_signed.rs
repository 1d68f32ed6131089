//! A client sends a message that it stored before: the raw payload gets its recipients.

use std::sync::Arc;

use tessera_enclave::seal::SealRequest;
use tessera_enclave::{PublicKey, TxHash, raw, recipients};

use super::privacy::PrivacyRequest;
use super::send::{Repeated, refuse_group};
use super::{Error, Sent, TransactionManager, compute};
use crate::resources::Permit;

/// Which raw payload goes to whom.
#[derive(Debug)]
pub(crate) struct SendSignedRequest {
    pub(crate) hash: TxHash,
    pub(crate) to: Vec<PublicKey>,
    pub(crate) privacy: PrivacyRequest,
    /// In base64.
    pub(crate) privacy_group: Option<String>,
}

impl TransactionManager {
    /// Sends a stored raw payload, as [`Self::send`] sends a message. The recipient nonce is derived, so that a retry is
    /// byte-identical and succeeds.
    pub(crate) async fn send_signed(
        self: &Arc<Self>,
        request: SendSignedRequest,
        held: Permit,
    ) -> Result<Sent, Error> {
        let manager = Arc::clone(self);
        self.finish(held, async move { manager.address_and_deliver(request).await }).await
    }

    async fn address_and_deliver(&self, request: SendSignedRequest) -> Result<Sent, Error> {
        refuse_group(request.privacy_group)?;
        let keys = self.keys()?;
        let unknown = || Error::RawTransactionUnknown(request.hash).unless_incomplete(&keys);
        let stored = self.payloads.get_raw(&request.hash).await?.ok_or_else(unknown)?;
        let sender = self.sender_of(&keys, Some(&stored.sender)).await?;
        let recipients = recipients::of_send_signed(&request.to, &sender, &self.policy.always_send_to);
        self.check(&request.privacy, &recipients).await?;

        let ring = Arc::clone(keys.ring());
        let metadata = request.privacy.metadata();
        let payload = compute(stored.encrypted_payload.len(), move || {
            raw::send_signed(&ring, &stored, SealRequest { sender, recipients, privacy: metadata })
        })
        .await??;
        let payload = self.bound(keys.ring(), payload, &request.privacy).await?;
        // Before the first push: a second send with other recipients could not be kept here.
        match self.payloads.get_for_write(&request.hash).await? {
            (Some(sent), _) if sent != payload => Err(Error::AlreadySent),
            _ => self.deliver(&keys, payload, Repeated::Refused).await,
        }
    }
}
