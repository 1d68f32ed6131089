//! A pushed payload whose hash is stored already: the same transaction for another of our keys, or a repetition.
//!
//! Any peer that knows a cipher text can push it again with whatever else it likes. So nothing of such a push is believed
//! before one of our keys opens it: a box that does not open changes nothing, and a stored payload that does not open
//! gives way to one that does.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::hash::TxHash;
use crate::key::PublicKey;
use crate::keyring::KeyRing;
use crate::open;
use crate::payload::{EncodedPayload, PayloadError, PrivacyMode};

/// What a repeated push changes.
#[expect(clippy::large_enum_variant, reason = "made once per push and taken apart at once")]
#[derive(Debug, PartialEq, Eq)]
pub enum Merged {
    /// Nothing: its box is stored, or opens with none of our keys.
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

/// Adds the box of `incoming` to `stored`, if it opens with one of our keys that has no box yet. Boxes stand newest first,
/// each at the place of its key.
///
/// `invalid` are the affected transactions whose security hash is wrong. They are left out of the comparison on both
/// sides: the stored payload lost its invalid ones when it came, and Java, which compares it with the push as received,
/// refuses every second push of such a transaction.
///
/// Reads the whole cipher text where the two payloads contradict each other, else boxes only.
pub fn merge(
    keys: &KeyRing,
    stored: &EncodedPayload,
    incoming: EncodedPayload,
    invalid: &BTreeSet<TxHash>,
) -> Result<Merged, MergeError> {
    let stored = stored.clone().without_affected(invalid);
    let incoming = incoming.without_affected(invalid);
    if !same_transaction(&stored, &incoming) {
        return replace_unreadable(keys, &stored, incoming);
    }
    let sealed = incoming.box_at(0)?;
    let Some(own) = addressee(keys, &incoming, sealed) else { return Ok(Merged::Unchanged) };
    if open::master_key(keys, &stored, own).is_ok() {
        return Ok(Merged::Unchanged);
    }
    let validates_state = stored.privacy.mode == PrivacyMode::PrivateStateValidation;
    if validates_state && stored.key_index(own).is_none() {
        return Err(MergeError::UnexpectedRecipient);
    }
    Ok(Merged::Store(with_box(stored, own, sealed.clone())?))
}

/// A stored payload that none of our keys opens must not keep out one that opens: its sender was faster than the
/// transaction's, and knew nothing but the cipher text.
fn replace_unreadable(
    keys: &KeyRing,
    stored: &EncodedPayload,
    incoming: EncodedPayload,
) -> Result<Merged, MergeError> {
    let readable = |payload| open::open_any(keys, payload).is_some();
    if readable(stored) || !readable(&incoming) {
        return Err(MergeError::Differs);
    }
    Ok(Merged::Store(incoming))
}

/// The key of ours that the pushed box is sealed for. The oldest senders do not say which, so each is tried.
fn addressee<'k>(keys: &'k KeyRing, incoming: &EncodedPayload, sealed: &[u8]) -> Option<&'k PublicKey> {
    let named = incoming.recipient_keys.first();
    keys.public_keys()
        .filter(|own| named.is_none_or(|named| named == *own))
        .find(|own| open::open_box(keys, own, &incoming.sender, incoming, sealed).is_ok())
}

/// The payload with `sealed` as the box of `own`, in front. A box that stood there did not open.
fn with_box(stored: EncodedPayload, own: &PublicKey, sealed: Bytes) -> Result<EncodedPayload, PayloadError> {
    let index = stored.key_index(own);
    let mut parts = stored.into_parts();
    if let Some(index) = index {
        parts.recipient_keys.remove(index);
        if index < parts.recipient_boxes.len() {
            parts.recipient_boxes.remove(index);
        }
    }
    parts.recipient_keys.insert(0, *own);
    parts.recipient_boxes.insert(0, sealed);
    EncodedPayload::new(parts)
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
mod tests;
