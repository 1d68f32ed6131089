//! A peer that lost its copy of a payload asks for it again.
//!
//! A peer gets only what is for a key that it proved to hold: its own box where the key is a recipient, our boxes where the key is
//! the sender. To any other key the payload is unknown, so that no peer learns by hashes which nodes take part in a transaction. A payload that
//! this node cannot read is unknown as well, since the key's part in it cannot be checked. (Java answers any key, and 500 to one
//! that is no party.)

use std::sync::Arc;

use tessera_enclave::{EncodedPayload, PayloadCodec, PrivacyMode, PublicKey, TxHash, resend};
use tessera_node_api::identity::Identity;

use super::{Error, Refusal, TransactionManager, compute, encode};

/// What a box counts in the size of a computation: opening it takes about as long as hashing so many bytes.
const BOX_COST: usize = 1 << 10;

impl TransactionManager {
    /// Refuses a caller that has not proven the key, or proved it after another node did.
    pub(crate) fn check_holds(&self, caller: &Identity, key: &PublicKey) -> Result<(), Error> {
        if self.peers.directory().is_holder(caller, key) { Ok(()) } else { Err(Error::KeyNotProven(*key)) }
    }

    /// The payload for `key`, which the caller holds, in the format that every version reads. One error for everything that is no
    /// payload for a party: the caller cannot tell a payload of others, or a damaged one, from none.
    pub(crate) async fn resend(&self, key: PublicKey, hash: &TxHash) -> Result<Vec<u8>, Error> {
        let keys = self.keys()?;
        let payload = self.payloads.get_for_peer(hash).await?;
        let is_party =
            |payload: &EncodedPayload| payload.sender == key || payload.recipient_keys.contains(&key);
        let Some(payload) = payload.filter(is_party) else { return Err(self.not_given(hash)) };
        if payload.privacy.mode != PrivacyMode::StandardPrivate {
            return Err(Refusal::ResendMode.into());
        }
        let ring = Arc::clone(keys.ring());
        let size = payload.cipher_text.len() + payload.recipient_boxes.len() * BOX_COST;
        let given = compute(size, move || resend::for_party(&ring, &payload, &key)).await?;
        encode(PayloadCodec::Legacy, &given.map_err(|_| self.not_given(hash))?).await
    }

    /// The one answer to a peer that gets no payload.
    pub(crate) fn not_given(&self, hash: &TxHash) -> Error {
        let unknown = Error::TransactionUnknown(*hash);
        match self.keys() {
            Ok(keys) => unknown.unless_incomplete(&keys),
            Err(no_keys) => no_keys,
        }
    }
}
