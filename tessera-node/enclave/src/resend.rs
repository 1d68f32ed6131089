//! What a node gives of a stored payload to a party of it that lost its own copy, and what that party takes of it.

use crate::crypto;
use crate::key::{MasterKey, PublicKey};
use crate::keyring::KeyRing;
use crate::open;
use crate::payload::{EncodedPayload, PayloadError};

/// Why a party gets nothing.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
#[non_exhaustive]
pub enum ResendError {
    /// The key is not a party, or its box is missing.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// A stored box opens with none of our keys, so nobody can say which recipient it is of.
    #[error("No key found as recipient of message {0}")]
    NoKey(crate::TxHash),
}

/// The part of `payload` that is for `party`: a recipient gets its own box, and the sender gets the boxes of our keys, each with its
/// key, from which it makes its own copy again.
pub fn for_party(
    keys: &KeyRing,
    payload: &EncodedPayload,
    party: &PublicKey,
) -> Result<EncodedPayload, ResendError> {
    if payload.sender == *party { for_sender(keys, payload) } else { Ok(payload.for_recipient(party)?) }
}

/// The keys are found by trial: the oldest payloads name none.
fn for_sender(keys: &KeyRing, payload: &EncodedPayload) -> Result<EncodedPayload, ResendError> {
    let opens =
        |own: &&PublicKey, sealed: &[u8]| open::open_box(keys, own, &payload.sender, payload, sealed).is_ok();
    let owner = |sealed: &bytes::Bytes| {
        let own = keys.public_keys().find(|own| opens(own, sealed)).copied();
        own.ok_or_else(|| ResendError::NoKey(payload.hash()))
    };
    let mut parts = payload.clone().into_parts();
    parts.recipient_keys = parts.recipient_boxes.iter().map(owner).collect::<Result<_, _>>()?;
    Ok(EncodedPayload::new(parts)?)
}

/// `given` with the boxes of `wanted` alone, as far as they are genuine, each with its key. If one of our keys is the sender,
/// `wanted` are the peers whose boxes come back; else they are keys of ours. `None`: there is no such box.
///
/// Opens the whole message once: the other boxes are genuine if they hold the master key of the first.
pub fn genuine(keys: &KeyRing, given: EncodedPayload, wanted: &[PublicKey]) -> Option<EncodedPayload> {
    let is_ours = keys.contains(&given.sender);
    let mut opened: Option<MasterKey> = None;
    let mut kept = Vec::new();
    for key in wanted {
        let Some(sealed) = given.key_index(key).and_then(|index| given.recipient_boxes.get(index)) else {
            continue;
        };
        let (own, peer) = if is_ours { (&given.sender, key) } else { (key, &given.sender) };
        let Ok(master_key) = open::open_box(keys, own, peer, &given, sealed) else { continue };
        match &opened {
            Some(first) if *first != master_key => continue,
            Some(_) => {}
            None => {
                crypto::open(master_key.expose(), &given.cipher_text_nonce, &given.cipher_text).ok()?;
                opened = Some(master_key);
            }
        }
        kept.push((*key, sealed.clone()));
    }
    if kept.is_empty() {
        return None;
    }
    let mut parts = given.into_parts();
    (parts.recipient_keys, parts.recipient_boxes) = kept.into_iter().unzip();
    EncodedPayload::new(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::Merged;
    use crate::payload::PrivacyMetadata;
    use crate::seal::{self, SealRequest};
    use crate::{own_message, testing};

    #[test]
    fn sender_and_recipient_get_from_each_other_what_they_lost() {
        let ((sender, sender_keys), (recipient, recipient_keys)) =
            (testing::ring_of_one(), testing::ring_of_one());
        let request =
            SealRequest { sender, recipients: vec![recipient, sender], privacy: PrivacyMetadata::default() };
        let sent = seal::seal(&sender_keys, b"message"[..].into(), request).expect("sealed");
        let pushed = sent.for_recipient(&recipient).expect("a recipient");

        assert_eq!(for_party(&sender_keys, &sent, &recipient), Ok(pushed.clone()));
        let mut keyless = pushed.clone().into_parts();
        keyless.recipient_keys.clear();
        let keyless = EncodedPayload::new(keyless).expect("consistent");
        for stored in [&pushed, &keyless] {
            let given = for_party(&recipient_keys, stored, &sender).expect("the sender's");
            assert_eq!(given, pushed);
            assert_eq!(own_message::accept(&sender_keys, None, given), Ok(Merged::Store(sent.clone())));
        }
    }

    #[test]
    fn only_boxes_with_the_master_key_of_the_message_are_taken() {
        let [first, second, third] = [(); 3].map(|()| testing::ring_of_one());
        let (sender, keys) = testing::ring_of_one();
        let recipients = vec![first.0, second.0, sender];
        let request = SealRequest { sender, recipients, privacy: PrivacyMetadata::default() };
        let sent = seal::seal(&keys, b"message"[..].into(), request).expect("sealed");
        let both = genuine(&keys, sent.clone(), &[third.0, second.0, first.0]).expect("two boxes");
        assert_eq!(both.recipient_keys, [second.0, first.0]);
        assert_eq!(both.recipient_boxes[1], sent.recipient_boxes[0]);
        let own = genuine(&second.1, sent.clone(), &[second.0]).expect("its box");
        assert_eq!(own, sent.for_recipient(&second.0).expect("a recipient"));
        assert_eq!(genuine(&third.1, sent.clone(), &[third.0]), None);

        // A box that opens and holds another master key.
        let other = MasterKey::generate();
        let mut parts = sent.clone().into_parts();
        parts.recipient_boxes[0] =
            seal::seal_box(&keys, &sender, &first.0, &sent.recipient_nonce, &other).expect("sealed");
        let mixed = EncodedPayload::new(parts).expect("consistent");
        let taken = genuine(&keys, mixed.clone(), &[second.0, first.0]).expect("one box");
        assert_eq!(taken.recipient_keys, [second.0]);
        assert_eq!(genuine(&keys, mixed, &[first.0]), None);
    }

    #[test]
    fn nobody_else_gets_anything() {
        let ((sender, keys), (stranger, strange_keys)) = (testing::ring_of_one(), testing::ring_of_one());
        let request = SealRequest { sender, recipients: vec![sender], privacy: PrivacyMetadata::default() };
        let sent = seal::seal(&keys, b"message"[..].into(), request).expect("sealed");
        assert_eq!(
            for_party(&keys, &sent, &stranger),
            Err(ResendError::Payload(PayloadError::NotARecipient(stranger)))
        );
        assert_eq!(for_party(&strange_keys, &sent, &sender), Err(ResendError::NoKey(sent.hash())));
    }
}
