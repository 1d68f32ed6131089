//! Our own message coming back from a recipient, while a lost database is rebuilt.

use bytes::Bytes;

use crate::key::{MasterKey, PublicKey};
use crate::keyring::{KeyRing, KeyRingError};
use crate::merge::Merged;
use crate::open::{self, OpenError};
use crate::payload::{EncodedPayload, PayloadError, PayloadParts, PrivacyMetadata};
use crate::seal;

/// Why a returned message is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
#[non_exhaustive]
pub enum OwnMessageError {
    /// It does not open with our key: not ours, whatever it says.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It is not the message that is stored under its hash.
    #[error("Invalid payload provided")]
    Differs,
    /// It names no peer, or has no box.
    #[error("No key or recipient-box to use")]
    NothingToUse,
    /// A key is unusable.
    #[error(transparent)]
    KeyRing(#[from] KeyRingError),
    /// The result would contradict itself.
    #[error(transparent)]
    Payload(#[from] PayloadError),
}

/// Takes back a payload that one of our keys sent. `incoming` has one box, and its first key is the peer that returned it.
pub fn accept(
    keys: &KeyRing,
    stored: Option<&EncodedPayload>,
    incoming: EncodedPayload,
) -> Result<Merged, OwnMessageError> {
    let returned = Returned::by(&incoming)?;
    let message = returned.open(keys)?;
    let Some(stored) = stored else {
        return rebuild(keys, &returned, incoming.clone()).map(Merged::Store);
    };
    if stored.recipient_boxes.contains(returned.sealed) || stored.key_index(returned.peer).is_some() {
        return Ok(Merged::Unchanged);
    }
    if stored.cipher_text != incoming.cipher_text || open::open(keys, stored, &stored.sender)? != message {
        return Err(OwnMessageError::Differs);
    }
    let mut parts = stored.clone().into_parts();
    parts.recipient_keys.push(returned.peer.clone());
    parts.recipient_boxes.push(returned.sealed.clone());
    Ok(Merged::Store(EncodedPayload::new(parts)?))
}

/// The one box of a returned message and whose it is.
struct Returned<'p> {
    payload: &'p EncodedPayload,
    peer: &'p PublicKey,
    sealed: &'p Bytes,
}

impl<'p> Returned<'p> {
    fn by(payload: &'p EncodedPayload) -> Result<Self, OwnMessageError> {
        let first = (payload.recipient_keys.first(), payload.recipient_boxes.first());
        let (Some(peer), Some(sealed)) = first else {
            return Err(OwnMessageError::NothingToUse);
        };
        Ok(Self { payload, peer, sealed })
    }

    /// The message as its sender reads it, whatever its mode: from this box alone.
    fn open(&self, keys: &KeyRing) -> Result<Vec<u8>, OpenError> {
        let plain = EncodedPayload::new(PayloadParts {
            recipient_keys: vec![self.peer.clone()],
            recipient_boxes: vec![self.sealed.clone()],
            privacy: PrivacyMetadata::default(),
            ..(**self.payload).clone()
        })?;
        open::open(keys, &plain, &plain.sender)
    }

    fn master_key(&self, keys: &KeyRing) -> Result<MasterKey, KeyRingError> {
        open::open_box(keys, &self.payload.sender, self.peer, self.payload, self.sealed)
    }
}

/// The payload as its sender stored it: with itself among the keys, and a box for every key.
fn rebuild(
    keys: &KeyRing,
    returned: &Returned<'_>,
    incoming: EncodedPayload,
) -> Result<EncodedPayload, OwnMessageError> {
    let master_key = returned.master_key(keys)?;
    let mut parts = incoming.into_parts();
    if !parts.recipient_keys.contains(&parts.sender) {
        parts.recipient_keys.push(parts.sender.clone());
    }
    for recipient in parts.recipient_keys.iter().skip(parts.recipient_boxes.len()) {
        let sealed = seal::seal_box(keys, &parts.sender, recipient, &parts.recipient_nonce, &master_key)?;
        parts.recipient_boxes.push(sealed);
    }
    Ok(EncodedPayload::new(parts)?)
}
