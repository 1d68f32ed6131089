//! Opening a payload with one of our keys: which box, and whose key it was sealed to, in every form that payloads have
//! had.

use bytes::Bytes;

use crate::crypto::{self, CryptoError};
use crate::key::{MasterKey, PublicKey};
use crate::keyring::{KeyRing, KeyRingError};
use crate::payload::{EncodedPayload, PayloadError, PrivacyMode};
use crate::secret::SecretBytes;

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
    let opened =
        crypto::open_secret(shared.expose(), &payload.recipient_nonce, sealed, SecretBytes::transient())?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::{PayloadParts, PrivacyMetadata};
    use crate::seal::{self, SealRequest};
    use crate::testing;

    const MESSAGE: &[u8] = b"message";

    struct Sent {
        sender: (PublicKey, KeyRing),
        recipient: (PublicKey, KeyRing),
        parts: PayloadParts,
    }

    /// A message to a recipient and, second, to its sender.
    fn sent(mode: PrivacyMode) -> Sent {
        let (sender, recipient) = (testing::ring_of_one(), testing::ring_of_one());
        let exec_hash = if mode == PrivacyMode::PrivateStateValidation { "hash" } else { "" };
        let request = SealRequest {
            sender: sender.0,
            recipients: vec![recipient.0, sender.0],
            privacy: PrivacyMetadata { mode, exec_hash: exec_hash.into(), ..PrivacyMetadata::default() },
        };
        let parts = seal::seal(&sender.1, MESSAGE.into(), request).expect("sealed").into_parts();
        Sent { sender, recipient, parts }
    }

    fn open_parts(parts: PayloadParts, (own, keys): &(PublicKey, KeyRing)) -> Result<Vec<u8>, OpenError> {
        open(keys, &EncodedPayload::new(parts).expect("consistent"), own)
    }

    #[test]
    fn case_1_state_validation_takes_the_box_at_the_index_of_the_key() {
        let sent = sent(PrivacyMode::PrivateStateValidation);
        assert_eq!(open_parts(sent.parts.clone(), &sent.recipient).expect("a recipient"), MESSAGE);
        let payload = EncodedPayload::new(sent.parts.clone()).expect("consistent");
        let pushed = payload.for_recipient(&sent.recipient.0).expect("a recipient");
        assert_eq!(open(&sent.recipient.1, &pushed, &sent.recipient.0).expect("its box"), MESSAGE);
        let stranger = testing::ring_of_one();
        assert_eq!(open_parts(sent.parts, &stranger), Err(OpenError::NotListed));
    }

    #[test]
    fn case_2_without_keys_the_first_box_is_tried() {
        let sent = sent(PrivacyMode::StandardPrivate);
        let parts = PayloadParts { recipient_keys: Vec::new(), ..sent.parts };
        assert_eq!(open_parts(parts.clone(), &sent.recipient).expect("its box"), MESSAGE);
        let stranger = testing::ring_of_one();
        let refused = open_parts(parts, &stranger).expect_err("not its box");
        assert_eq!(refused.to_string(), "jnacl could not open the payload using the shared key");
    }

    #[test]
    fn case_3_a_listed_sender_reads_its_own_box() {
        let sent = sent(PrivacyMode::StandardPrivate);
        assert_eq!(open_parts(sent.parts.clone(), &sent.sender).expect("its box"), MESSAGE);
        let stranger = testing::ring_of_one();
        let refused = open_parts(sent.parts, &stranger).expect_err("not listed");
        assert_eq!(refused.to_string(), "recipient not found in listed keys");
    }

    #[test]
    fn case_4_an_unlisted_sender_reads_through_its_first_recipient() {
        let sent = sent(PrivacyMode::StandardPrivate);
        let parts = PayloadParts { recipient_keys: vec![sent.recipient.0], ..sent.parts };
        assert_eq!(open_parts(parts, &sent.sender).expect("the recipient's box"), MESSAGE);
    }

    #[test]
    fn case_5_a_recipient_reads_its_own_box() {
        let sent = sent(PrivacyMode::StandardPrivate);
        let payload = EncodedPayload::new(sent.parts).expect("consistent");
        let pushed = payload.for_recipient(&sent.recipient.0).expect("a recipient");
        assert_eq!(open(&sent.recipient.1, &pushed, &sent.recipient.0).expect("its box"), MESSAGE);
    }

    #[test]
    fn a_listed_key_that_is_not_ours_is_named() {
        let sent = sent(PrivacyMode::StandardPrivate);
        let payload = EncodedPayload::new(sent.parts).expect("consistent");
        let refused = open(&sent.sender.1, &payload, &sent.recipient.0).expect_err("not ours");
        let expected = format!("Public key {} not found when searching for private key", sent.recipient.0);
        assert_eq!(refused.to_string(), expected);
    }

    #[test]
    fn a_listed_key_without_box_is_refused() {
        let sent = sent(PrivacyMode::StandardPrivate);
        let parts = PayloadParts { recipient_boxes: Vec::new(), ..sent.parts };
        let refused = open_parts(parts, &sent.sender).expect_err("no box");
        assert_eq!(refused.to_string(), "Index 1 out of bounds for length 0");
    }

    #[test]
    fn a_changed_message_stays_closed() {
        let sent = sent(PrivacyMode::StandardPrivate);
        for index in [0, sent.parts.cipher_text.len() - 1] {
            let mut changed = sent.parts.cipher_text.to_vec();
            changed[index] ^= 1;
            let parts = PayloadParts { cipher_text: changed.into(), ..sent.parts.clone() };
            assert_eq!(open_parts(parts, &sent.recipient), Err(OpenError::Crypto(CryptoError::Open)));
        }
    }

    #[test]
    fn a_nonce_of_another_length_is_refused() {
        let sent = sent(PrivacyMode::StandardPrivate);
        let nonce = crate::key::Nonce::from_bytes(&[0; 23]);
        let parts = PayloadParts { cipher_text_nonce: nonce, ..sent.parts };
        let refused = open_parts(parts, &sent.recipient).expect_err("too short");
        assert_eq!(refused.to_string(), "nonce has 23 bytes: 24 are needed");
    }

    #[test]
    fn any_key_that_fits_is_found() {
        let sent = sent(PrivacyMode::StandardPrivate);
        let payload = EncodedPayload::new(sent.parts).expect("consistent");
        let found = open_any(&sent.recipient.1, &payload);
        assert_eq!(found, Some((&sent.recipient.0, MESSAGE.to_vec())));
        assert_eq!(open_any(&testing::ring_of_one().1, &payload), None);
    }
}
