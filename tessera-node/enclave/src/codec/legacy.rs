//! The length-prefixed payload, in all the lengths that history left: readers stop where an older writer stopped, and
//! ignore what a newer one appended.

use bytes::Bytes;

use super::DecodeError;
use super::binary::{NUMBER, Reader, Writer};
use crate::hash::{SecurityHash, TxHash};
use crate::key::{Nonce, PublicKey};
use crate::payload::{EncodedPayload, PayloadParts, PrivacyMetadata, PrivacyMode};

pub(super) fn encode(payload: &EncodedPayload) -> Vec<u8> {
    let mut out = Writer(Vec::with_capacity(capacity(payload)));
    out.bytes(payload.sender.as_bytes());
    out.bytes(&payload.cipher_text);
    out.bytes(payload.cipher_text_nonce.as_bytes());
    out.array(payload.recipient_boxes.iter().map(|sealed| &**sealed));
    out.bytes(payload.recipient_nonce.as_bytes());
    out.array(payload.recipient_keys.iter().map(PublicKey::as_bytes));
    encode_privacy(&payload.privacy, &mut out);
    out.0
}

fn encode_privacy(privacy: &PrivacyMetadata, out: &mut Writer) {
    out.bytes(&[privacy.mode.flag()]);
    out.number(privacy.affected.len());
    for (hash, security_hash) in &privacy.affected {
        out.bytes(hash.as_bytes());
        out.bytes(security_hash.as_bytes());
    }
    if !privacy.exec_hash.is_empty() {
        out.bytes(&privacy.exec_hash);
    }
    if privacy.mode == PrivacyMode::MandatoryRecipients {
        out.array(privacy.mandatory_recipients.iter().map(PublicKey::as_bytes));
    }
    if let Some(id) = &privacy.privacy_group_id {
        out.bytes(id);
    }
}

/// Exact for a payload without privacy metadata, which is nearly every one.
fn capacity(payload: &EncodedPayload) -> usize {
    let boxes: usize = payload.recipient_boxes.iter().map(|sealed| NUMBER + sealed.len()).sum();
    let keys: usize = payload.recipient_keys.iter().map(|key| NUMBER + key.as_bytes().len()).sum();
    let single = payload.sender.as_bytes().len()
        + payload.cipher_text.len()
        + payload.cipher_text_nonce.as_bytes().len()
        + payload.recipient_nonce.as_bytes().len();
    8 * NUMBER + 1 + single + boxes + keys
}

pub(super) fn decode(input: &Bytes) -> Result<EncodedPayload, DecodeError> {
    let mut input = Reader::new(input);
    let mut parts = PayloadParts {
        sender: PublicKey::from_bytes(&input.bytes()?)?,
        cipher_text: input.bytes()?,
        cipher_text_nonce: Nonce::from_bytes(&input.bytes()?),
        recipient_boxes: input.byte_arrays()?,
        recipient_nonce: Nonce::from_bytes(&input.bytes()?),
        ..PayloadParts::default()
    };
    // The oldest writers stopped here: their recipients never learned the keys.
    if !input.is_empty() {
        parts.recipient_keys = input.array(NUMBER, key)?;
    }
    // The first numbered version stopped here.
    if !input.is_empty() {
        parts.privacy = decode_privacy(&mut input)?;
    }
    Ok(EncodedPayload::new(parts)?)
}

fn decode_privacy(input: &mut Reader<'_>) -> Result<PrivacyMetadata, DecodeError> {
    let flag = input.bytes()?;
    let flag = *flag.first().ok_or(DecodeError::Truncated { needed: 1, left: 0 })?;
    let mut privacy = PrivacyMetadata {
        mode: PrivacyMode::from_flag(flag.into()),
        affected: input.array(2 * NUMBER, affected)?.into_iter().collect(),
        ..PrivacyMetadata::default()
    };
    if !input.is_empty() && privacy.mode == PrivacyMode::PrivateStateValidation {
        privacy.exec_hash = Bytes::copy_from_slice(&input.bytes()?);
    }
    if !input.is_empty() && privacy.mode == PrivacyMode::MandatoryRecipients {
        privacy.mandatory_recipients = input.array(NUMBER, key)?.into_iter().collect();
    }
    if !input.is_empty() {
        let id = input.bytes()?;
        privacy.privacy_group_id = (!id.is_empty()).then(|| Bytes::copy_from_slice(&id));
    }
    Ok(privacy)
}

fn key(input: &mut Reader<'_>) -> Result<PublicKey, DecodeError> {
    Ok(PublicKey::from_bytes(&input.bytes()?)?)
}

fn affected(input: &mut Reader<'_>) -> Result<(TxHash, SecurityHash), DecodeError> {
    let hash = TxHash::from_bytes(&input.bytes()?)?;
    Ok((hash, SecurityHash::from_bytes(&input.bytes()?)))
}
