//! A client reads a message back.

use std::sync::Arc;

use tessera_enclave::open::{self, open_any};
use tessera_enclave::{EncodedPayload, KeyRing, PublicKey, TxHash, raw};

use super::{Error, TransactionManager, compute, managed};
use crate::keyring::Keys;

/// A message, and what is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) message: Vec<u8>,
    pub(crate) flag: u8,
    pub(crate) affected: Vec<TxHash>,
    /// The text that the sending client gave.
    pub(crate) exec_hash: String,
    pub(crate) privacy_group_id: Option<Vec<u8>>,
    pub(crate) managed: Vec<PublicKey>,
    pub(crate) sender: PublicKey,
}

impl TransactionManager {
    /// Reads a transaction with any of our keys, or with `to`.
    pub(crate) async fn receive(&self, hash: &TxHash, to: Option<PublicKey>) -> Result<Received, Error> {
        let keys = self.keys()?;
        let Some(payload) = self.payloads.get(hash).await? else {
            return Err(Error::TransactionUnknown(*hash).unless_incomplete(&keys));
        };
        let (opening, asked) = (Arc::clone(&keys), *hash);
        match compute(payload.cipher_text.len(), move || open(&opening, &payload, &asked, to.as_ref()))
            .await?
        {
            Ok(received) => Ok(received),
            Err(error) => Err(self.certain(error, &keys).await),
        }
    }

    /// Reads a raw payload that was stored and perhaps never sent.
    pub(crate) async fn receive_raw(&self, hash: &TxHash) -> Result<Received, Error> {
        let keys = self.keys()?;
        let Some(stored) = self.payloads.get_raw(hash).await? else {
            return Err(Error::RawUnknown(*hash).unless_incomplete(&keys));
        };
        let ring = Arc::clone(keys.ring());
        let sender = stored.sender;
        let message = match compute(stored.encrypted_payload.len(), move || raw::open(&ring, &stored)).await?
        {
            Ok(message) => message,
            Err(error) => return Err(self.certain(error.into(), &keys).await),
        };
        Ok(Received {
            message,
            flag: 0,
            affected: Vec::new(),
            exec_hash: String::new(),
            privacy_group_id: None,
            managed: vec![sender],
            sender,
        })
    }
}

fn open(
    keys: &Keys,
    payload: &EncodedPayload,
    hash: &TxHash,
    to: Option<&PublicKey>,
) -> Result<Received, Error> {
    let ring = keys.ring();
    // Some key of ours must open it, even when `to` says which one to use.
    let (_, found) = open_any(ring, payload).ok_or(Error::NoSuitableKey(*hash))?;
    let message = match to {
        None => found,
        Some(key) => {
            refuse_foreign(ring, payload, key)?;
            open::open(ring, payload, key)?
        }
    };
    let privacy = &payload.privacy;
    Ok(Received {
        message,
        flag: privacy.mode.flag(),
        affected: privacy.affected.keys().copied().collect(),
        exec_hash: String::from_utf8_lossy(&privacy.exec_hash).into_owned(),
        privacy_group_id: privacy.privacy_group_id.as_ref().map(|id| id.to_vec()),
        managed: managed_parties(ring, payload),
        sender: payload.sender,
    })
}

/// A key that is no recipient is another error than a recipient that is not ours.
fn refuse_foreign(ring: &KeyRing, payload: &EncodedPayload, key: &PublicKey) -> Result<(), Error> {
    let listed = payload.recipient_keys.is_empty() || payload.recipient_keys.contains(key);
    match (ring.contains(key), listed) {
        (true, _) => Ok(()),
        (false, true) => Err(Error::SenderUnknown(*key)),
        (false, false) => Err(Error::NotListed),
    }
}

/// Payloads of the oldest form list no keys: then every key of ours that opens a box.
fn managed_parties(ring: &KeyRing, payload: &EncodedPayload) -> Vec<PublicKey> {
    if payload.recipient_keys.is_empty() {
        return ring.public_keys().filter(|key| open::open(ring, payload, key).is_ok()).copied().collect();
    }
    managed(ring, &payload.recipient_keys)
}
