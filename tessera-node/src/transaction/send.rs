//! A client sends a message: validate, seal, push to all, keep our own copy, answer.

use std::sync::Arc;
use std::time::Duration;

use tessera_enclave::seal::SealRequest;
use tessera_enclave::security_hash::Binder;
use tessera_enclave::{EncodedPayload, KeyRing, PublicKey, SealBuffer, TxHash, recipients, seal};
use tokio::time::{Instant, timeout_at};

use super::privacy::{self, PrivacyRequest};
use super::{Error, Sent, TransactionManager, affected, compute, hash_of, managed, payloads};
use crate::fault::{self, FaultPoint};
use crate::keyring::Keys;
use crate::resources::Permit;

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
    /// Sends a message; when this returns it is durable here and at all recipients. `held` is the memory of the request, which
    /// goes on if the client stops waiting: recipients that have the payload must not be left with a transaction that its
    /// sender does not have.
    pub(crate) async fn send(self: &Arc<Self>, request: SendRequest, held: Permit) -> Result<Sent, Error> {
        let manager = Arc::clone(self);
        self.finish(held, async move { manager.seal_and_deliver(request).await }).await
    }

    async fn seal_and_deliver(&self, request: SendRequest) -> Result<Sent, Error> {
        refuse_group(request.privacy_group)?;
        let keys = self.keys()?;
        let sender = self.sender_of(&keys, request.from.as_ref()).await?;
        let recipients = recipients::of_send(&request.to, &sender, &self.policy.always_send_to);
        self.check(&request.privacy, &recipients).await?;

        let ring = Arc::clone(keys.ring());
        let metadata = request.privacy.metadata();
        let message = request.message;
        let payload = compute(message.message().len(), move || {
            seal::seal(&ring, message, SealRequest { sender, recipients, privacy: metadata })
        })
        .await??;
        let payload = self.bound(keys.ring(), payload, &request.privacy).await?;
        self.deliver(&keys, payload, Repeated::Replaces).await
    }

    /// Refuses what the rules of the privacy modes refuse.
    pub(super) async fn check(
        &self,
        request: &PrivacyRequest,
        recipients: &[PublicKey],
    ) -> Result<(), Error> {
        affected::check_count(request.affected.len())?;
        let known = self.known(request.affected.iter()).await?;
        privacy::check_send(request, &known, recipients, self.policy.privacy_enhancements)
    }

    /// The payload with the security hashes of the transactions that it affects.
    pub(super) async fn bound(
        &self,
        ring: &Arc<KeyRing>,
        payload: EncodedPayload,
        request: &PrivacyRequest,
    ) -> Result<EncodedPayload, Error> {
        if request.affected.is_empty() {
            return Ok(payload);
        }
        let cipher_text = payload.cipher_text.clone();
        let binder = compute(cipher_text.len(), move || Binder::new(&cipher_text)).await?;
        let affected = self.bind(ring, binder, request.affected.iter()).await?;
        Ok(payload.with_affected(affected))
    }

    /// Pushes a sealed payload, then keeps it.
    pub(super) async fn deliver(
        &self,
        keys: &Keys,
        payload: EncodedPayload,
        repeated: Repeated,
    ) -> Result<Sent, Error> {
        // Before the first push: what cannot be kept here must not be kept elsewhere.
        payloads::check_size(&payload)?;
        if let Some(archived) = payload.recipient_keys.iter().find(|key| keys.is_archived(key)) {
            return Err(Error::KeyArchived(*archived));
        }
        let ring = keys.ring();
        let recipients = self.remote_recipients(ring, &payload).await?;
        let deadline = Instant::now() + deadline(payload.cipher_text.len() * recipients.len());
        let hash = hash_of(&payload.cipher_text).await?;
        let _sending = self.in_flight.begin(&hash);
        self.distribute(&recipients, &payload, &hash, deadline).await?;
        fault::reach(FaultPoint::BeforeSendInsert);
        // Recipients have it by now; whether we do is unknown when the disk stalls.
        timeout_at(deadline + KEEP_GRACE, self.keep(&hash, &payload, repeated))
            .await
            .map_err(|_| Error::StoreTimeout)??;
        fault::reach(FaultPoint::AfterSendInsert);
        tracing::debug!(%hash, "transaction sent");
        let managed = managed(ring, &payload.recipient_keys);
        Ok(Sent { hash, sender: payload.sender, managed })
    }

    async fn keep(&self, hash: &TxHash, payload: &EncodedPayload, repeated: Repeated) -> Result<(), Error> {
        if self.payloads.insert(hash, payload).await? {
            return Ok(());
        }
        loop {
            let (stored, version) = self.payloads.get_for_write(hash).await?;
            match (stored, repeated) {
                // A client's retry of the identical raw transaction.
                (Some(stored), _) if stored == *payload => return Ok(()),
                (Some(_), Repeated::Refused) => return Err(Error::AlreadySent),
                // A damaged copy, or a recipient's push that came back first.
                _ => {
                    if self.write(hash, version, payload).await? {
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// What a payload means that is stored under the hash of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeated {
    /// The cipher text is new, so the stored payload was made from this very send: ours replaces it.
    Replaces,
    /// A raw payload is sent once, with one set of recipients.
    Refused,
}

/// All of a small send, so that a client with a five-second timeout still hears why it failed.
const SMALL_SEND: Duration = Duration::from_millis(3500);
/// The slowest link that a large send is meant for, in bytes a second.
const SLOWEST_LINK: usize = 4 << 20;

/// How long the pushes of `bytes` in all may take.
fn deadline(bytes: usize) -> Duration {
    SMALL_SEND + Duration::from_millis((bytes / (SLOWEST_LINK / 1000)) as u64)
}

/// There are no privacy groups here, so any is an unknown one.
pub(super) fn refuse_group(group: Option<String>) -> Result<(), Error> {
    group.map_or(Ok(()), |id| Err(Error::PrivacyGroupUnknown(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_grows_with_the_bytes() {
        assert_eq!(deadline(1024), SMALL_SEND);
        let large = deadline(60 << 20);
        assert!(large > Duration::from_secs(18) && large < Duration::from_secs(19), "{large:?}");
    }
}
