//! The sample payload of a key: sealed by the key to itself when it is generated. That it can still be read, after rotations and
//! restarts, shows that the store keeps what the key received and that the key still opens it.

use std::sync::Arc;

use tessera_enclave::keyring::DefaultKey;
use tessera_enclave::seal::SealRequest;
use tessera_enclave::{KeyPair, KeyRing, PrivacyMetadata, SealBuffer, TxHash, open, seal};
use tessera_node_api::admin::SampleOutcome;

use super::{Error, Payloads};

/// What is sealed. No client can ask for it by content, since each key seals it under a master key of its own.
const MESSAGE: &[u8] = b"tessera.rs key sample v1";

impl Payloads {
    /// Seals a sample with `pair` to itself and keeps it durably. Returns its hash.
    pub(crate) async fn keep_sample(&self, pair: Arc<KeyPair>) -> Result<TxHash, Error> {
        let (ring, public) = ring_of(pair)?;
        let request =
            SealRequest { sender: public, recipients: vec![public], privacy: PrivacyMetadata::default() };
        let payload = seal::seal(&ring, SealBuffer::from(MESSAGE), request)?;
        let hash = payload.hash();
        // The cipher text is of a new master key.
        if self.insert(&hash, &payload).await? { Ok(hash) } else { Err(Error::AlreadySent) }
    }

    /// Reads the sample of `pair`. `elsewhere`: the key was generated with another payload store than this one.
    pub(crate) async fn read_sample(
        &self,
        pair: Arc<KeyPair>,
        hash: &TxHash,
        elsewhere: bool,
    ) -> SampleOutcome {
        let payload = match self.get(hash).await {
            Ok(Some(payload)) => payload,
            Ok(None) | Err(Error::VolumeReplaced) if elsewhere => return SampleOutcome::OtherVolume,
            Ok(None) | Err(Error::VolumeReplaced) => return SampleOutcome::Missing,
            Err(_) => return SampleOutcome::Unclear,
        };
        let Ok((ring, public)) = ring_of(pair) else { return SampleOutcome::Unclear };
        match open::open(&ring, &payload, &public) {
            Ok(message) if message == MESSAGE => SampleOutcome::Read,
            _ => SampleOutcome::NotOpened,
        }
    }
}

fn ring_of(pair: Arc<KeyPair>) -> Result<(KeyRing, tessera_enclave::PublicKey), Error> {
    let public = *pair.public();
    Ok((KeyRing::new([pair], &DefaultKey::Named(public))?, public))
}
