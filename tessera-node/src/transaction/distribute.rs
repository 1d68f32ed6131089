//! Delivers a sealed payload to all remote recipients, in parallel. Nothing of it is stored here yet.

use futures::{StreamExt, TryStreamExt, stream};
use tessera_enclave::codec::versions::{ApiVersion, ApiVersions};
use tessera_enclave::{EncodedPayload, KeyRing, PrivacyMode, PublicKey};
use tokio::time::Instant;

use super::{Error, Refusal, TransactionManager};
use crate::peers::directory::Holder;

/// What the encodings of one payload under way may take together, beyond one: with many recipients of a large payload all
/// of them at once would be more than the pod has.
const ENCODED_BYTES: usize = 64 << 20;

impl TransactionManager {
    /// Returns when every remote recipient has the payload durably; at the first that does not, with its failure.
    pub(super) async fn distribute(
        &self,
        ring: &KeyRing,
        payload: &EncodedPayload,
        deadline: Instant,
    ) -> Result<(), Error> {
        let remote = payload.recipient_keys.iter().filter(|key| !ring.contains(key));
        // All are found before the first is told: an unknown key costs nobody a payload.
        let holders: Vec<_> = remote.map(|key| Ok((key, self.holder(key)?))).collect::<Result<_, Error>>()?;
        for (key, holder) in &holders {
            check_capabilities(payload.privacy.mode, key, &holder.versions)?;
        }
        // Collected, since the compiler cannot tell that a lazy iterator of them may be sent.
        let pushes: Vec<_> =
            holders.iter().map(|(key, holder)| self.push_one(payload, key, holder, deadline)).collect();
        // Each holds an encoding of its own.
        let at_once = (ENCODED_BYTES / payload.cipher_text.len().max(1)).max(1);
        stream::iter(pushes).buffer_unordered(at_once).try_collect::<()>().await
    }

    fn holder(&self, key: &PublicKey) -> Result<Holder, Error> {
        if let Some(holder) = self.peers.directory().holder(key) {
            return Ok(holder);
        }
        // It may be one of our own that is not loaded yet.
        Err(self.keys()?.unless_incomplete(Error::RecipientUnknown(key.clone())))
    }

    async fn push_one(
        &self,
        payload: &EncodedPayload,
        key: &PublicKey,
        holder: &Holder,
        deadline: Instant,
    ) -> Result<(), Error> {
        let theirs = payload.for_recipient(key)?;
        self.peers.push(holder, &theirs, deadline).await?;
        Ok(())
    }
}

fn check_capabilities(mode: PrivacyMode, key: &PublicKey, versions: &ApiVersions) -> Result<(), Refusal> {
    if mode != PrivacyMode::StandardPrivate && !versions.contains(ApiVersion::EnhancedPrivacy) {
        return Err(Refusal::PeerPrivacy(key.clone()));
    }
    if mode == PrivacyMode::MandatoryRecipients && !versions.contains(ApiVersion::MandatoryRecipients) {
        return Err(Refusal::PeerMandatory(key.clone()));
    }
    Ok(())
}
