//! Raw transactions: a message stored first and given recipients later.
//!
//! ```text
//! store  master key, one nonce ─▶ encrypted payload, and the master key sealed by the sender to itself
//! send   the same cipher text becomes a payload's, so the hash given out at the first step stays true
//! ```

use bytes::Bytes;
use sha3::{Digest, Sha3_512};

use crate::crypto;
use crate::hash::TxHash;
use crate::key::{MasterKey, NONCE_LEN, Nonce, PublicKey};
use crate::keyring::{KeyRing, KeyRingError};
use crate::open::OpenError;
use crate::payload::EncodedPayload;
use crate::seal::{self, Nonces, SealBuffer, SealError, SealRequest};
use crate::secret::SecretBytes;

/// Separates this use of the digest from every other.
const NONCE_DOMAIN: &[u8] = b"send-signed recipient nonce";

/// A stored raw transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawTransaction {
    /// The message, sealed with the master key.
    pub encrypted_payload: Bytes,
    /// The master key, sealed by the sender to itself.
    pub encrypted_key: Bytes,
    /// The nonce of both.
    pub nonce: Nonce,
    /// One of our keys.
    pub sender: PublicKey,
}

impl RawTransaction {
    /// The name that the client gets; the transaction sent from it has the same.
    pub fn hash(&self) -> TxHash {
        TxHash::of(&self.encrypted_payload)
    }
}

/// Seals a message for later.
pub fn store(keys: &KeyRing, message: SealBuffer, sender: PublicKey) -> Result<RawTransaction, SealError> {
    store_with(keys, message, sender, &MasterKey::generate(), Nonce::generate())
}

fn store_with(
    keys: &KeyRing,
    message: SealBuffer,
    sender: PublicKey,
    master_key: &MasterKey,
    nonce: Nonce,
) -> Result<RawTransaction, SealError> {
    // The key first: an unknown sender is refused before the long work.
    let encrypted_key = seal::seal_box(keys, &sender, &sender, &nonce, master_key)?;
    Ok(RawTransaction { encrypted_payload: message.seal(master_key, &nonce)?, encrypted_key, nonce, sender })
}

/// Opens a raw transaction: only its sender can.
pub fn open(keys: &KeyRing, raw: &RawTransaction) -> Result<Vec<u8>, OpenError> {
    let master_key = master_key(keys, raw)?;
    Ok(crypto::open(master_key.expose(), &raw.nonce, &raw.encrypted_payload)?)
}

/// Gives a raw transaction its recipients. `request.sender` is ignored: the raw transaction has one.
///
/// The recipient nonce is derived, so that a client's retry yields the identical payload. A fresh one, as Java draws it,
/// makes recipients refuse every retry of a send that reached only some of them.
pub fn send_signed(
    keys: &KeyRing,
    raw: &RawTransaction,
    request: SealRequest,
) -> Result<EncodedPayload, SealError> {
    request.privacy.check()?;
    let master_key = master_key(keys, raw)?;
    let nonces = Nonces {
        cipher_text: raw.nonce.clone(),
        recipient: recipient_nonce(&master_key, &request.recipients),
    };
    let request = SealRequest { sender: raw.sender, ..request };
    seal::address(keys, raw.encrypted_payload.clone(), nonces, &master_key, request)
}

fn master_key(keys: &KeyRing, raw: &RawTransaction) -> Result<MasterKey, KeyRingError> {
    let shared = keys.shared_key(&raw.sender, &raw.sender)?;
    let opened =
        crypto::open_secret(shared.expose(), &raw.nonce, &raw.encrypted_key, SecretBytes::transient())?;
    Ok(MasterKey(opened))
}

/// `SHA3-512(domain ‖ master key ‖ count ‖ (length ‖ recipient)*)`, cut to 24 bytes; numbers are 8 bytes, big-endian.
///
/// SHA-3 does not extend, so a secret prefix keys it. The master key is random and seals one message, hence a
/// (shared key, nonce) pair is used again only for the same box content: the same master key for the same recipients.
fn recipient_nonce(master_key: &MasterKey, recipients: &[PublicKey]) -> Nonce {
    let mut digest = Sha3_512::new()
        .chain_update(NONCE_DOMAIN)
        .chain_update(master_key.expose())
        .chain_update((recipients.len() as u64).to_be_bytes());
    for recipient in recipients.iter().map(PublicKey::as_bytes) {
        digest.update((recipient.len() as u64).to_be_bytes());
        digest.update(recipient);
    }
    Nonce::from_bytes(&digest.finalize()[..NONCE_LEN])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::PrivacyMetadata;
    use crate::testing::{self, Vectors};

    #[test]
    fn store_vector() {
        let vectors = Vectors::load();
        let entry = vectors.at("/end_to_end_computed");
        let expected = &entry["raw_transaction_same_message"];
        let message = entry["plaintext_utf8"].as_str().expect("text").as_bytes();
        let raw = store_with(
            &vectors.key_ring(),
            message.into(),
            testing::key(&entry["sender_publicKey_base64"]),
            &testing::master_key(entry, "masterKey_hex"),
            Nonce::from_bytes(&testing::hex(&expected["nonce_hex"])),
        )
        .expect("stored");
        assert_eq!(raw.encrypted_payload, testing::hex(&expected["encryptedPayload_hex"]));
        assert_eq!(raw.encrypted_key, testing::hex(&expected["encryptedKey_hex"]));
        assert_eq!(raw.hash().to_string(), entry["transactionHash_base64"]);
        assert_eq!(open(&vectors.key_ring(), &raw).expect("own message"), message);
    }

    fn send(keys: &KeyRing, raw: &RawTransaction, recipients: Vec<PublicKey>) -> EncodedPayload {
        let request =
            SealRequest { sender: PublicKey::default(), recipients, privacy: PrivacyMetadata::default() };
        send_signed(keys, raw, request).expect("sent")
    }

    #[test]
    fn a_retry_is_identical_and_other_recipients_are_not() {
        let (own, keys) = testing::ring_of_one();
        let peer = PublicKey::from([9; 32]);
        let raw = store(&keys, b"message"[..].into(), own).expect("stored");
        let first = send(&keys, &raw, vec![peer, own]);
        assert_eq!(first, send(&keys, &raw, vec![peer, own]));
        assert_eq!(first.hash(), raw.hash());
        assert_eq!(first.sender, own);
        assert_eq!(crate::open::open(&keys, &first, &own).expect("a recipient"), b"message");
        let other = send(&keys, &raw, vec![own]);
        assert_ne!(first.recipient_nonce, other.recipient_nonce);
        assert_ne!(first.recipient_nonce, raw.nonce);
    }

    #[test]
    fn recipients_are_delimited_in_the_nonce() {
        let (own, keys) = testing::ring_of_one();
        let raw = store(&keys, b"message"[..].into(), own).expect("stored");
        let master_key = master_key(&keys, &raw).expect("ours");
        let nonce = |keys: &[&[u8]]| {
            let keys: Vec<_> = keys.iter().map(|key| PublicKey::from_bytes(key).expect("short")).collect();
            recipient_nonce(&master_key, &keys)
        };
        assert_ne!(nonce(&[b"ab", b"c"]), nonce(&[b"a", b"bc"]));
        assert_ne!(nonce(&[b"ab"]), nonce(&[b"ab", b""]));
    }

    #[test]
    fn a_raw_transaction_of_another_node_stays_closed() {
        let (own, keys) = testing::ring_of_one();
        let raw = store(&keys, b"message"[..].into(), own).expect("stored");
        let (_, others) = testing::ring_of_one();
        let refused = open(&others, &raw).expect_err("not ours");
        assert_eq!(refused, OpenError::KeyRing(KeyRingError::UnknownKey(own)));
    }
}
