//! A pushed payload whose hash is stored already: the same transaction for another of our keys, or a repetition.

use std::collections::BTreeSet;

use crate::hash::TxHash;
use crate::payload::{EncodedPayload, PayloadError, PrivacyMode};

/// What a repeated push changes.
#[expect(clippy::large_enum_variant, reason = "made once per push and taken apart at once")]
#[derive(Debug, PartialEq, Eq)]
pub enum Merged {
    /// Nothing: its box is stored.
    Unchanged,
    /// The stored payload is replaced by this one.
    Store(EncodedPayload),
}

/// Why a repeated push is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
#[non_exhaustive]
pub enum MergeError {
    /// The same cipher text, but not the same transaction.
    #[error("Invalid existing transaction")]
    Differs,
    /// All recipients of a state-validating transaction were known from the first push on.
    #[error("expected recipient not found")]
    UnexpectedRecipient,
    /// The push has no box.
    #[error(transparent)]
    Payload(#[from] PayloadError),
}

/// Adds the box of `incoming` to `stored`. Boxes stand newest first, each at the place of its key.
///
/// `invalid` are the affected transactions whose security hash is wrong. They are left out of the comparison on both
/// sides: the stored payload lost its invalid ones when it came, and Java, which compares it with the push as received,
/// refuses every second push of such a transaction.
pub fn merge(
    stored: &EncodedPayload,
    incoming: EncodedPayload,
    invalid: &BTreeSet<TxHash>,
) -> Result<Merged, MergeError> {
    let stored = stored.clone().without_affected(invalid);
    let incoming = incoming.without_affected(invalid);
    if !same_transaction(&stored, &incoming) {
        return Err(MergeError::Differs);
    }
    let new_box = incoming.box_at(0)?;
    if stored.recipient_boxes.contains(new_box) {
        return Ok(Merged::Unchanged);
    }
    let mut parts = stored.clone().into_parts();
    parts.recipient_boxes.insert(0, new_box.clone());
    if let Some(recipient) = incoming.recipient_keys.first() {
        if stored.privacy.mode == PrivacyMode::PrivateStateValidation {
            stored.key_index(recipient).ok_or(MergeError::UnexpectedRecipient)?;
            parts.recipient_keys = stored.keys_led_by(recipient);
        } else {
            parts.recipient_keys.insert(0, recipient.clone());
        }
    }
    Ok(Merged::Store(EncodedPayload::new(parts)?))
}

fn same_transaction(stored: &EncodedPayload, incoming: &EncodedPayload) -> bool {
    stored.cipher_text == incoming.cipher_text
        && stored.cipher_text_nonce == incoming.cipher_text_nonce
        && stored.sender == incoming.sender
        && stored.recipient_nonce == incoming.recipient_nonce
        && stored.privacy.mode == incoming.privacy.mode
        && stored.privacy.exec_hash == incoming.privacy.exec_hash
        && stored.privacy.affected == incoming.privacy.affected
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::hash::SecurityHash;
    use crate::key::PublicKey;
    use crate::payload::PayloadParts;

    fn key(n: u8) -> PublicKey {
        PublicKey::from([n; 32])
    }

    fn sealed(n: u8) -> Bytes {
        vec![n; 48].into()
    }

    fn parts(boxes: &[u8], keys: &[u8]) -> PayloadParts {
        PayloadParts {
            sender: key(100),
            cipher_text: "text".into(),
            recipient_boxes: boxes.iter().copied().map(sealed).collect(),
            recipient_keys: keys.iter().copied().map(key).collect(),
            ..PayloadParts::default()
        }
    }

    fn with_state_validation(mut parts: PayloadParts) -> PayloadParts {
        parts.privacy.mode = PrivacyMode::PrivateStateValidation;
        parts.privacy.exec_hash = "hash".into();
        parts
    }

    fn payload(parts: PayloadParts) -> EncodedPayload {
        EncodedPayload::new(parts).expect("consistent")
    }

    fn merged(stored: PayloadParts, incoming: PayloadParts) -> Result<Merged, MergeError> {
        merge(&payload(stored), payload(incoming), &BTreeSet::new())
    }

    #[test]
    fn a_repetition_changes_nothing() {
        assert_eq!(merged(parts(&[1, 2], &[1, 2]), parts(&[2], &[2])), Ok(Merged::Unchanged));
    }

    #[test]
    fn another_key_of_ours_goes_in_front() {
        let expected = Merged::Store(payload(parts(&[2, 1], &[2, 1])));
        assert_eq!(merged(parts(&[1], &[1]), parts(&[2], &[2])), Ok(expected));
    }

    #[test]
    fn a_legacy_push_adds_its_box_only() {
        let expected = Merged::Store(payload(parts(&[2, 1], &[1])));
        assert_eq!(merged(parts(&[1], &[1]), parts(&[2], &[])), Ok(expected));
    }

    #[test]
    fn with_state_validation_the_known_key_moves_to_the_front() {
        let stored = with_state_validation(parts(&[1], &[1, 9, 2]));
        let incoming = with_state_validation(parts(&[2], &[2, 1, 9]));
        let expected = Merged::Store(payload(with_state_validation(parts(&[2, 1], &[2, 1, 9]))));
        assert_eq!(merged(stored, incoming), Ok(expected));
    }

    #[test]
    fn with_state_validation_an_unknown_key_is_refused() {
        let stored = with_state_validation(parts(&[1], &[1]));
        let refused = merged(stored, with_state_validation(parts(&[2], &[2]))).expect_err("unknown");
        assert_eq!(refused.to_string(), "expected recipient not found");
    }

    #[test]
    fn a_push_without_box_is_refused() {
        let refused = merged(parts(&[1], &[1]), parts(&[], &[2])).expect_err("no box");
        assert_eq!(refused.to_string(), "Index 0 out of bounds for length 0");
    }

    #[test]
    fn another_transaction_is_refused() {
        let nonce = crate::key::Nonce::from_bytes(&[7; 24]);
        let affected = [(TxHash::from_bytes(b"a"), SecurityHash::from_bytes(b"b"))];
        let changes: [fn(&mut PayloadParts); 4] = [
            |parts| parts.sender = key(101),
            |parts| parts.cipher_text = "other".into(),
            |parts| parts.privacy.mode = PrivacyMode::PartyProtection,
            |parts| *parts = with_state_validation(parts.clone()),
        ];
        let mut others: Vec<PayloadParts> = Vec::new();
        for change in changes {
            let mut other = parts(&[2], &[2]);
            change(&mut other);
            others.push(other);
        }
        others.push(PayloadParts { cipher_text_nonce: nonce.clone(), ..parts(&[2], &[2]) });
        others.push(PayloadParts { recipient_nonce: nonce, ..parts(&[2], &[2]) });
        let mut other = parts(&[2], &[2]);
        other.privacy.affected = affected.into();
        others.push(other);
        for other in others {
            let refused = merged(parts(&[1], &[1]), other.clone()).expect_err("another transaction");
            assert_eq!(refused.to_string(), "Invalid existing transaction", "{other:?}");
        }
    }

    #[test]
    fn wrong_security_hashes_do_not_count() {
        let (good, bad) = (TxHash::from_bytes(b"good"), TxHash::from_bytes(b"bad"));
        let hash = |text: &[u8]| SecurityHash::from_bytes(text);
        let mut stored = parts(&[1], &[1]);
        stored.privacy.affected = [(good.clone(), hash(b"g"))].into();
        let mut incoming = parts(&[2], &[2]);
        incoming.privacy.affected = [(good.clone(), hash(b"g")), (bad.clone(), hash(b"b"))].into();

        let invalid = BTreeSet::from([bad]);
        let merged = merge(&payload(stored), payload(incoming), &invalid).expect("the same transaction");
        let Merged::Store(merged) = merged else { panic!("a new box") };
        assert_eq!(merged.privacy.affected.keys().collect::<Vec<_>>(), [&good]);
        assert_eq!(merged.recipient_keys, [key(2), key(1)]);
    }
}
