//! Delivers a sealed payload to all remote recipients, in parallel. Nothing of it is stored here yet.

use std::sync::Arc;

use futures::{StreamExt, stream};
use tessera_enclave::codec::versions::{ApiVersion, ApiVersions};
use tessera_enclave::{EncodedPayload, KeyRing, PrivacyMode, PublicKey, TxHash};
use tokio::time::Instant;

use super::{Error, Refusal, TransactionManager, encode};
use crate::peers::directory::Peer;

/// What the encodings of one payload under way may take together, beyond one: with many recipients of a large payload all
/// of them at once would be more than the pod has.
const ENCODED_BYTES: usize = 64 << 20;

/// One recipient and the node that holds its key.
pub(super) type Recipient = (PublicKey, Arc<Peer>);

impl TransactionManager {
    /// The remote recipients. All are found before the first push: an unknown key costs nobody a payload.
    pub(super) async fn remote_recipients(
        &self,
        ring: &KeyRing,
        payload: &EncodedPayload,
    ) -> Result<Vec<Recipient>, Error> {
        let mut found = Vec::new();
        for key in payload.recipient_keys.iter().filter(|key| !ring.contains(key)) {
            found.push((*key, self.holder(key).await?));
        }
        for (key, peer) in &found {
            check_capabilities(payload.privacy.mode, key, peer.versions())?;
        }
        Ok(found)
    }

    /// Returns when every push has ended, each recipient durably with the payload or with a failure. The failure of the
    /// first in recipient order is the result. A failed push ends no other: a push that is broken off costs a connection
    /// and leaves its recipient uncertain.
    pub(super) async fn distribute(
        &self,
        recipients: &[Recipient],
        payload: &EncodedPayload,
        hash: &TxHash,
        deadline: Instant,
    ) -> Result<(), Error> {
        if let [only] = recipients {
            return self.push_one(payload, hash, only, deadline).await;
        }
        // Collected, since the compiler cannot tell that a lazy iterator of them may be sent.
        let pushes: Vec<_> = recipients
            .iter()
            .enumerate()
            .map(|(index, recipient)| async move {
                (index, self.push_one(payload, hash, recipient, deadline).await)
            })
            .collect();
        // Each holds an encoding of its own.
        let at_once = (ENCODED_BYTES / payload.cipher_text.len().max(1)).max(1);
        let ended: Vec<_> = stream::iter(pushes).buffer_unordered(at_once).collect().await;
        let first_failure = ended
            .into_iter()
            .filter_map(|(index, outcome)| Some((index, outcome.err()?)))
            .min_by_key(|(index, _)| *index);
        first_failure.map_or(Ok(()), |(_, error)| Err(error))
    }

    async fn holder(&self, key: &PublicKey) -> Result<Arc<Peer>, Error> {
        if let Some(holder) = self.peers.directory().holder(key) {
            return Ok(holder);
        }
        let keys = self.keys()?;
        if let Some(others) = &self.others {
            // Another replica may have heard of it.
            others.table.look_for(keys.ring(), key).await.map_err(Error::Database)?;
            if let Some(holder) = self.peers.directory().holder(key) {
                return Ok(holder);
            }
        }
        // It may be one of our own that is not loaded yet.
        Err(self.certain(Error::RecipientUnknown(*key), &keys).await)
    }

    async fn push_one(
        &self,
        payload: &EncodedPayload,
        hash: &TxHash,
        (key, peer): &Recipient,
        deadline: Instant,
    ) -> Result<(), Error> {
        let theirs = payload.for_recipient(key)?;
        let body = encode(peer.codec(), &theirs).await?;
        self.peers.push(peer, body.into(), hash, deadline).await?;
        Ok(())
    }
}

fn check_capabilities(mode: PrivacyMode, key: &PublicKey, versions: &ApiVersions) -> Result<(), Refusal> {
    if mode != PrivacyMode::StandardPrivate && !versions.contains(ApiVersion::EnhancedPrivacy) {
        return Err(Refusal::PeerPrivacy(*key));
    }
    if mode == PrivacyMode::MandatoryRecipients && !versions.contains(ApiVersion::MandatoryRecipients) {
        return Err(Refusal::PeerMandatory(*key));
    }
    Ok(())
}
