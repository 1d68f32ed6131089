//! Sealing a message for its recipients.

use bytes::Bytes;
use rand_core::{OsRng, RngCore};
use zeroize::Zeroizing;

use crate::base64::{self, Base64Error};
use crate::crypto::{self, CryptoError, TAG_LEN};
use crate::key::{KEY_LEN, MasterKey, NONCE_LEN, Nonce, PublicKey};
use crate::keyring::{KeyRing, KeyRingError};
use crate::payload::{EncodedPayload, PayloadError, PayloadParts, PrivacyMetadata};

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
pub struct SealRequest {
    /// One of our keys.
    pub sender: PublicKey,
    /// All recipients in order, the sender among them; see [`crate::recipients`].
    pub recipients: Vec<PublicKey>,
    /// Mode and what belongs to it. Affected transactions are bound to the sealed payload: see
    /// [`crate::security_hash`].
    pub privacy: PrivacyMetadata,
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
    /// One question to the operating system for all three: each is a system call.
    fn generate() -> Self {
        let mut random = Zeroizing::new([0; KEY_LEN + 2 * NONCE_LEN]);
        OsRng.fill_bytes(&mut *random);
        let (key, nonces) = random.split_at(KEY_LEN);
        let (cipher_text_nonce, recipient_nonce) = nonces.split_at(NONCE_LEN);
        Self {
            master_key: MasterKey::copied_from(key),
            cipher_text_nonce: Nonce::from_bytes(cipher_text_nonce),
            recipient_nonce: Nonce::from_bytes(recipient_nonce),
        }
    }
}

/// Seals a message under a new master key, and the master key for each recipient.
pub fn seal(keys: &KeyRing, message: SealBuffer, request: SealRequest) -> Result<EncodedPayload, SealError> {
    // Before the long work, and before anything depends on it.
    request.privacy.check()?;
    seal_with(keys, message, request, &Randomness::generate())
}

pub(crate) fn seal_with(
    keys: &KeyRing,
    message: SealBuffer,
    request: SealRequest,
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

/// Makes a payload of a sealed message: a box per recipient.
pub(crate) fn address(
    keys: &KeyRing,
    cipher_text: Bytes,
    nonces: Nonces,
    master_key: &MasterKey,
    request: SealRequest,
) -> Result<EncodedPayload, SealError> {
    let SealRequest { sender, recipients, privacy } = request;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, Vectors};

    /// The payload of the vectors' end-to-end entry.
    fn sealed(vectors: &Vectors, privacy: PrivacyMetadata) -> EncodedPayload {
        let entry = vectors.at("/end_to_end_computed");
        let keys = vectors.key_ring();
        let message = entry["plaintext_utf8"].as_str().expect("text").as_bytes();
        let random = Randomness {
            master_key: testing::master_key(entry, "masterKey_hex"),
            cipher_text_nonce: Nonce::from_bytes(&testing::hex(&entry["cipherTextNonce_hex"])),
            recipient_nonce: Nonce::from_bytes(&testing::hex(&entry["recipientNonce_hex"])),
        };
        let request = SealRequest {
            sender: testing::key(&entry["sender_publicKey_base64"]),
            recipients: testing::keys(&entry["recipients_base64_in_order"]),
            privacy,
        };
        seal_with(&keys, message.into(), request, &random).expect("sealed")
    }

    fn assert_encoded(payload: &EncodedPayload, entry: &serde_json::Value) {
        for (codec, member) in [(PayloadCodec::Legacy, "legacy_hex"), (PayloadCodec::Cbor, "cbor_hex")] {
            assert_eq!(hex::encode(codec.encode(payload)), entry[member].as_str().expect("hex"), "{codec:?}");
        }
    }

    use crate::codec::PayloadCodec;

    #[test]
    fn end_to_end_vector() {
        let vectors = Vectors::load();
        let entry = vectors.at("/end_to_end_computed");
        let payload = sealed(&vectors, PrivacyMetadata::default());
        assert_eq!(payload.cipher_text, testing::hex(&entry["cipherText_hex"]));
        let boxes = entry["recipientBoxes_hex"].as_array().expect("boxes");
        let boxes: Vec<_> = boxes.iter().map(testing::hex).collect();
        assert_eq!(payload.recipient_boxes, boxes);
        assert_eq!(payload.hash().to_string(), entry["transactionHash_base64"]);
        assert_encoded(&payload, &entry["stored_by_sender"]);
    }

    #[test]
    fn pushed_to_a_recipient() {
        let vectors = Vectors::load();
        let entry = vectors.at("/end_to_end_computed");
        let payload = sealed(&vectors, PrivacyMetadata::default());
        let pushed = payload.for_recipient(&payload.recipient_keys[1]).expect("a recipient");
        assert_encoded(&pushed, &entry["pushed_to_second_recipient"]);
    }

    #[test]
    fn pushed_with_state_validation() {
        let vectors = Vectors::load();
        let entry = vectors.at("/end_to_end_computed");
        let exec_hash = entry["psv_execHash_utf8"].as_str().expect("text").to_owned().into();
        let privacy = PrivacyMetadata {
            mode: crate::PrivacyMode::PrivateStateValidation,
            exec_hash,
            ..PrivacyMetadata::default()
        };
        let payload = sealed(&vectors, privacy);
        let pushed = payload.for_recipient(&payload.recipient_keys[1]).expect("a recipient");
        let entry = &entry["psv_pushed_to_second_recipient"];
        assert_eq!(pushed.recipient_keys, testing::keys(&entry["recipientKeys_order_base64"]));
        assert_encoded(&pushed, entry);
    }

    #[test]
    fn shared_keys_of_the_vector() {
        let vectors = Vectors::load();
        let entry = vectors.at("/end_to_end_computed");
        let keys = vectors.key_ring();
        let sender = testing::key(&entry["sender_publicKey_base64"]);
        let recipients = testing::keys(&entry["recipients_base64_in_order"]);
        for (recipient, expected) in recipients.iter().zip(entry["sharedKeys_hex"].as_array().expect("keys"))
        {
            let shared = keys.shared_key(&sender, recipient).expect("derived");
            assert_eq!(hex::encode(shared.expose()), expected.as_str().expect("hex"));
        }
    }

    #[test]
    fn every_message_has_its_own_randomness() {
        let (own, keys) = testing::ring_of_one();
        let seal_once = || {
            let request =
                SealRequest { sender: own, recipients: vec![own], privacy: PrivacyMetadata::default() };
            seal(&keys, b"message"[..].into(), request).expect("sealed")
        };
        let (one, other) = (seal_once(), seal_once());
        assert_ne!(one.cipher_text, other.cipher_text);
        assert_ne!(one.cipher_text_nonce, other.cipher_text_nonce);
        assert_ne!(one.recipient_nonce, other.recipient_nonce);
        assert_ne!(one.cipher_text_nonce, one.recipient_nonce);
    }

    #[test]
    fn a_base64_message_is_decoded_in_place() {
        let buffer = SealBuffer::from_base64("aGVsbG8\n").expect("lenient");
        assert_eq!(buffer.message(), b"hello");
        assert_eq!(SealBuffer::from_base64("aGVsbG8x=").expect_err("bad padding"), Base64Error::WrongEnding);
    }
}
