//! A peer delivers a payload. It is answered when the payload is durable.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use tessera_enclave::merge::{self, Merged};
use tessera_enclave::own_message;
use tessera_enclave::security_hash::Binder;
use tessera_enclave::{EncodedPayload, KeyRing, PayloadCodec, PrivacyMode, TxHash};
use tessera_store::Version;

use super::affected::{self, Known};
use super::privacy::{self, PushDecision};
use super::{Error, Refusal, TransactionManager, compute};
use crate::fault::{self, FaultPoint};
use crate::keyring::Keys;
use crate::resources::Permit;

impl TransactionManager {
    /// Takes a payload. Also answered with its hash when a rule says that it is silently not kept. `held` is the memory of the
    /// push: a peer that goes away leaves work that still needs it.
    pub(crate) async fn accept_push(
        self: &Arc<Self>,
        body: Bytes,
        codec: PayloadCodec,
        held: Permit,
    ) -> Result<TxHash, Error> {
        if held.is_empty() {
            return self.accept(body, codec).await;
        }
        let manager = Arc::clone(self);
        self.finish(held, async move { manager.accept(body, codec).await }).await
    }

    async fn accept(&self, body: Bytes, codec: PayloadCodec) -> Result<TxHash, Error> {
        let (payload, hash) = decode(body, codec).await?;
        // Before anything is looked up for it.
        privacy::check_mode(payload.privacy.mode, self.policy.privacy_enhancements)?;
        affected::check_count(payload.privacy.affected.len())?;
        let known = self.known(payload.privacy.affected.keys()).await?;
        match privacy::check_push(&payload, &known)? {
            PushDecision::Ignore(reason) => {
                // At a peer's will, so not at a level that fills the log.
                tracing::debug!(reason, "a pushed payload is answered and not kept");
                return Ok(hash);
            }
            PushDecision::Accept => {}
        }
        let keys = self.keys()?;
        refuse_archived(&keys, &payload)?;
        let invalid = self.invalid_claims(keys.ring(), &payload, &known, &hash).await?;
        let recipients = payload.recipient_keys.clone();
        fault::reach(FaultPoint::BeforePushInsert);
        if keys.ring().contains(&payload.sender) {
            self.take_back(keys.ring(), &hash, payload.without_affected(&invalid)).await?;
        } else {
            self.keep_pushed(keys.ring(), &hash, payload, invalid).await?;
        }
        fault::reach(FaultPoint::AfterPushInsert);
        keys.note_push(&recipients);
        tracing::debug!(%hash, "payload accepted");
        Ok(hash)
    }

    /// Affected transactions whose security hash is wrong, or that are not stored here. Where state is validated, one is
    /// enough to refuse.
    pub(super) async fn invalid_claims(
        &self,
        ring: &Arc<KeyRing>,
        payload: &EncodedPayload,
        known: &Known,
        hash: &TxHash,
    ) -> Result<BTreeSet<TxHash>, Error> {
        let claims = &payload.privacy.affected;
        if claims.is_empty() {
            return Ok(BTreeSet::new());
        }
        let cipher_text = payload.cipher_text.clone();
        let binder = compute(cipher_text.len(), move || Binder::new(&cipher_text)).await?;
        let bound = self.bind(ring, binder, known.keys()).await?;
        let invalid: BTreeSet<_> = claims
            .iter()
            .filter(|(hash, claimed)| bound.get(hash) != Some(claimed))
            .map(|(hash, _)| *hash)
            .collect();
        if !invalid.is_empty() && payload.privacy.mode == PrivacyMode::PrivateStateValidation {
            return Err(Refusal::security_hashes(*hash, invalid.iter()).into());
        }
        Ok(invalid)
    }

    /// Inserts; the store decides whether the hash is new. If not, merges with what is there.
    async fn keep_pushed(
        &self,
        ring: &Arc<KeyRing>,
        hash: &TxHash,
        payload: EncodedPayload,
        invalid: BTreeSet<TxHash>,
    ) -> Result<(), Error> {
        let fresh = payload.clone().without_affected(&invalid);
        if self.payloads.insert(hash, &fresh).await? {
            return Ok(());
        }
        let ring = Arc::clone(ring);
        let size = payload.cipher_text.len();
        self.merge_in(hash, size, move |stored| match stored {
            None => Ok(Merged::Store(fresh.clone())),
            Some(stored) => Ok(merge::merge(&ring, stored, payload.clone(), &invalid)?),
        })
        .await
    }

    /// Our own message comes back, while a lost database is rebuilt.
    async fn take_back(
        &self,
        ring: &Arc<KeyRing>,
        hash: &TxHash,
        payload: EncodedPayload,
    ) -> Result<(), Error> {
        if self.in_flight.contains(hash) {
            // The send that is under way keeps the whole of it.
            return Ok(());
        }
        let (ring, size) = (Arc::clone(ring), payload.cipher_text.len());
        self.merge_in(hash, size, move |stored| Ok(own_message::accept(&ring, stored, payload.clone())?))
            .await
    }

    /// Reads, merges and writes, until no other write came in between.
    async fn merge_in(
        &self,
        hash: &TxHash,
        size: usize,
        merge: impl Fn(Option<&EncodedPayload>) -> Result<Merged, Error> + Send + Sync + 'static,
    ) -> Result<(), Error> {
        let merge = Arc::new(merge);
        loop {
            let (stored, version) = self.payloads.get_for_write(hash).await?;
            let once = Arc::clone(&merge);
            let Merged::Store(merged) = compute(size, move || once(stored.as_ref())).await?? else {
                return Ok(());
            };
            if self.write(hash, version, &merged).await? {
                return Ok(());
            }
        }
    }

    /// False: another write came in between.
    pub(super) async fn write(
        &self,
        hash: &TxHash,
        read: Option<Version>,
        payload: &EncodedPayload,
    ) -> Result<bool, Error> {
        match read {
            None => self.payloads.insert(hash, payload).await,
            Some(read) => self.payloads.replace(hash, read, payload).await,
        }
    }
}

/// A payload of another node that is for archived keys of ours alone. Our own messages come back to any key while a lost store
/// is rebuilt.
fn refuse_archived(keys: &Keys, payload: &EncodedPayload) -> Result<(), Error> {
    let ring = keys.ring();
    if ring.contains(&payload.sender) {
        return Ok(());
    }
    let mut own = payload.recipient_keys.iter().filter(|key| ring.contains(key)).peekable();
    match own.peek().copied() {
        Some(first) if own.all(|key| keys.is_archived(key)) => Err(Error::KeyArchived(*first)),
        _ => Ok(()),
    }
}

async fn decode(body: Bytes, codec: PayloadCodec) -> Result<(EncodedPayload, TxHash), Error> {
    let size = body.len();
    let decode = move || {
        let payload = codec.decode(&body)?;
        let hash = payload.hash();
        Ok::<_, Error>((payload, hash))
    };
    compute(size, decode).await?
}
