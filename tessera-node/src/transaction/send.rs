//! A client sends a message: validate, seal, push to all, keep our own copy, answer.

use std::sync::Arc;
use std::time::Duration;

use tessera_enclave::seal::SealRequest;
use tessera_enclave::{DigestMode, EncodedPayload, KeyRing, PublicKey, SealBuffer, TxHash, recipients, seal};
use tessera_store::{InsertOutcome, ReplaceOutcome};
use tokio::time::{Instant, timeout_at};

use super::privacy::{self, Known, PrivacyRequest};
use super::{Error, Sent, TransactionManager, compute, managed, payloads, sender_of};
use crate::fault::{self, FaultPoint};
use crate::peers::SEND_DEADLINE;

/// For our own copy after the pushes: clients give up after five seconds.
const KEEP_GRACE: Duration = Duration::from_secs(1);

/// What a client wants sent.
#[derive(Debug)]
pub(crate) struct SendRequest {
    pub(crate) message: SealBuffer,
    pub(crate) from: Option<PublicKey>,
    pub(crate) to: Vec<PublicKey>,
    pub(crate) privacy: PrivacyRequest,
    /// In base64.
    pub(crate) privacy_group: Option<String>,
}

impl TransactionManager {
    /// Sends a message; when this returns it is durable here and at all recipients.
    pub(crate) async fn send(&self, request: SendRequest) -> Result<Sent, Error> {
        let deadline = Instant::now() + SEND_DEADLINE;
        refuse_group(request.privacy_group)?;
        let keys = self.keys()?;
        let sender = sender_of(&keys, request.from.as_ref())?;
        let recipients = recipients::of_send(&request.to, &sender, &self.policy.always_send_to);
        let known = self.affected(&request.privacy).await?;
        privacy::check_send(&request.privacy, &known, &recipients, self.policy.privacy_enhancements)?;

        let ring = Arc::clone(keys.ring());
        let metadata = request.privacy.metadata();
        let message = request.message;
        let payload = compute(message.message().len(), move || {
            let affected = known.iter().map(|(hash, payload)| (hash.clone(), payload)).collect();
            seal::seal(&ring, message, SealRequest { sender, recipients, privacy: metadata, affected })
        })
        .await??;
        self.deliver(keys.ring(), payload, deadline).await
    }

    /// Pushes a sealed payload, then keeps it.
    pub(super) async fn deliver(
        &self,
        ring: &KeyRing,
        payload: EncodedPayload,
        deadline: Instant,
    ) -> Result<Sent, Error> {
        // Before anybody is told: what cannot be kept here must not be kept elsewhere.
        payloads::check_size(&payload)?;
        let hash = payload.hash(DigestMode::Tessera);
        self.distribute(ring, &payload, deadline).await?;
        fault::reach(FaultPoint::BeforeSendInsert);
        // Recipients have it by now; whether we do is unknown when the disk stalls.
        timeout_at(deadline + KEEP_GRACE, self.keep(&hash, &payload))
            .await
            .map_err(|_| Error::Unavailable("the payload store did not answer in time".into()))??;
        fault::reach(FaultPoint::AfterSendInsert);
        tracing::debug!(%hash, "transaction sent");
        let managed = managed(ring, &payload.recipient_keys);
        Ok(Sent { hash, sender: payload.sender.clone(), managed })
    }

    /// The stored payloads of the affected transactions; those that are not stored here are left out.
    pub(super) async fn affected(&self, privacy: &PrivacyRequest) -> Result<Known, Error> {
        let mut known = Known::new();
        for hash in &privacy.affected {
            if let Some((payload, _)) = self.payloads.get(hash).await? {
                known.insert(hash.clone(), payload);
            }
        }
        Ok(known)
    }

    async fn keep(&self, hash: &TxHash, payload: &EncodedPayload) -> Result<(), Error> {
        if let InsertOutcome::Inserted(_) = self.payloads.insert(hash, payload).await? {
            return Ok(());
        }
        loop {
            match self.payloads.get_for_write(hash).await? {
                // A client's retry of the identical raw transaction.
                (Some(stored), _) if stored == *payload => return Ok(()),
                // Its first copy is damaged, and this one mends it, unless another was faster.
                (None, Some(damaged)) => {
                    let outcome = self.payloads.replace(hash, damaged, payload).await?;
                    if matches!(outcome, ReplaceOutcome::Replaced(_)) {
                        return Ok(());
                    }
                }
                _ => return Err(already_sent()),
            }
        }
    }
}

/// There are no privacy groups here, so any is an unknown one.
pub(super) fn refuse_group(group: Option<String>) -> Result<(), Error> {
    group.map_or(Ok(()), |id| Err(Error::PrivacyGroupUnknown(id)))
}

/// One raw payload is sent once, with one set of recipients. The text is what Java's database says.
pub(super) fn already_sent() -> Error {
    Error::Failed("duplicate key value violates unique constraint \"encrypted_transaction_pkey\"".into())
}
