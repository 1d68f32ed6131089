//! What is believed of the payloads that peers give: pure.
//!
//! | member | believed |
//! |---|---|
//! | cipher text | by its hash |
//! | box of a recipient, at the sender | if it opens with the recipient's key, and the answering peer holds that key |
//! | our own box, at a recipient | if it opens with the sender's key, and the answering peer holds that key or is named by a person |
//! | sender, nonces, privacy | if all parts agree in them |

use std::collections::BTreeSet;

use bytes::Bytes;
use tessera_enclave::merge::{self, Merged};
use tessera_enclave::{
    EncodedPayload, KeyRing, Nonce, PayloadCodec, PrivacyMetadata, PrivacyMode, PublicKey, TxHash,
    own_message, resend,
};

use crate::transaction::Error;

/// Boxes of one answer that are tried. A node has a handful of keys.
const MAX_BOXES: usize = 64;
/// Boxes of all answers that are taken.
const MAX_TAKEN: usize = 4096;

/// Why an answer is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Untrue {
    #[error("gave no payload")]
    Undecodable,
    #[error("gave another payload than the one with this hash")]
    OtherHash,
    #[error("gave a payload with enhanced privacy, whose rules a resend cannot prove")]
    Mode,
    #[error("gave a payload that none of this node's keys opens")]
    Closed,
    #[error(
        "gave a payload of the sender {0}, a key that this peer has not proven to hold: if the sender is right, ask this peer alone with --peer"
    )]
    Sender(PublicKey),
}

/// The answering peer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Giver<H> {
    /// Whether it holds a key.
    pub(super) holds: H,
    /// A person named it as the one to ask.
    pub(super) is_named: bool,
}

/// The boxes of an answer that this node takes. `asked` is the key of ours that was asked for.
pub(super) fn check(
    ring: &KeyRing,
    hash: &TxHash,
    asked: &PublicKey,
    body: &Bytes,
    giver: &Giver<impl Fn(&PublicKey) -> bool>,
) -> Result<EncodedPayload, Untrue> {
    let payload = PayloadCodec::Legacy.decode(body).map_err(|_| Untrue::Undecodable)?;
    if payload.hash() != *hash {
        return Err(Untrue::OtherHash);
    }
    if payload.privacy.mode != PrivacyMode::StandardPrivate {
        return Err(Untrue::Mode);
    }
    let wanted = if ring.contains(&payload.sender) {
        // The keys are the peer's: each box is one that this node made for it. Our own boxes are made again.
        let theirs: BTreeSet<_> = payload.recipient_keys.iter().take(MAX_BOXES).copied().collect();
        theirs.into_iter().filter(|key| !ring.contains(key) && (giver.holds)(key)).collect()
    } else if giver.is_named || (giver.holds)(&payload.sender) {
        vec![*asked]
    } else {
        return Err(Untrue::Sender(payload.sender));
    };
    resend::genuine(ring, payload, &wanted).ok_or(Untrue::Closed)
}

/// The boxes that peers gave of one payload, each with its key.
#[derive(Debug, Default)]
pub(super) struct Parts {
    all: Option<EncodedPayload>,
    contradict: bool,
}

/// What all parts of one payload agree in. The hash binds none of it.
#[derive(PartialEq, Eq)]
struct Envelope<'p> {
    sender: &'p PublicKey,
    cipher_text_nonce: &'p Nonce,
    recipient_nonce: &'p Nonce,
    privacy: &'p PrivacyMetadata,
}

impl<'p> Envelope<'p> {
    fn of(payload: &'p EncodedPayload) -> Self {
        Self {
            sender: &payload.sender,
            cipher_text_nonce: &payload.cipher_text_nonce,
            recipient_nonce: &payload.recipient_nonce,
            privacy: &payload.privacy,
        }
    }
}

impl Parts {
    /// Adds the boxes of an answer that passed [`check`], one for each key. An answer that contradicts the first is dropped and noted.
    pub(super) fn add(&mut self, given: EncodedPayload) -> Result<(), Error> {
        let Some(first) = self.all.take() else {
            self.all = Some(given);
            return Ok(());
        };
        if Envelope::of(&first) == Envelope::of(&given) {
            // Copies, so that the body of this answer is released.
            let boxes = given.recipient_boxes.iter().map(|sealed| Bytes::copy_from_slice(sealed));
            self.all = Some(with_boxes(first, given.recipient_keys.iter().copied().zip(boxes))?);
        } else {
            self.contradict = true;
            self.all = Some(first);
        }
        Ok(())
    }

    /// Adds what another peer gave.
    pub(super) fn join(&mut self, other: Self) -> Result<(), Error> {
        self.contradict |= other.contradict;
        other.all.map_or(Ok(()), |given| self.add(given))
    }

    /// Whether two answers contradict each other.
    pub(super) fn contradict(&self) -> bool {
        self.contradict
    }

    /// All boxes, in the envelope that came first.
    pub(super) fn all(&self) -> Option<&EncodedPayload> {
        self.all.as_ref()
    }
}

/// Whether what peers gave is of the transaction that is stored.
pub(super) fn is_of(stored: &EncodedPayload, given: &EncodedPayload) -> bool {
    Envelope::of(stored) == Envelope::of(given)
}

/// One payload of what is stored and what peers gave, as this node kept it before the damage as far as peers have it.
pub(super) fn combine(
    ring: &KeyRing,
    stored: Option<EncodedPayload>,
    given: EncodedPayload,
) -> Result<EncodedPayload, Error> {
    let is_ours = ring.contains(&given.sender);
    let boxes = given.recipient_keys.iter().copied().zip(given.recipient_boxes.iter().cloned());
    match stored {
        None if !is_ours => Ok(given),
        Some(stored) if is_ours => with_boxes(stored, boxes),
        None => {
            // The first box is enough to make our own again.
            let Some(first) = given.recipient_keys.first() else { return Ok(given) };
            let rebuilt = own_message::accept(ring, None, given.for_recipient(first)?)?;
            let Merged::Store(rebuilt) = rebuilt else { return Ok(given) };
            with_boxes(rebuilt, boxes)
        }
        Some(mut stored) => {
            for key in &given.recipient_keys {
                let part = given.for_recipient(key)?;
                if let Merged::Store(merged) = merge::merge(ring, &stored, part, &BTreeSet::new())? {
                    stored = merged;
                }
            }
            Ok(stored)
        }
    }
}

/// The payload with the boxes of keys that it does not list, behind its own. Where its own have no keys, nothing can be added.
fn with_boxes(
    payload: EncodedPayload,
    boxes: impl Iterator<Item = (PublicKey, Bytes)>,
) -> Result<EncodedPayload, Error> {
    let mut parts = payload.into_parts();
    if parts.recipient_keys.len() == parts.recipient_boxes.len() {
        let mut listed: BTreeSet<_> = parts.recipient_keys.iter().copied().collect();
        for (key, sealed) in boxes {
            if listed.len() < MAX_TAKEN && listed.insert(key) {
                parts.recipient_keys.push(key);
                parts.recipient_boxes.push(sealed);
            }
        }
    }
    Ok(EncodedPayload::new(parts)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tessera_enclave::keyring::DefaultKey;
    use tessera_enclave::seal::{self, SealRequest};
    use tessera_enclave::{KeyPair, PayloadParts, SecurityHash};

    use super::*;

    fn ring() -> (KeyRing, PublicKey) {
        let pair = KeyPair::generate().unwrap();
        let key = *pair.public();
        (KeyRing::new([Arc::new(pair)], &DefaultKey::AsJava).unwrap(), key)
    }

    fn sealed(ring: &KeyRing, to: &[PublicKey], mode: PrivacyMode) -> EncodedPayload {
        let sender = *ring.default_key();
        let recipients = [to, &[sender]].concat();
        let privacy = PrivacyMetadata { mode, ..PrivacyMetadata::default() };
        seal::seal(ring, b"message"[..].into(), SealRequest { sender, recipients, privacy }).unwrap()
    }

    fn legacy(payload: &EncodedPayload) -> Bytes {
        PayloadCodec::Legacy.encode(payload).into()
    }

    /// A peer that holds these keys.
    fn holder(keys: &[PublicKey]) -> Giver<impl Fn(&PublicKey) -> bool> {
        Giver { holds: |key: &PublicKey| keys.contains(key), is_named: false }
    }

    fn changed(payload: &EncodedPayload, change: impl FnOnce(&mut PayloadParts)) -> EncodedPayload {
        let mut parts = payload.clone().into_parts();
        change(&mut parts);
        EncodedPayload::new(parts).unwrap()
    }

    #[test]
    fn only_a_payload_with_the_hash_that_a_key_of_ours_opens_is_taken() {
        let ((sender, sender_key), (own_ring, own), (_, stranger)) = (ring(), ring(), ring());
        let sent = sealed(&sender, &[own, stranger], PrivacyMode::StandardPrivate);
        let hash = sent.hash();
        let judge = |body: &Bytes| check(&own_ring, &hash, &own, body, &holder(&[sender_key]));
        let given = sent.for_recipient(&own).unwrap();
        assert_eq!(judge(&legacy(&given)), Ok(given.clone()));
        // Boxes of others are left out.
        assert_eq!(judge(&legacy(&sent)), Ok(given.clone()));

        assert_eq!(judge(&Bytes::from_static(b"nothing")), Err(Untrue::Undecodable));
        let other = sealed(&sender, &[own], PrivacyMode::StandardPrivate);
        assert_eq!(judge(&legacy(&other.for_recipient(&own).unwrap())), Err(Untrue::OtherHash));
        assert_eq!(judge(&legacy(&sent.for_recipient(&stranger).unwrap())), Err(Untrue::Closed));
        let forged = changed(&given, |parts| parts.recipient_boxes = vec![Bytes::from_static(&[0; 48])]);
        assert_eq!(judge(&legacy(&forged)), Err(Untrue::Closed));
        let forged = changed(&given, |parts| parts.privacy.mode = PrivacyMode::PartyProtection);
        assert_eq!(judge(&legacy(&forged)), Err(Untrue::Mode));
    }

    #[test]
    fn a_recipient_believes_only_a_holder_of_the_senders_key_or_the_named_peer() {
        let ((sender, sender_key), (own_ring, own), (_, liar)) = (ring(), ring(), ring());
        let sent = sealed(&sender, &[own], PrivacyMode::StandardPrivate).for_recipient(&own).unwrap();
        let judge = |giver| check(&own_ring, &sent.hash(), &own, &legacy(&sent), &giver);
        let liars = [liar];
        assert_eq!(judge(holder(&liars)), Err(Untrue::Sender(sender_key)));
        assert_eq!(judge(Giver { is_named: true, ..holder(&liars) }), Ok(sent.clone()));
    }

    #[test]
    fn a_sender_gets_a_box_of_each_peer_back() {
        let ((own_ring, own), (_, first), (_, second), (liar_ring, liar)) = (ring(), ring(), ring(), ring());
        let sent = sealed(&own_ring, &[first, second], PrivacyMode::StandardPrivate);
        let hash = sent.hash();
        let mut all = Parts::default();
        for peer in [first, second, second] {
            let given = sent.for_recipient(&peer).unwrap();
            all.add(check(&own_ring, &hash, &own, &legacy(&given), &holder(&[peer])).unwrap()).unwrap();
        }
        assert!(!all.contradict());
        let given = all.all().unwrap().clone();
        assert_eq!(given.recipient_keys, [first, second], "each key once");
        let whole = combine(&own_ring, None, given.clone()).unwrap();
        assert_eq!(whole.recipient_keys, [first, own, second]);
        assert_eq!(whole.for_recipient(&second).unwrap(), sent.for_recipient(&second).unwrap());
        // What is stored already is not added again, and what is missing is.
        assert_eq!(combine(&own_ring, Some(whole.clone()), given.clone()).unwrap(), whole);
        let partial = combine(&own_ring, None, given.for_recipient(&first).unwrap()).unwrap();
        assert_eq!(partial.recipient_keys, [first, own]);
        assert_eq!(combine(&own_ring, Some(partial), given).unwrap(), whole);

        // A box for a key that the peer does not hold, though it opens; and one that is not ours.
        let judge = |given: &EncodedPayload| check(&own_ring, &hash, &own, &legacy(given), &holder(&[liar]));
        assert_eq!(judge(&sent.for_recipient(&first).unwrap()), Err(Untrue::Closed));
        let mut forged = sealed(&liar_ring, &[own], PrivacyMode::StandardPrivate).into_parts();
        forged.cipher_text = sent.cipher_text.clone();
        forged.sender = own;
        forged.recipient_keys = vec![liar];
        assert_eq!(judge(&EncodedPayload::new(forged).unwrap()), Err(Untrue::Closed));
    }

    #[test]
    fn a_recipient_with_two_keys_gets_both_boxes_back() {
        let pairs = [(); 2].map(|()| Arc::new(KeyPair::generate().unwrap()));
        let own = pairs.each_ref().map(|pair| *pair.public());
        let own_ring = KeyRing::new(pairs, &DefaultKey::AsJava).unwrap();
        let (sender, sender_key) = ring();
        let sent = sealed(&sender, &own, PrivacyMode::StandardPrivate);
        let mut all = Parts::default();
        let mut joined = Parts::default();
        for key in &own {
            let body = legacy(&sent.for_recipient(key).unwrap());
            all.add(check(&own_ring, &sent.hash(), key, &body, &holder(&[sender_key])).unwrap()).unwrap();
        }
        joined.join(all).unwrap();
        let given = joined.all().unwrap().clone();
        let whole = combine(&own_ring, None, given.clone()).unwrap();
        assert_eq!(whole.recipient_keys, own);
        let partial = given.for_recipient(&own[1]).unwrap();
        let merged = combine(&own_ring, Some(partial), given).unwrap();
        for key in &own {
            assert_eq!(merged.for_recipient(key), sent.for_recipient(key));
        }
    }

    #[test]
    fn parts_that_differ_in_sender_nonce_or_privacy_contradict_each_other() {
        let ((sender, _), (_, own), (_, liar)) = (ring(), ring(), ring());
        let sent = sealed(&sender, &[own], PrivacyMode::StandardPrivate).for_recipient(&own).unwrap();
        let affected = (TxHash::of(b"other"), SecurityHash::from_bytes(&[7; 32]));
        let group = Some(Bytes::from_static(b"group"));
        for other in [
            changed(&sent, |parts| parts.sender = liar),
            changed(&sent, |parts| parts.recipient_nonce = Nonce::generate()),
            changed(&sent, |parts| parts.cipher_text_nonce = Nonce::generate()),
            changed(&sent, |parts| parts.privacy.privacy_group_id = group.clone()),
            changed(&sent, |parts| parts.privacy.affected = [affected].into()),
        ] {
            assert!(!is_of(&sent, &other));
            let mut all = Parts::default();
            all.add(sent.clone()).unwrap();
            all.add(sent.clone()).unwrap();
            assert!(!all.contradict());
            all.add(other).unwrap();
            assert!(all.contradict());
            assert_eq!(all.all(), Some(&sent));
        }
    }
}
