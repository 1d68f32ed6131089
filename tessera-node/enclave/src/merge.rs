//! A pushed payload whose hash is stored already: the same transaction for another of our keys, or a repetition.

use std::collections::BTreeSet;

use crate::hash::TxHash;
use crate::payload::{EncodedPayload, PayloadError, PrivacyMode};

/// What a repeated push changes.
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
