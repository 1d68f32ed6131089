//! Delivers a sealed payload to all remote recipients, in parallel. Nothing of it is stored here yet.

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tessera_enclave::codec::versions::{ApiVersion, ApiVersions};
use tessera_enclave::{EncodedPayload, KeyRing, PrivacyMode, PublicKey};
use tokio::time::Instant;

use super::{Error, Refusal, TransactionManager};
use crate::peers::directory::Holder;

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
        let mut pushes: FuturesUnordered<_> =
            holders.iter().map(|(key, holder)| self.push_one(payload, key, holder, deadline)).collect();
        while let Some(pushed) = pushes.next().await {
            pushed?;
        }
        Ok(())
    }

    fn holder(&self, key: &PublicKey) -> Result<Holder, Error> {
        self.peers.directory().holder(key).ok_or_else(|| Error::RecipientUnknown(key.clone()))
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
