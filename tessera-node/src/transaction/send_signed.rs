//! A client sends a message that it stored before: the raw payload gets its recipients.

use std::sync::Arc;

use tessera_enclave::seal::SealRequest;
use tessera_enclave::{PublicKey, TxHash, raw, recipients};
use tokio::time::Instant;

use super::privacy::{self, PrivacyRequest};
use super::send::{already_sent, refuse_group};
use super::{Error, Sent, TransactionManager, compute, sender_of};
use crate::peers::SEND_DEADLINE;

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
    /// Sends a stored raw payload. The recipient nonce is derived, so that a retry is byte-identical and succeeds.
    pub(crate) async fn send_signed(&self, request: SendSignedRequest) -> Result<Sent, Error> {
        let deadline = Instant::now() + SEND_DEADLINE;
        refuse_group(request.privacy_group)?;
        let keys = self.keys()?;
        let unknown = || keys.unless_incomplete(Error::RawTransactionUnknown(request.hash.clone()));
        let stored = self.payloads.get_raw(&request.hash).await?.ok_or_else(unknown)?;
        let sender = sender_of(&keys, Some(&stored.sender))?;
        let recipients = recipients::of_send_signed(&request.to, &sender, &self.policy.always_send_to);
        let known = self.affected(&request.privacy).await?;
        privacy::check_send(&request.privacy, &known, &recipients, self.policy.privacy_enhancements)?;

        let ring = Arc::clone(keys.ring());
        let metadata = request.privacy.metadata();
        let payload = compute(stored.encrypted_payload.len(), move || {
            let affected = known.iter().map(|(hash, payload)| (hash.clone(), payload)).collect();
            raw::send_signed(&ring, &stored, SealRequest { sender, recipients, privacy: metadata, affected })
        })
        .await??;
        // Before anybody is told: a second send with other recipients could not be kept here.
        match self.payloads.get_for_write(&request.hash).await? {
            (Some(sent), _) if sent != payload => Err(already_sent()),
            _ => self.deliver(keys.ring(), payload, deadline).await,
        }
    }
}
