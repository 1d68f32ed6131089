//! Sealing a message for its recipients.

use bytes::Bytes;

use crate::base64::{self, Base64Error};
use crate::crypto::{self, CryptoError, KEY_LEN, TAG_LEN};
use crate::hash::TxHash;
use crate::key::{MasterKey, Nonce, PublicKey};
use crate::keyring::{KeyRing, KeyRingError};
use crate::payload::{EncodedPayload, PayloadError, PayloadParts, PrivacyMetadata};
use crate::security_hash::{self, SecurityHashError};

/// A message with room for the tag in front, so that it is sealed where it lies.
#[derive(Debug)]
pub struct SealBuffer(Vec<u8>);

impl SealBuffer {
    /// An empty message that can grow to `capacity` without moving.
    pub fn with_capacity(capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(TAG_LEN + capacity);
        bytes.resize(TAG_LEN, 0);
        Self(bytes)
    }

    /// The message of a JSON request, decoded straight into place. See [`base64::decode_lenient`].
    pub fn from_base64(text: &str) -> Result<Self, Base64Error> {
        let mut buffer = Self::with_capacity(text.len() / 4 * 3 + 3);
        base64::decode_lenient_into(text, &mut buffer.0)?;
        Ok(buffer)
    }

    /// Appends to the message.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The message.
    pub fn message(&self) -> &[u8] {
        &self.0[TAG_LEN..]
    }

    pub(crate) fn seal(mut self, key: &MasterKey, nonce: &Nonce) -> Result<Bytes, CryptoError> {
        crypto::seal_in_place(key.expose(), nonce, &mut self.0)?;
        Ok(self.0.into())
    }
}

impl From<&[u8]> for SealBuffer {
    fn from(message: &[u8]) -> Self {
        let mut buffer = Self::with_capacity(message.len());
        buffer.extend_from_slice(message);
        buffer
    }
}

/// What a payload is made from.
#[derive(Debug)]
pub struct SealRequest<'a> {
    /// One of our keys.
    pub sender: PublicKey,
    /// All recipients in order, the sender among them; see [`crate::recipients`].
    pub recipients: Vec<PublicKey>,
    /// Mode and what belongs to it. Its `affected` is filled in from [`Self::affected`].
    pub privacy: PrivacyMetadata,
    /// The stored payloads of the affected transactions.
    pub affected: Vec<(TxHash, &'a EncodedPayload)>,
}

/// Why a message cannot be sealed.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
#[non_exhaustive]
pub enum SealError {
    /// The sender is not ours, or a recipient's key is unusable.
    #[error(transparent)]
    KeyRing(#[from] KeyRingError),
    /// The mode and its metadata do not agree.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// An affected transaction cannot be bound.
    #[error(transparent)]
    SecurityHash(#[from] SecurityHashError),
    /// The cipher refused.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// The random values of one payload, apart from the sealing so that known ones can be put in by tests.
#[derive(Debug)]
pub(crate) struct Randomness {
    pub(crate) master_key: MasterKey,
    pub(crate) cipher_text_nonce: Nonce,
    pub(crate) recipient_nonce: Nonce,
}

impl Randomness {
    fn generate() -> Self {
        Self {
            master_key: MasterKey::generate(),
            cipher_text_nonce: Nonce::generate(),
            recipient_nonce: Nonce::generate(),
        }
    }
}

/// Seals a message under a new master key, and the master key for each recipient.
pub fn seal(
    keys: &KeyRing,
    message: SealBuffer,
    request: SealRequest<'_>,
) -> Result<EncodedPayload, SealError> {
    // Before the long work, and before anything depends on it.
    request.privacy.check()?;
    seal_with(keys, message, request, &Randomness::generate())
}

pub(crate) fn seal_with(
    keys: &KeyRing,
    message: SealBuffer,
    request: SealRequest<'_>,
    random: &Randomness,
) -> Result<EncodedPayload, SealError> {
    let cipher_text = message.seal(&random.master_key, &random.cipher_text_nonce)?;
    let nonces =
        Nonces { cipher_text: random.cipher_text_nonce.clone(), recipient: random.recipient_nonce.clone() };
    address(keys, cipher_text, nonces, &random.master_key, request)
}

pub(crate) struct Nonces {
    pub(crate) cipher_text: Nonce,
    pub(crate) recipient: Nonce,
}

/// Makes a payload of a sealed message: a box per recipient, a security hash per affected transaction.
pub(crate) fn address(
    keys: &KeyRing,
    cipher_text: Bytes,
    nonces: Nonces,
    master_key: &MasterKey,
    request: SealRequest<'_>,
) -> Result<EncodedPayload, SealError> {
    let SealRequest { sender, recipients, mut privacy, affected } = request;
    for (hash, payload) in affected {
        let bound = security_hash::compute(keys, &cipher_text, payload)?;
        privacy.affected.insert(hash, bound);
    }
    let recipient_boxes = recipients
        .iter()
        .map(|recipient| seal_box(keys, &sender, recipient, &nonces.recipient, master_key))
        .collect::<Result<_, _>>()?;
    Ok(EncodedPayload::new(PayloadParts {
        sender,
        cipher_text,
        cipher_text_nonce: nonces.cipher_text,
        recipient_boxes,
        recipient_nonce: nonces.recipient,
        recipient_keys: recipients,
        privacy,
    })?)
}

/// The master key, sealed for one recipient.
pub(crate) fn seal_box(
    keys: &KeyRing,
    sender: &PublicKey,
    recipient: &PublicKey,
    nonce: &Nonce,
    master_key: &MasterKey,
) -> Result<Bytes, KeyRingError> {
    let shared = keys.shared_key(sender, recipient)?;
    let mut sealed = vec![0; TAG_LEN + KEY_LEN];
    sealed[TAG_LEN..].copy_from_slice(master_key.expose());
    crypto::seal_in_place(shared.expose(), nonce, &mut sealed)?;
    Ok(sealed.into())
}
