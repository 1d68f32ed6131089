//! A peer delivers a payload. It is answered when the payload is durable.

use std::collections::BTreeSet;

use bytes::Bytes;
use tessera_enclave::merge::{self, Merged};
use tessera_enclave::{DigestMode, EncodedPayload, KeyRing, PayloadCodec, PrivacyMode, TxHash};
use tessera_enclave::{own_message, security_hash};
use tessera_store::{InsertOutcome, ReplaceOutcome};

use super::privacy::{self, Known, PrivacyRequest, Verdict};
use super::{Error, Refusal, TransactionManager};
use crate::fault::{self, FaultPoint};

impl TransactionManager {
    /// Takes a payload. Also answered with its hash when a rule says that it is silently not kept.
    pub(crate) async fn accept_push(&self, body: &Bytes, codec: PayloadCodec) -> Result<TxHash, Error> {
        let payload = codec.decode(body)?;
        let hash = payload.hash(DigestMode::Tessera);
        let claims = PrivacyRequest {
            affected: payload.privacy.affected.keys().cloned().collect(),
            ..PrivacyRequest::default()
        };
        let known = self.affected(&claims).await?;
        match privacy::check_push(&payload, &known, self.policy.privacy_enhancements)? {
            Verdict::Ignore(reason) => {
                tracing::info!(reason, "a pushed payload is answered and not kept");
                return Ok(hash);
            }
            Verdict::Accept => {}
        }
        let keys = self.keys()?;
        let invalid = invalid_claims(keys.ring(), &payload, &known, &hash)?;
        fault::reach(FaultPoint::BeforePushInsert);
        if keys.ring().contains(&payload.sender) {
            self.take_back(keys.ring(), &hash, payload.without_affected(&invalid)).await?;
        } else {
            self.keep_pushed(&hash, payload, &invalid).await?;
        }
        fault::reach(FaultPoint::AfterPushInsert);
        tracing::debug!(%hash, "payload accepted");
        Ok(hash)
    }

    /// Inserts, or merges with what is there until nobody was faster.
    async fn keep_pushed(
        &self,
        hash: &TxHash,
        payload: EncodedPayload,
        invalid: &BTreeSet<TxHash>,
    ) -> Result<(), Error> {
        let fresh = payload.clone().without_affected(invalid);
        self.merge_in(hash, |stored| match stored {
            None => Ok(Merged::Store(fresh.clone())),
            Some(stored) => Ok(merge::merge(stored, payload.clone(), invalid)?),
        })
        .await
    }

    /// Our own message comes back, while a lost database is rebuilt.
    async fn take_back(&self, ring: &KeyRing, hash: &TxHash, payload: EncodedPayload) -> Result<(), Error> {
        self.merge_in(hash, |stored| Ok(own_message::accept(ring, stored, payload.clone())?)).await
    }

    async fn merge_in(
        &self,
        hash: &TxHash,
        merge: impl Fn(Option<&EncodedPayload>) -> Result<Merged, Error>,
    ) -> Result<(), Error> {
        loop {
            let (stored, version) = self.payloads.get_for_write(hash).await?;
            let Merged::Store(merged) = merge(stored.as_ref())? else {
                return Ok(());
            };
            let done = match version {
                None => matches!(self.payloads.insert(hash, &merged).await?, InsertOutcome::Inserted(_)),
                Some(read) => {
                    matches!(self.payloads.replace(hash, read, &merged).await?, ReplaceOutcome::Replaced(_))
                }
            };
            if done {
                return Ok(());
            }
        }
    }
}

/// Affected transactions whose security hash is wrong. Where state is validated, one is enough to refuse.
fn invalid_claims(
    ring: &KeyRing,
    payload: &EncodedPayload,
    known: &Known,
    hash: &TxHash,
) -> Result<BTreeSet<TxHash>, Error> {
    let invalid = security_hash::invalid(ring, payload, known)?;
    if !invalid.is_empty() && payload.privacy.mode == PrivacyMode::PrivateStateValidation {
        return Err(Refusal::security_hashes(hash.clone(), invalid.iter()).into());
    }
    Ok(invalid)
}
