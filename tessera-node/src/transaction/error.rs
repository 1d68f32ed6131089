//! What goes wrong in a transaction, as findings. The messages are Java's: clients match on them. What status each
//! becomes stands in [`crate::http`]'s table and nowhere else.

use tessera_database::DatabaseError;
use tessera_enclave::codec::DecodeError;
use tessera_enclave::keyring::KeyRingError;
use tessera_enclave::merge::MergeError;
use tessera_enclave::open::OpenError;
use tessera_enclave::own_message::OwnMessageError;
use tessera_enclave::payload::PayloadError;
use tessera_enclave::seal::SealError;
use tessera_enclave::security_hash::SecurityHashError;
use tessera_enclave::{PublicKey, TxHash, base64};
use tessera_store::{ReadError, WriteError};

use super::affected::{MAX_AFFECTED, MAX_AFFECTED_BYTES};
use crate::keyring::Keys;
use crate::payload_store::StoreError;
use crate::peers::PushError;
use crate::resources::BudgetError;

/// Why a use case did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nobody has announced this key.
    #[error("Recipient not found for key: {0}")]
    RecipientUnknown(PublicKey),
    /// The key is not one of ours.
    #[error("Public key {0} not found when searching for private key")]
    SenderUnknown(PublicKey),
    /// The key is ours and archived.
    #[error("Public key {0} is archived: it reads what it has received and takes part in nothing new")]
    KeyArchived(PublicKey),
    /// A peer asks for what is for this key.
    #[error(
        "this node has not seen a proof that the caller holds {0}, or another node proved that key first"
    )]
    KeyNotProven(PublicKey),
    /// There is no such transaction here.
    #[error("Message with hash {0} was not found")]
    TransactionUnknown(TxHash),
    /// There is no such raw payload here, asked for by reading.
    #[error("Raw Message with hash {0} was not found")]
    RawUnknown(TxHash),
    /// There is no such raw payload here, asked for by sending.
    #[error("Raw Transaction with hash {0} was not found")]
    RawTransactionUnknown(TxHash),
    /// There is no such privacy group here.
    #[error("Privacy group Id[{0}] not found")]
    PrivacyGroupUnknown(String),
    /// A rule of the privacy modes is broken.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A recipient's node did not answer.
    #[error("Connection error while communicating with {0}")]
    NodeOffline(String),
    /// A recipient's node refused.
    #[error("Unable to push payload to recipient url {0}")]
    PushRejected(String),
    /// None of our keys opens the payload.
    #[error("No suitable recipient keys found to decrypt payload for : {0}")]
    NoSuitableKey(TxHash),
    /// The key given as `to` is no recipient.
    #[error("recipient not found in listed keys")]
    NotListed,
    /// The mandatory recipients of a transaction that has none.
    #[error("Operation invalid. Transaction found is not a mandatory recipients privacy type")]
    NotMandatory,
    /// A pushed body is not a payload.
    #[error("payload cannot be decoded")]
    Undecodable(#[source] DecodeError),
    /// Larger than the store takes.
    #[error("payload of {0} bytes is larger than this node stores")]
    TooLarge(usize),
    /// This raw payload was sent before, to other recipients.
    #[error("the raw payload was sent before, to other recipients")]
    AlreadySent,
    /// No key is in memory yet.
    #[error("no key is loaded yet")]
    NoKeys,
    /// A configured key is missing, so "not found" could be wrong.
    #[error("a configured key is not loaded yet")]
    KeysIncomplete,
    /// The store did not answer within the deadline of a send. Recipients have the payload.
    #[error("the payload store did not answer in time")]
    StoreTimeout,
    /// The record is not here, and may be on the volume that was here before.
    #[error("{}", crate::volume::REPLACED)]
    VolumeReplaced,
    /// The request needs more memory than it gets.
    #[error(transparent)]
    Memory(#[from] BudgetError),
    /// The record is here, and its bytes are not what was written. Nothing here brings them back.
    #[error("the payload {0} is damaged on this node's disk: run `tessera-node repair` with this hash")]
    Damaged(TxHash),
    /// The store cannot say what it holds.
    #[error("the payload store cannot be read")]
    Read(#[from] ReadError),
    /// The store did not take a record.
    #[error(transparent)]
    Write(WriteError),
    /// The database did not answer, or did not take a row.
    #[error(transparent)]
    Database(DatabaseError),
    /// A stored record is no payload.
    #[error("a stored payload cannot be decoded")]
    StoredPayload(#[source] DecodeError),
    /// A stored record is in a codec of another version.
    #[error("a stored payload has the unknown codec {0}")]
    StoredCodec(u8),
    /// A key is unusable.
    #[error(transparent)]
    KeyRing(KeyRingError),
    /// A message cannot be sealed.
    #[error(transparent)]
    Seal(SealError),
    /// A payload cannot be opened.
    #[error(transparent)]
    Open(OpenError),
    /// A payload contradicts itself.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// A repeated push contradicts what is stored.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// A message that claims to be ours is not, or not the stored one.
    #[error(transparent)]
    OwnMessage(OwnMessageError),
    /// A transaction cannot be bound to one that it affects.
    #[error(transparent)]
    SecurityHash(#[from] SecurityHashError),
    /// A defect.
    #[error("{0} panicked")]
    Panicked(&'static str),
}

impl Error {
    /// This error, unless a key that is configured and not loaded could make it untrue: a ledger node must not take our
    /// being late for "not a party".
    pub(crate) fn unless_incomplete(self, keys: &Keys) -> Self {
        let depends_on_keys = matches!(
            self,
            Self::TransactionUnknown(_)
                | Self::RawUnknown(_)
                | Self::RawTransactionUnknown(_)
                | Self::SenderUnknown(_)
                | Self::NoSuitableKey(_)
                | Self::RecipientUnknown(_)
        );
        if depends_on_keys && !keys.is_complete() { Self::KeysIncomplete } else { self }
    }

    /// Whether a key of ours that is not loaded here could make it untrue, though the store was asked.
    pub(super) fn depends_on_own_keys(&self) -> bool {
        matches!(self, Self::SenderUnknown(_) | Self::NoSuitableKey(_) | Self::RecipientUnknown(_))
    }
}

/// A broken rule of the privacy modes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// Modes 1 to 3 are switched off here.
    #[error("Enhanced Privacy is not enabled")]
    Disabled,
    /// More affected transactions than are looked at for one request.
    #[error("a transaction may affect at most {MAX_AFFECTED} others, of {MAX_AFFECTED_BYTES} bytes together")]
    TooManyAffected,
    /// An affected transaction is not stored here.
    #[error("Unable to find affectedContractTransaction {0}")]
    AffectedUnknown(TxHash),
    /// A mandatory recipient is no recipient.
    #[error("One or more mandatory recipients not included in the participant list")]
    MandatoryMissing,
    /// Private state validation needs one and the same set of recipients.
    #[error("Recipients mismatched for Affected Txn {0}")]
    Recipients(TxHash),
    /// An affected transaction has another mode, or more mandatory recipients.
    #[error("Privacy metadata mismatched with Affected Txn {0}")]
    Metadata(TxHash),
    /// A recipient's node is too old.
    #[error("Transactions with enhanced privacy is not currently supported on recipient {0}")]
    PeerPrivacy(PublicKey),
    /// A recipient's node is too old for mandatory recipients.
    #[error("Transactions with mandatory recipients are not currently supported on recipient {0}")]
    PeerMandatory(PublicKey),
    /// A peer asks again for a payload that old nodes cannot read.
    #[error("Cannot resend enhanced privacy transaction in legacy resend")]
    ResendMode,
    /// The sender could not read what it claims to affect.
    #[error("Invalid security hashes identified for PSC TX TxHash[{0}]. Invalid ACOTHs: {1}")]
    SecurityHashes(TxHash, String),
}

impl Refusal {
    /// The text of several hashes.
    pub(crate) fn security_hashes<'a>(hash: TxHash, invalid: impl Iterator<Item = &'a TxHash>) -> Self {
        let list: Vec<_> = invalid.map(|hash| base64::encode(hash.as_bytes())).collect();
        Self::SecurityHashes(hash, list.join(","))
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Read(error) => Self::Read(error),
            StoreError::Write(WriteError::TooLarge { bytes, .. })
            | StoreError::Database(DatabaseError::TooLarge { bytes, .. }) => Self::TooLarge(bytes),
            StoreError::Write(error) => Self::Write(error),
            StoreError::Database(error) => Self::Database(error),
            StoreError::Panicked => Self::Panicked("reading the payload store"),
        }
    }
}

impl From<KeyRingError> for Error {
    fn from(error: KeyRingError) -> Self {
        match error {
            KeyRingError::UnknownKey(key) => Self::SenderUnknown(key),
            other => Self::KeyRing(other),
        }
    }
}

impl From<SealError> for Error {
    fn from(error: SealError) -> Self {
        match error {
            SealError::KeyRing(error) => error.into(),
            other => Self::Seal(other),
        }
    }
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::NotListed => Self::NotListed,
            OpenError::KeyRing(error) => error.into(),
            other => Self::Open(other),
        }
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        match error {
            // A payload that contradicts itself; everything else has no message in Java.
            DecodeError::Payload(error) => error.into(),
            other => Self::Undecodable(other),
        }
    }
}

impl From<OwnMessageError> for Error {
    fn from(error: OwnMessageError) -> Self {
        match error {
            OwnMessageError::Open(error) => error.into(),
            other => Self::OwnMessage(other),
        }
    }
}

impl From<PushError> for Error {
    fn from(error: PushError) -> Self {
        match error {
            PushError::Offline(uri) => Self::NodeOffline(uri),
            PushError::Rejected(url) => Self::PushRejected(url),
        }
    }
}
