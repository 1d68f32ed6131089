//! Security hashes: proof that a transaction's sender could read the transactions that it affects.
//!
//! ```text
//! SHA3-512( this cipher text ‖ affected cipher text ‖ affected master key )
//! ```
//!
//! Always SHA3-512, in Orion mode too.

use std::collections::{BTreeMap, BTreeSet};

use sha3::{Digest, Sha3_512};

use crate::hash::{SecurityHash, TxHash};
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

/// Binds a cipher text to a stored payload that it affects.
pub fn compute(
    keys: &KeyRing,
    cipher_text: &[u8],
    affected: &EncodedPayload,
) -> Result<SecurityHash, SecurityHashError> {
    let master_key = affected_master_key(keys, affected).ok_or(SecurityHashError::NoMasterKey)?;
    Ok(digest(cipher_text, &affected.cipher_text, &master_key))
}

/// The affected transactions of a received payload whose security hash is wrong, or that are not stored here.
pub fn invalid(
    keys: &KeyRing,
    payload: &EncodedPayload,
    stored: &BTreeMap<TxHash, EncodedPayload>,
) -> Result<BTreeSet<TxHash>, SecurityHashError> {
    let mut invalid = BTreeSet::new();
    for (hash, claimed) in &payload.privacy.affected {
        let valid = match stored.get(hash) {
            Some(affected) => compute(keys, &payload.cipher_text, affected)? == *claimed,
            None => false,
        };
        if !valid {
            invalid.insert(hash.clone());
        }
    }
    Ok(invalid)
}

fn digest(cipher_text: &[u8], affected: &[u8], master_key: &MasterKey) -> SecurityHash {
    let digest =
        Sha3_512::new().chain_update(cipher_text).chain_update(affected).chain_update(master_key.expose());
    SecurityHash::from_bytes(&digest.finalize())
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
    use crate::key::{KeyPair, PublicKey};
    use crate::keyring::DefaultKey;
    use crate::payload::PrivacyMetadata;
    use crate::seal::{self, SealRequest};
    use crate::testing::{self, Vectors};
    use crate::{DigestMode, PrivacyMode};

    #[test]
    fn digest_vector() {
        let vectors = Vectors::load();
        let entry = vectors.at("/end_to_end_computed/affected_contract_security_hash");
        let hash = digest(
            &testing::hex(&entry["new_cipherText_hex"]),
            &testing::hex(&entry["affected_cipherText_hex"]),
            &testing::master_key(entry, "affected_masterKey_hex"),
        );
        assert_eq!(hash.as_bytes(), testing::hex(&entry["sha3_512_hex"]));
    }

    /// Two nodes, and a transaction from the first to the second.
    struct Network {
        sender: (PublicKey, KeyRing),
        recipient: (PublicKey, KeyRing),
        first: EncodedPayload,
    }

    fn send(
        keys: &KeyRing,
        sender: &PublicKey,
        recipients: Vec<PublicKey>,
        affected: Vec<(TxHash, &EncodedPayload)>,
    ) -> EncodedPayload {
        let privacy = PrivacyMetadata { mode: PrivacyMode::PartyProtection, ..PrivacyMetadata::default() };
        let request = SealRequest { sender: sender.clone(), recipients, privacy, affected };
        seal::seal(keys, b"code"[..].into(), request).expect("sealed")
    }

    fn network() -> Network {
        let (sender, recipient) = (testing::ring_of_one(), testing::ring_of_one());
        let recipients = vec![recipient.0.clone(), sender.0.clone()];
        let first = send(&sender.1, &sender.0, recipients, Vec::new());
        Network { sender, recipient, first }
    }

    #[test]
    fn both_sides_agree() {
        let Network { sender, recipient, first } = network();
        let hash = first.hash(DigestMode::Tessera);
        let recipients = vec![recipient.0.clone(), sender.0.clone()];
        let second = send(&sender.1, &sender.0, recipients, vec![(hash.clone(), &first)]);
        let received_first = first.for_recipient(&recipient.0).expect("a recipient");
        let received = second.for_recipient(&recipient.0).expect("a recipient");
        let stored = BTreeMap::from([(hash, received_first)]);
        assert_eq!(invalid(&recipient.1, &received, &stored), Ok(BTreeSet::new()));
    }

    #[test]
    fn unknown_and_wrong_ones_are_invalid() {
        let Network { sender, recipient, first } = network();
        let hash = first.hash(DigestMode::Tessera);
        let second = send(&sender.1, &sender.0, vec![recipient.0.clone()], vec![(hash.clone(), &first)]);
        let nothing_stored = invalid(&recipient.1, &second, &BTreeMap::new());
        assert_eq!(nothing_stored, Ok(BTreeSet::from([hash.clone()])));

        let mut forged = second.into_parts();
        forged.privacy.affected.insert(hash.clone(), SecurityHash::from_bytes(&[0; 64]));
        let forged = EncodedPayload::new(forged).expect("consistent");
        let received_first = first.for_recipient(&recipient.0).expect("a recipient");
        let stored = BTreeMap::from([(hash.clone(), received_first)]);
        assert_eq!(invalid(&recipient.1, &forged, &stored), Ok(BTreeSet::from([hash])));
    }

    #[test]
    fn a_payload_of_others_has_no_master_key_for_us() {
        let Network { first, .. } = network();
        let (_, stranger) = testing::ring_of_one();
        assert_eq!(compute(&stranger, b"new", &first), Err(SecurityHashError::NoMasterKey));
    }

    #[test]
    fn every_local_key_is_tried() {
        let sender = testing::ring_of_one();
        let pairs = [(); 3].map(|()| Arc::new(KeyPair::generate()));
        let last = pairs[2].public().clone();
        let ring = KeyRing::new(pairs, &DefaultKey::AsJava).expect("a ring");
        let payload = send(&sender.1, &sender.0, vec![last], Vec::new());
        assert_eq!(compute(&ring, b"new", &payload), compute(&sender.1, b"new", &payload));
    }
}
