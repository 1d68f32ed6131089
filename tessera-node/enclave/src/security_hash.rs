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
