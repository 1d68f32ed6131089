//! Opening a payload with one of our keys: which box, and whose key it was sealed to, in every form that payloads have
//! had.

use bytes::Bytes;

use crate::crypto::{self, CryptoError};
use crate::key::{MasterKey, PublicKey};
use crate::keyring::{KeyRing, KeyRingError};
use crate::payload::{EncodedPayload, PayloadError, PrivacyMode};

/// Why a payload stays closed.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
#[non_exhaustive]
pub enum OpenError {
    /// The key is not a recipient.
    #[error("recipient not found in listed keys")]
    NotListed,
    /// The key is not ours, or the peer's key is unusable.
    #[error(transparent)]
    KeyRing(#[from] KeyRingError),
    /// There is no box at the recipient's place.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// Not sealed for this key, or changed on the way.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// Opens the payload with `own`, one of our keys.
pub fn open(keys: &KeyRing, payload: &EncodedPayload, own: &PublicKey) -> Result<Vec<u8>, OpenError> {
    let master_key = master_key(keys, payload, own)?;
    Ok(crypto::open(master_key.expose(), &payload.cipher_text_nonce, &payload.cipher_text)?)
}

/// Opens the payload with the first of our keys that can; the key is returned with the message. `None`: none can.
pub fn open_any<'k>(keys: &'k KeyRing, payload: &EncodedPayload) -> Option<(&'k PublicKey, Vec<u8>)> {
    keys.public_keys().find_map(|own| open(keys, payload, own).ok().map(|message| (own, message)))
}

/// The master key, from the box that belongs to `own`.
pub(crate) fn master_key(
    keys: &KeyRing,
    payload: &EncodedPayload,
    own: &PublicKey,
) -> Result<MasterKey, OpenError> {
    // The list first: clients tell a key that is no recipient from a recipient's key that is not ours.
    let (peer, sealed) = choose_box(keys, payload, own)?;
    Ok(open_box(keys, own, peer, payload, sealed)?)
}

/// Opens one box between `own` and `peer`.
pub(crate) fn open_box(
    keys: &KeyRing,
    own: &PublicKey,
    peer: &PublicKey,
    payload: &EncodedPayload,
    sealed: &[u8],
) -> Result<MasterKey, KeyRingError> {
    let shared = keys.shared_key(own, peer)?;
    let opened = crypto::open_secret(shared.expose(), &payload.recipient_nonce, sealed)?;
    Ok(MasterKey(opened))
}

/// The other party of the box, and the box.
fn choose_box<'p>(
    keys: &KeyRing,
    payload: &'p EncodedPayload,
    own: &PublicKey,
) -> Result<(&'p PublicKey, &'p Bytes), OpenError> {
    let listed = || payload.key_index(own).ok_or(OpenError::NotListed);
    let sender = &payload.sender;
    if payload.privacy.mode == PrivacyMode::PrivateStateValidation {
        return Ok((sender, payload.box_at(listed()?)?));
    }
    let Some(first_recipient) = payload.recipient_keys.first() else {
        // Recipients of the oldest payloads never learned the keys: the one box is for one of ours.
        return Ok((sender, payload.box_at(0)?));
    };
    // Senders of very old payloads did not list themselves; they read through their first recipient's box.
    let unlisted_sender = sender == own && keys.contains(sender) && payload.key_index(sender).is_none();
    if unlisted_sender {
        return Ok((first_recipient, payload.box_at(0)?));
    }
    Ok((sender, payload.box_at(listed()?)?))
}
