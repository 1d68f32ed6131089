//! Encrypted payloads in the store.

use bytes::Bytes;
use tessera_enclave::payload::{PayloadParts, PrivacyMetadata};
use tessera_enclave::{EncodedPayload, PayloadCodec, RawTransaction, TxHash};
use tessera_store::{Hash, InsertOutcome, Kind, ReadError, ReplaceOutcome, Store, Stored, Value, Version};

use super::{Error, MAX_RECORD_BYTES};
use crate::volume::Volume;
use crate::{clock, tasks};

/// The codec byte of a record.
const LEGACY: u8 = 0;
const CBOR: u8 = 1;

/// The payload store, in terms of payloads. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Payloads {
    store: Store,
    volume: Volume,
}

impl Payloads {
    /// Payloads in `store`, which is on `volume`.
    pub fn new(store: Store, volume: Volume) -> Self {
        Self { store, volume }
    }

    /// The size of a record, with its names; 0 where none is known.
    pub(super) fn stored_bytes(&self, hash: &TxHash, raw: bool) -> Result<u64, Error> {
        let Ok(hash) = Hash::try_from(hash.as_bytes()) else { return Ok(0) };
        let kind = if raw { Kind::Raw } else { Kind::Transaction };
        Ok(self.store.stored_bytes(kind, &hash)?.unwrap_or(0))
    }

    /// A transaction's payload. None: the store is certain that there is none.
    pub(super) async fn get(&self, hash: &TxHash) -> Result<Option<EncodedPayload>, Error> {
        self.read(Kind::Transaction, hash).await?.map(|stored| decode(stored.value)).transpose()
    }

    /// What a write of this payload meets: the payload, and the version that the write replaces. A record that is damaged or
    /// was lost with its name counts as no payload: keeping it again repairs that, and refusing it would end all receiving
    /// because of one lost record.
    pub(super) async fn get_for_write(
        &self,
        hash: &TxHash,
    ) -> Result<(Option<EncodedPayload>, Option<Version>), Error> {
        let mut read = self.ask(Kind::Transaction, hash).await?;
        let mut damaged = None;
        if matches!(read, Err(ReadError::Corrupt { .. })) {
            // The version first, then the read that it goes with: another write may repair it in between.
            damaged = self.version(hash).await?;
            read = self.ask(Kind::Transaction, hash).await?;
        }
        Ok(match read {
            Err(ReadError::Undecidable { .. }) => (None, None),
            Err(ReadError::Corrupt { .. }) => (None, damaged),
            known => match known.map_err(unreadable)?.map(versioned).transpose()? {
                Some((payload, version)) => (Some(payload), Some(version)),
                None => (None, None),
            },
        })
    }

    async fn version(&self, hash: &TxHash) -> Result<Option<Version>, Error> {
        let (store, hash) = (self.store.clone(), name(hash)?);
        let version = tasks::blocking(move || store.version(Kind::Transaction, &hash)).await;
        version.ok_or(Error::Panicked("reading the payload store"))?.map_err(unreadable)
    }

    /// Keeps a payload if its hash is free.
    pub(super) async fn insert(
        &self,
        hash: &TxHash,
        payload: &EncodedPayload,
    ) -> Result<InsertOutcome, Error> {
        Ok(self.store.insert(Kind::Transaction, name(hash)?, encode(payload).await?).await?)
    }

    /// Replaces a payload if it is still the one that was read.
    pub(super) async fn replace(
        &self,
        hash: &TxHash,
        read: Version,
        payload: &EncodedPayload,
    ) -> Result<ReplaceOutcome, Error> {
        let value = encode(payload).await?;
        Ok(self.store.compare_and_replace(Kind::Transaction, name(hash)?, read, value).await?)
    }

    /// A raw transaction.
    pub(super) async fn get_raw(&self, hash: &TxHash) -> Result<Option<RawTransaction>, Error> {
        match self.read(Kind::Raw, hash).await? {
            None => Ok(None),
            Some(stored) => Ok(Some(raw_of(&decode(stored.value)?))),
        }
    }

    /// Keeps a raw transaction.
    pub(super) async fn insert_raw(
        &self,
        hash: &TxHash,
        raw: &RawTransaction,
    ) -> Result<InsertOutcome, Error> {
        let record = encode(&payload_of(raw)?).await?;
        Ok(self.store.insert(Kind::Raw, name(hash)?, record).await?)
    }

    async fn read(&self, kind: Kind, hash: &TxHash) -> Result<Option<Stored>, Error> {
        let stored = self.ask(kind, hash).await?.map_err(unreadable)?;
        if stored.is_none() && self.volume.is_replaced() {
            return Err(Error::VolumeReplaced);
        }
        Ok(stored)
    }

    async fn ask(&self, kind: Kind, hash: &TxHash) -> Result<Result<Option<Stored>, ReadError>, Error> {
        // A hash of another length names nothing that could be stored.
        let Ok(hash) = Hash::try_from(hash.as_bytes()) else { return Ok(Ok(None)) };
        let store = self.store.clone();
        tasks::blocking(move || store.get(kind, &hash))
            .await
            .ok_or(Error::Panicked("reading the payload store"))
    }
}

fn unreadable(error: ReadError) -> Error {
    tracing::error!(error = crate::telemetry::chain(&error), "the payload store cannot be read");
    Error::Read(error)
}

/// Refuses what the store would refuse.
pub(super) fn check_size(payload: &EncodedPayload) -> Result<(), Error> {
    /// Key, box, affected hashes: more than any of them takes in a record.
    const PER_PARTY: usize = 256;
    let parties = payload.recipient_keys.len() + payload.privacy.affected.len() + 1;
    let size = payload.cipher_text.len() + parties * PER_PARTY;
    if size > MAX_RECORD_BYTES { Err(Error::TooLarge(size)) } else { Ok(()) }
}

fn name(hash: &TxHash) -> Result<Hash, Error> {
    // A computed hash has 64 bytes: only one that a caller gave can be shorter.
    Hash::try_from(hash.as_bytes()).map_err(|_| Error::Panicked("naming a record"))
}

fn versioned(stored: Stored) -> Result<(EncodedPayload, Version), Error> {
    Ok((decode(stored.value)?, stored.version))
}

async fn encode(payload: &EncodedPayload) -> Result<Value, Error> {
    let timestamp_ms = u64::try_from(clock::now().as_millisecond()).unwrap_or(0);
    Ok(Value { codec: CBOR, timestamp_ms, body: super::encode(PayloadCodec::Cbor, payload).await? })
}

fn decode(value: Value) -> Result<EncodedPayload, Error> {
    let codec = match value.codec {
        LEGACY => PayloadCodec::Legacy,
        CBOR => PayloadCodec::Cbor,
        other => return Err(Error::StoredCodec(other)),
    };
    codec.decode(&Bytes::from(value.body)).map_err(|error| {
        tracing::error!(%error, "a stored payload cannot be decoded");
        Error::StoredPayload(error)
    })
}

/// A raw transaction is kept as the payload that its sender alone can open: one format for all records.
fn payload_of(raw: &RawTransaction) -> Result<EncodedPayload, Error> {
    Ok(EncodedPayload::new(PayloadParts {
        sender: raw.sender,
        cipher_text: raw.encrypted_payload.clone(),
        cipher_text_nonce: raw.nonce.clone(),
        recipient_boxes: vec![raw.encrypted_key.clone()],
        recipient_nonce: raw.nonce.clone(),
        recipient_keys: vec![raw.sender],
        privacy: PrivacyMetadata::default(),
    })?)
}

fn raw_of(payload: &EncodedPayload) -> RawTransaction {
    RawTransaction {
        encrypted_payload: payload.cipher_text.clone(),
        encrypted_key: payload.recipient_boxes.first().cloned().unwrap_or_default(),
        nonce: payload.cipher_text_nonce.clone(),
        sender: payload.sender,
    }
}
