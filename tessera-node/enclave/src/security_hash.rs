//! Security hashes: proof that a transaction's sender could read the transactions that it affects.
//!
//! ```text
//! SHA3-512( this cipher text ‖ affected cipher text ‖ affected master key )
//! ```
//!
//! Always SHA3-512.

use sha3::{Digest, Sha3_512};

use crate::hash::SecurityHash;
use crate::key::MasterKey;
use crate::keyring::KeyRing;
use crate::open;
use crate::payload::EncodedPayload;

/// Why a security hash cannot be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[non_exhaustive]
pub enum SecurityHashError {
    /// None of our keys opens the affected payload's first box.
    #[error("Unable to decrypt master key")]
    NoMasterKey,
}

/// Binds one cipher text to the transactions that it affects. The cipher text, which comes first, is hashed once.
#[derive(Debug, Clone)]
pub struct Binder(Sha3_512);

impl Binder {
    /// For the affected transactions of this cipher text.
    pub fn new(cipher_text: &[u8]) -> Self {
        Self(Sha3_512::new_with_prefix(cipher_text))
    }

    /// The security hash of one affected transaction, given its stored payload.
    pub fn bind(&self, keys: &KeyRing, affected: &EncodedPayload) -> Result<SecurityHash, SecurityHashError> {
        let master_key = affected_master_key(keys, affected).ok_or(SecurityHashError::NoMasterKey)?;
        Ok(self.digest(&affected.cipher_text, &master_key))
    }

    fn digest(&self, affected: &[u8], master_key: &MasterKey) -> SecurityHash {
        let digest = self.0.clone().chain_update(affected).chain_update(master_key.expose());
        SecurityHash::from_bytes(&digest.finalize())
    }
}

/// Box 0 belongs to the first recipient where we sent the payload, and to one of our keys where we received it.
fn affected_master_key(keys: &KeyRing, affected: &EncodedPayload) -> Option<MasterKey> {
    let (sender, sealed) = (&affected.sender, affected.recipient_boxes.first()?);
    if keys.contains(sender) {
        let recipient = affected.recipient_keys.first()?;
        return open::open_box(keys, sender, recipient, affected, sealed).ok();
    }
    keys.public_keys().find_map(|own| open::open_box(keys, own, sender, affected, sealed).ok())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::PrivacyMode;
    use crate::key::{KeyPair, PublicKey};
    use crate::keyring::DefaultKey;
    use crate::payload::PrivacyMetadata;
    use crate::seal::{self, SealRequest};
    use crate::testing::{self, Vectors};

    #[test]
    fn digest_vector() {
        let vectors = Vectors::load();
        let entry = vectors.at("/end_to_end_computed/affected_contract_security_hash");
        let hash = Binder::new(&testing::hex(&entry["new_cipherText_hex"])).digest(
            &testing::hex(&entry["affected_cipherText_hex"]),
            &testing::master_key(entry, "affected_masterKey_hex"),
        );
        assert_eq!(hash.as_bytes(), testing::hex(&entry["sha3_512_hex"]));
    }

    fn send(keys: &KeyRing, sender: &PublicKey, recipients: Vec<PublicKey>) -> EncodedPayload {
        let privacy = PrivacyMetadata { mode: PrivacyMode::PartyProtection, ..PrivacyMetadata::default() };
        let request = SealRequest { sender: *sender, recipients, privacy };
        seal::seal(keys, b"code"[..].into(), request).expect("sealed")
    }

    #[test]
    fn both_sides_agree() {
        let (sender, recipient) = (testing::ring_of_one(), testing::ring_of_one());
        let first = send(&sender.1, &sender.0, vec![recipient.0, sender.0]);
        let received = first.for_recipient(&recipient.0).expect("a recipient");
        let binder = Binder::new(b"new");
        assert!(binder.bind(&sender.1, &first).is_ok());
        assert_eq!(binder.bind(&sender.1, &first), binder.bind(&recipient.1, &received));
        assert_ne!(binder.bind(&sender.1, &first), Binder::new(b"other").bind(&sender.1, &first));
    }

    #[test]
    fn a_payload_of_others_has_no_master_key_for_us() {
        let (sender, recipient) = (testing::ring_of_one(), testing::ring_of_one());
        let first = send(&sender.1, &sender.0, vec![recipient.0]);
        let (_, stranger) = testing::ring_of_one();
        assert_eq!(Binder::new(b"new").bind(&stranger, &first), Err(SecurityHashError::NoMasterKey));
    }

    #[test]
    fn every_local_key_is_tried() {
        let sender = testing::ring_of_one();
        let pairs = [(); 3].map(|()| Arc::new(KeyPair::generate().expect("locked memory")));
        let last = *pairs[2].public();
        let ring = KeyRing::new(pairs, &DefaultKey::AsJava).expect("a ring");
        let payload = send(&sender.1, &sender.0, vec![last]);
        let binder = Binder::new(b"new");
        assert_eq!(binder.bind(&ring, &payload), binder.bind(&sender.1, &payload));
    }
}
