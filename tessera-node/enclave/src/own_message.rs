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
        let master_key = returned.master_key(keys)?;
        return rebuild(keys, &master_key, incoming).map(Merged::Store);
    };
    if stored.recipient_boxes.contains(returned.sealed) || stored.key_index(returned.peer).is_some() {
        return Ok(Merged::Unchanged);
    }
    if stored.cipher_text != incoming.cipher_text || open::open(keys, stored, &stored.sender)? != message {
        return Err(OwnMessageError::Differs);
    }
    let mut parts = stored.clone().into_parts();
    parts.recipient_keys.push(*returned.peer);
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
            recipient_keys: vec![*self.peer],
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
    master_key: &MasterKey,
    incoming: EncodedPayload,
) -> Result<EncodedPayload, OwnMessageError> {
    let mut parts = incoming.into_parts();
    if !parts.recipient_keys.contains(&parts.sender) {
        parts.recipient_keys.push(parts.sender);
    }
    for recipient in parts.recipient_keys.iter().skip(parts.recipient_boxes.len()) {
        let sealed = seal::seal_box(keys, &parts.sender, recipient, &parts.recipient_nonce, master_key)?;
        parts.recipient_boxes.push(sealed);
    }
    Ok(EncodedPayload::new(parts)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::PrivacyMode;
    use crate::seal::SealRequest;
    use crate::testing;

    struct Sent {
        own: PublicKey,
        keys: KeyRing,
        peers: [PublicKey; 2],
        payload: EncodedPayload,
    }

    fn sent(mode: PrivacyMode) -> Sent {
        let (own, keys) = testing::ring_of_one();
        let peers = [(); 2].map(|()| testing::ring_of_one().0);
        let exec_hash = if mode == PrivacyMode::PrivateStateValidation { "hash" } else { "" };
        let request = SealRequest {
            sender: own,
            recipients: vec![peers[0], peers[1], own],
            privacy: PrivacyMetadata { mode, exec_hash: exec_hash.into(), ..PrivacyMetadata::default() },
        };
        let payload = seal::seal(&keys, b"message"[..].into(), request).expect("sealed");
        Sent { own, keys, peers, payload }
    }

    fn stored(merged: Result<Merged, OwnMessageError>) -> EncodedPayload {
        match merged.expect("accepted") {
            Merged::Store(payload) => payload,
            Merged::Unchanged => panic!("something new"),
        }
    }

    #[test]
    fn a_lost_payload_is_rebuilt_from_its_recipients() {
        let Sent { own, keys, peers, payload } = sent(PrivacyMode::StandardPrivate);
        let returned = peers.each_ref().map(|peer| payload.for_recipient(peer).expect("a recipient"));
        let [first, second] = returned;

        let rebuilt = stored(accept(&keys, None, first));
        assert_eq!(rebuilt.recipient_keys, [peers[0], own]);
        assert_eq!(rebuilt.recipient_boxes[1], payload.recipient_boxes[2]);
        assert_eq!(open::open(&keys, &rebuilt, &own).expect("ours"), b"message");

        let complete = stored(accept(&keys, Some(&rebuilt), second.clone()));
        assert_eq!(complete.recipient_keys, [peers[0], own, peers[1]]);
        assert_eq!(complete.recipient_boxes[2], payload.recipient_boxes[1]);
        assert_eq!(accept(&keys, Some(&complete), second), Ok(Merged::Unchanged));
    }

    #[test]
    fn with_state_validation_every_box_is_made_again() {
        let Sent { keys, peers, payload, .. } = sent(PrivacyMode::PrivateStateValidation);
        let returned = payload.for_recipient(&peers[1]).expect("a recipient");
        let rebuilt = stored(accept(&keys, None, returned));
        assert_eq!(rebuilt.recipient_keys, payload.keys_led_by(&peers[1]));
        for peer in &peers {
            let original = payload.for_recipient(peer).expect("a recipient");
            assert_eq!(
                rebuilt.for_recipient(peer).expect("a recipient").recipient_boxes,
                original.recipient_boxes
            );
        }
    }

    #[test]
    fn a_forgery_does_not_open() {
        let Sent { keys, peers, payload, .. } = sent(PrivacyMode::StandardPrivate);
        let mut forged = payload.for_recipient(&peers[0]).expect("a recipient").into_parts();
        forged.cipher_text = b"0123456789abcdef-no-message"[..].into();
        let forged = EncodedPayload::new(forged).expect("consistent");
        let refused = accept(&keys, None, forged).expect_err("forged");
        assert_eq!(refused.to_string(), "jnacl could not open the payload using the shared key");
    }

    #[test]
    fn another_message_is_refused() {
        let Sent { own, keys, peers, payload } = sent(PrivacyMode::StandardPrivate);
        let request =
            SealRequest { sender: own, recipients: vec![peers[1]], privacy: PrivacyMetadata::default() };
        let other = seal::seal(&keys, b"other"[..].into(), request).expect("sealed");
        let stored = payload.for_recipient(&peers[0]).expect("a recipient");
        let refused = accept(&keys, Some(&stored), other).expect_err("another message");
        assert_eq!(refused.to_string(), "Invalid payload provided");
    }

    #[test]
    fn nothing_comes_from_no_key_or_no_box() {
        let Sent { keys, payload, .. } = sent(PrivacyMode::StandardPrivate);
        let full = payload.into_parts();
        let empty = [
            PayloadParts { recipient_keys: Vec::new(), ..full.clone() },
            PayloadParts { recipient_boxes: Vec::new(), ..full },
        ];
        for parts in empty {
            let payload = EncodedPayload::new(parts).expect("consistent");
            let refused = accept(&keys, None, payload);
            assert_eq!(refused.expect_err("unusable").to_string(), "No key or recipient-box to use");
        }
    }
}
