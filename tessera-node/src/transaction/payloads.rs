//! Encrypted payloads in the store.

use std::sync::Arc;

use bytes::Bytes;
use tessera_database::{DatabaseError, RawRow};
use tessera_enclave::payload::{PayloadParts, PrivacyMetadata};
use tessera_enclave::{EncodedPayload, Nonce, PayloadCodec, PublicKey, RawTransaction, TxHash};
use tessera_store::{Hash, Kind, ReadError, Stored, Value, Version};

use super::{Error, MAX_RECORD_BYTES};
use crate::log_limiter::LogLimiter;
use crate::payload_store::{PayloadStore, StoreError, log_get};
use crate::volume::Volume;
use crate::{clock, tasks};

/// The codec byte of a record.
const LEGACY: u8 = 0;
const CBOR: u8 = 1;

/// What can be said of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// There is certainly none.
    Absent,
    /// There may have been one: records are gone with their names, or with another volume.
    Lost,
    /// It is there, and its cipher text has the hash.
    Whole,
    /// It is there, and its bytes are not what was written.
    Damaged(Version),
    /// A raw payload is, and none that was sent.
    RawDamaged,
}

/// The payload store, in terms of payloads. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Payloads {
    store: PayloadStore,
    volume: Volume,
    /// Hashes of damaged payloads that the log has named.
    damage_logged: Arc<LogLimiter<TxHash>>,
}

impl Payloads {
    /// Payloads in `store`, which is on `volume`.
    pub fn new(store: PayloadStore, volume: Volume) -> Self {
        Self { store, volume, damage_logged: Arc::default() }
    }

    /// The size of a record, with its names; 0 where none is known.
    pub(super) async fn stored_bytes(&self, hash: &TxHash, raw: bool) -> Result<u64, Error> {
        let Ok(hash) = Hash::try_from(hash.as_bytes()) else { return Ok(0) };
        let kind = if raw { Kind::Raw } else { Kind::Transaction };
        Ok(self.store.stored_bytes(kind, &hash).await?.unwrap_or(0))
    }

    /// A transaction's payload. None: the store is certain that there is none.
    pub(super) async fn get(&self, hash: &TxHash) -> Result<Option<EncodedPayload>, Error> {
        let stored = self.certain(Kind::Transaction, hash, self.ask(hash).await)?;
        stored.map(|stored| decode(stored.value)).transpose()
    }

    /// A transaction's payload, for a peer that asks for it. None also where this node cannot read what it stores: a peer does
    /// not learn which hashes are stored here. That a database is away says nothing of a hash, and is an error.
    pub(super) async fn get_for_peer(&self, hash: &TxHash) -> Result<Option<EncodedPayload>, Error> {
        let stored = match self.ask(hash).await {
            Ok(Some(stored)) => stored,
            Ok(None) => return Ok(None),
            Err(error) if error.is_outage() => return Err(error.into()),
            Err(error) => {
                if is_damage(&error) {
                    self.log_damage(Kind::Transaction, hash);
                }
                // A peer chooses how often it asks: other failures are logged where a ledger node or a person reads.
                return Ok(None);
            }
        };
        Ok(try_decode(stored.value).ok())
    }

    /// What a write of this payload meets: the payload, and the version that the write replaces. A record that is damaged or
    /// was lost with its name counts as no payload: keeping it again repairs that, and refusing it would end all receiving
    /// because of one lost record.
    pub(super) async fn get_for_write(
        &self,
        hash: &TxHash,
    ) -> Result<(Option<EncodedPayload>, Option<Version>), Error> {
        let mut read = self.ask(hash).await;
        let mut damaged = None;
        if read.as_ref().is_err_and(is_damage) {
            // The version first, then the read that it goes with: another write may repair it in between.
            damaged = self.version(hash).await?;
            read = self.ask(hash).await;
        }
        Ok(match read {
            Err(StoreError::Read(ReadError::Undecidable { .. })) => (None, None),
            Err(error) if is_damage(&error) => (None, damaged),
            known => match known.map_err(unreadable)?.map(versioned).transpose()? {
                Some((payload, version)) => (Some(payload), Some(version)),
                None => (None, None),
            },
        })
    }

    /// What can be said of a payload, its content included.
    pub(super) async fn condition(&self, hash: &TxHash) -> Result<Condition, Error> {
        // The version first, then the read that it goes with: another write may repair it in between.
        let version = self.version(hash).await?;
        let unknown = match self.ask(hash).await {
            Ok(Some(stored)) => {
                let named = stored.version;
                let is_right = tasks::blocking({
                    let hash = *hash;
                    move || cipher_text(stored.value).is_some_and(|text| TxHash::of(&text) == hash)
                });
                let is_right = is_right.await.ok_or(Error::Panicked("a computation"))?;
                return Ok(if is_right { Condition::Whole } else { Condition::Damaged(named) });
            }
            Err(error) if is_damage(&error) => {
                return Ok(version.map_or(Condition::Lost, Condition::Damaged));
            }
            Ok(None) if self.volume.is_replaced() => Condition::Lost,
            Ok(None) => Condition::Absent,
            Err(StoreError::Read(ReadError::Undecidable { .. })) => Condition::Lost,
            Err(error) => return Err(unreadable(error)),
        };
        Ok(match self.ask_raw(hash).await {
            Err(error) if is_damage(&error) => Condition::RawDamaged,
            Ok(Some(_)) => Condition::Whole,
            Err(error @ StoreError::Database(_)) => return Err(unreadable(error)),
            _ => unknown,
        })
    }

    /// The damaged records whose names are known.
    pub(super) async fn damaged(&self) -> Result<Vec<(Kind, Hash)>, Error> {
        self.store.damaged().await.map_err(unreadable)
    }

    /// Keeps a payload if its hash is free; whether it was. Durable in both cases.
    pub(super) async fn insert(&self, hash: &TxHash, payload: &EncodedPayload) -> Result<bool, Error> {
        Ok(self.store.insert(name(hash)?, self.encode(payload).await?).await?)
    }

    /// Replaces a payload if it is still the one that was read; whether it was.
    pub(super) async fn replace(
        &self,
        hash: &TxHash,
        read: Version,
        payload: &EncodedPayload,
    ) -> Result<bool, Error> {
        Ok(self.store.replace(name(hash)?, read, self.encode(payload).await?).await?)
    }

    /// A raw transaction.
    pub(super) async fn get_raw(&self, hash: &TxHash) -> Result<Option<RawTransaction>, Error> {
        match self.certain(Kind::Raw, hash, self.ask_raw(hash).await)? {
            None => Ok(None),
            Some(Raw::Record(stored)) => Ok(Some(raw_of(&decode(stored.value)?))),
            Some(Raw::Row(row)) => Ok(Some(raw_of_row(row).map_err(unreadable)?)),
        }
    }

    /// Keeps a raw transaction. Its hash is new: its master key is.
    pub(super) async fn insert_raw(&self, hash: &TxHash, raw: &RawTransaction) -> Result<(), Error> {
        let name = name(hash)?;
        match &self.store {
            PayloadStore::Embedded(store) => {
                let record = self.encode(&payload_of(raw)?).await?;
                store.insert(Kind::Raw, name, record).await.map_err(StoreError::from)?;
            }
            PayloadStore::Postgres(database) => {
                database.insert_raw(&name, &row_of(raw), now_ms()).await.map_err(StoreError::from)?;
            }
        }
        Ok(())
    }

    async fn version(&self, hash: &TxHash) -> Result<Option<Version>, Error> {
        self.store.version(&name(hash)?).await.map_err(unreadable)
    }

    /// An answer to a reader, for whom "none" must be certain.
    fn certain<T>(
        &self,
        kind: Kind,
        hash: &TxHash,
        read: Result<Option<T>, StoreError>,
    ) -> Result<Option<T>, Error> {
        match read {
            Err(error) if is_damage(&error) => {
                self.log_damage(kind, hash);
                Err(Error::Damaged(*hash))
            }
            Ok(None) if self.volume.is_replaced() => Err(Error::VolumeReplaced),
            read => read.map_err(unreadable),
        }
    }

    /// Names a damaged payload in the log, once a while for each hash: peers and ledger nodes choose how often they ask.
    fn log_damage(&self, kind: Kind, hash: &TxHash) {
        let Some(suppressed) = self.damage_logged.admit(*hash) else { return };
        // No peer has a raw payload before it is sent.
        let action = if kind == Kind::Transaction { "run `tessera-node repair` with this hash" } else { "" };
        tracing::error!(%hash, action, suppressed, "a stored payload is damaged");
    }

    async fn ask(&self, hash: &TxHash) -> Result<Option<Stored>, StoreError> {
        // A hash of another length names nothing that could be stored.
        let Ok(hash) = Hash::try_from(hash.as_bytes()) else { return Ok(None) };
        self.store.get(&hash).await
    }

    async fn ask_raw(&self, hash: &TxHash) -> Result<Option<Raw>, StoreError> {
        let Ok(hash) = Hash::try_from(hash.as_bytes()) else { return Ok(None) };
        Ok(match &self.store {
            PayloadStore::Embedded(store) => log_get(store, Kind::Raw, hash).await?.map(Raw::Record),
            PayloadStore::Postgres(database) => database.get_raw(&hash).await?.map(Raw::Row),
        })
    }

    /// A record in the newest codec that the store takes.
    async fn encode(&self, payload: &EncodedPayload) -> Result<Value, Error> {
        let takes_new = match &self.store {
            PayloadStore::Embedded(_) => true,
            PayloadStore::Postgres(database) => database.takes_new_codec().await.map_err(StoreError::from)?,
        };
        let (codec, kind) =
            if takes_new { (CBOR, PayloadCodec::Cbor) } else { (LEGACY, PayloadCodec::Legacy) };
        Ok(Value { codec, timestamp_ms: now_ms(), body: super::encode(kind, payload).await? })
    }
}

/// A raw payload as it is stored.
enum Raw {
    Record(Stored),
    Row(RawRow),
}

fn is_damage(error: &StoreError) -> bool {
    matches!(error, StoreError::Read(ReadError::Corrupt { .. }))
}

/// Logs what only this node knows; why a database cannot be used is logged once, where it is found.
fn unreadable(error: impl Into<StoreError>) -> Error {
    let error = error.into();
    if let StoreError::Read(error) = &error {
        tracing::error!(error = crate::telemetry::chain(error), "the payload store cannot be read");
    }
    error.into()
}

fn now_ms() -> u64 {
    u64::try_from(clock::now().as_millisecond()).unwrap_or(0)
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

fn decode(value: Value) -> Result<EncodedPayload, Error> {
    try_decode(value).inspect_err(|error| {
        if let Error::StoredPayload(error) = error {
            tracing::error!(%error, "a stored payload cannot be decoded");
        }
    })
}

fn try_decode(value: Value) -> Result<EncodedPayload, Error> {
    let codec = match value.codec {
        LEGACY => PayloadCodec::Legacy,
        CBOR => PayloadCodec::Cbor,
        other => return Err(Error::StoredCodec(other)),
    };
    codec.decode(&Bytes::from(value.body)).map_err(Error::StoredPayload)
}

/// The cipher text in a record, which its name is the hash of. None: no codec reads the record.
pub(crate) fn cipher_text(value: Value) -> Option<Bytes> {
    decode(value).ok().map(|payload| payload.cipher_text.clone())
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

fn row_of(raw: &RawTransaction) -> RawRow {
    RawRow {
        encrypted_payload: raw.encrypted_payload.to_vec(),
        encrypted_key: raw.encrypted_key.to_vec(),
        nonce: raw.nonce.as_bytes().to_vec(),
        sender: raw.sender.as_bytes().to_vec(),
    }
}

fn raw_of_row(row: RawRow) -> Result<RawTransaction, DatabaseError> {
    Ok(RawTransaction {
        encrypted_payload: row.encrypted_payload.into(),
        encrypted_key: row.encrypted_key.into(),
        nonce: Nonce::from_bytes(&row.nonce),
        sender: PublicKey::from_bytes(&row.sender)
            .map_err(|_| DatabaseError::Row("the sender of a raw payload is no public key"))?,
    })
}
