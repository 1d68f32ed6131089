//! The transactions that another one affects: looked at one after the other, and only what the rules ask for is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tessera_enclave::security_hash::{Binder, SecurityHashError};
use tessera_enclave::{EncodedPayload, KeyRing, PrivacyMode, PublicKey, SecurityHash, TxHash};

use super::{Error, MAX_RECORD_BYTES, Refusal, TransactionManager};
use crate::tasks;

/// Affected transactions of one request. A contract call affects a handful.
pub(super) const MAX_AFFECTED: usize = 256;
/// Their cipher texts together: each is read and hashed, so a small request could ask for hours of work.
pub(super) const MAX_AFFECTED_BYTES: usize = MAX_RECORD_BYTES;

/// Bytes of memory for each byte of a record that is looked up: as it is read, and a copy in the worst case.
const LOOKUP_COST: u64 = 2;

/// What the rules ask of a stored payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Affected {
    pub(super) mode: PrivacyMode,
    pub(super) mandatory_recipients: BTreeSet<PublicKey>,
    pub(super) recipient_keys: Vec<PublicKey>,
}

/// Affected transactions that are stored here.
pub(super) type Known = BTreeMap<TxHash, Affected>;

impl Affected {
    pub(super) fn of(payload: &EncodedPayload) -> Self {
        Self {
            mode: payload.privacy.mode,
            mandatory_recipients: payload.privacy.mandatory_recipients.clone(),
            recipient_keys: payload.recipient_keys.clone(),
        }
    }
}

/// Refuses more affected transactions than are looked at.
pub(super) fn check_count(count: usize) -> Result<(), Refusal> {
    if count > MAX_AFFECTED { Err(Refusal::TooManyAffected) } else { Ok(()) }
}

impl TransactionManager {
    /// What the rules ask of those that are stored here.
    pub(super) async fn known<'a>(&self, hashes: impl Iterator<Item = &'a TxHash>) -> Result<Known, Error> {
        self.look_at_each(hashes, Affected::of).await
    }

    /// The security hashes of those that are stored here, for a transaction with this cipher text.
    pub(super) async fn bind<'a>(
        &self,
        ring: &Arc<KeyRing>,
        binder: Binder,
        hashes: impl Iterator<Item = &'a TxHash>,
    ) -> Result<BTreeMap<TxHash, SecurityHash>, Error> {
        let ring = Arc::clone(ring);
        let bound = self.look_at_each(hashes, move |payload| binder.bind(&ring, payload)).await?;
        Ok(bound
            .into_iter()
            .map(|(hash, bound)| Ok((hash, bound?)))
            .collect::<Result<_, SecurityHashError>>()?)
    }

    async fn look_at_each<'a, T: Send + 'static>(
        &self,
        hashes: impl Iterator<Item = &'a TxHash>,
        look: impl Fn(&EncodedPayload) -> T + Send + Sync + 'static,
    ) -> Result<BTreeMap<TxHash, T>, Error> {
        let (look, mut seen, mut bytes) = (Arc::new(look), BTreeMap::new(), 0);
        for hash in hashes {
            // Never closed.
            let _turn = self.affected_lookups.acquire().await;
            let mut memory = self.lookup_memory.permit();
            memory.grow(LOOKUP_COST * self.payloads.stored_bytes(hash, false).await?).await?;
            let Some(payload) = self.payloads.get(hash).await? else { continue };
            bytes += payload.cipher_text.len();
            if bytes > MAX_AFFECTED_BYTES {
                return Err(Refusal::TooManyAffected.into());
            }
            let look = Arc::clone(&look);
            let found = tasks::blocking(move || look(&payload)).await;
            seen.insert(*hash, found.ok_or(Error::Panicked("a computation"))?);
        }
        Ok(seen)
    }
}
