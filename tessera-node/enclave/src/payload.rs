//! The encrypted payload: what peers exchange and stores keep.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use bytes::Bytes;

use crate::hash::{SecurityHash, TxHash};
use crate::key::{Nonce, PublicKey};

/// How much the recipients of a transaction know of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum PrivacyMode {
    /// Flag 0.
    #[default]
    StandardPrivate,
    /// Flag 1.
    PartyProtection,
    /// Flag 2.
    MandatoryRecipients,
    /// Flag 3.
    PrivateStateValidation,
}

impl PrivacyMode {
    /// The mode of a flag. A flag that is not known counts as 0, on every interface.
    pub fn from_flag(flag: u64) -> Self {
        match flag {
            1 => Self::PartyProtection,
            2 => Self::MandatoryRecipients,
            3 => Self::PrivateStateValidation,
            _ => Self::StandardPrivate,
        }
    }

    /// The flag of this mode.
    pub fn flag(self) -> u8 {
        match self {
            Self::StandardPrivate => 0,
            Self::PartyProtection => 1,
            Self::MandatoryRecipients => 2,
            Self::PrivateStateValidation => 3,
        }
    }
}

/// What a payload says about privacy, beside its mode.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PrivacyMetadata {
    /// The mode.
    pub mode: PrivacyMode,
    /// The transactions whose contracts this one touches.
    pub affected: BTreeMap<TxHash, SecurityHash>,
    /// The text that the client gave, as bytes; empty unless the mode is private state validation.
    pub exec_hash: Bytes,
    /// Who must take part; empty unless the mode is mandatory recipients.
    pub mandatory_recipients: BTreeSet<PublicKey>,
    /// The privacy group that the recipients come from.
    pub privacy_group_id: Option<Bytes>,
}

/// The members of a payload, for building and taking apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PayloadParts {
    /// Who sent it.
    pub sender: PublicKey,
    /// The message, sealed with the master key.
    pub cipher_text: Bytes,
    /// The nonce of `cipher_text`.
    pub cipher_text_nonce: Nonce,
    /// The master key, sealed per recipient. At a recipient: newest first, its own only.
    pub recipient_boxes: Vec<Bytes>,
    /// The one nonce of all boxes.
    pub recipient_nonce: Nonce,
    /// Key `i` opens box `i`, as far as there are boxes.
    pub recipient_keys: Vec<PublicKey>,
    /// Mode and what belongs to it.
    pub privacy: PrivacyMetadata,
}

/// A payload whose mode and metadata agree. Read its [`PayloadParts`] directly; a changed one is made by
/// [`EncodedPayload::new`] and thereby checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedPayload(PayloadParts);

/// A payload that contradicts itself, or was asked for what it does not hold.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
#[non_exhaustive]
pub enum PayloadError {
    /// An execution hash without private state validation, or the reverse.
    #[error("ExecutionHash data is invalid")]
    ExecutionHash,
    /// Mandatory recipients without their mode, or the reverse.
    #[error(
        "Mandatory recipients data only applicable for Mandatory Recipients privacy mode. \
         In case no mandatory recipient is required, consider using Party Protection privacy mode"
    )]
    MandatoryRecipients,
    /// The trailing space is Java's.
    #[error("Recipient {0} is not a recipient of transaction ")]
    NotARecipient(PublicKey),
    /// The text of the Java list access that meets the end of the boxes.
    #[error("Index {index} out of bounds for length {length}")]
    NoBox {
        /// The box asked for.
        index: usize,
        /// How many there are.
        length: usize,
    },
}

impl PrivacyMetadata {
    /// Refuses metadata that its mode does not have, and a mode that lacks its metadata.
    pub fn check(&self) -> Result<(), PayloadError> {
        let validates_state = self.mode == PrivacyMode::PrivateStateValidation;
        if validates_state == self.exec_hash.is_empty() {
            return Err(PayloadError::ExecutionHash);
        }
        let has_mandatory = self.mode == PrivacyMode::MandatoryRecipients;
        if has_mandatory == self.mandatory_recipients.is_empty() {
            return Err(PayloadError::MandatoryRecipients);
        }
        Ok(())
    }
}

impl EncodedPayload {
    /// Checks the parts and makes them a payload.
    pub fn new(parts: PayloadParts) -> Result<Self, PayloadError> {
        parts.privacy.check()?;
        Ok(Self(parts))
    }

    /// The parts, for changing them.
    pub fn into_parts(self) -> PayloadParts {
        self.0
    }

    /// The transaction's name.
    pub fn hash(&self) -> TxHash {
        TxHash::of(&self.cipher_text)
    }

    /// What is pushed to one recipient: its box alone; of the keys all with its own in front where the recipients
    /// validate state together, else only its own.
    pub fn for_recipient(&self, recipient: &PublicKey) -> Result<Self, PayloadError> {
        let index = self.key_index(recipient).ok_or(PayloadError::NotARecipient(*recipient))?;
        let recipient_boxes = vec![self.box_at(index)?.clone()];
        let recipient_keys = match self.privacy.mode {
            PrivacyMode::PrivateStateValidation => self.keys_led_by(recipient),
            _ => vec![*recipient],
        };
        Ok(Self(PayloadParts {
            recipient_boxes,
            recipient_keys,
            sender: self.sender,
            cipher_text: self.cipher_text.clone(),
            cipher_text_nonce: self.cipher_text_nonce.clone(),
            recipient_nonce: self.recipient_nonce.clone(),
            privacy: self.privacy.clone(),
        }))
    }

    /// The payload without these affected transactions: their security hashes were wrong.
    #[must_use]
    pub fn without_affected(mut self, invalid: &BTreeSet<TxHash>) -> Self {
        self.0.privacy.affected.retain(|hash, _| !invalid.contains(hash));
        self
    }

    /// The payload, bound to the transactions that it affects.
    #[must_use]
    pub fn with_affected(mut self, affected: BTreeMap<TxHash, SecurityHash>) -> Self {
        self.0.privacy.affected = affected;
        self
    }

    pub(crate) fn key_index(&self, key: &PublicKey) -> Option<usize> {
        self.recipient_keys.iter().position(|listed| listed == key)
    }

    pub(crate) fn box_at(&self, index: usize) -> Result<&Bytes, PayloadError> {
        self.recipient_boxes
            .get(index)
            .ok_or(PayloadError::NoBox { index, length: self.recipient_boxes.len() })
    }

    /// The recipient keys with `first` moved to the front.
    pub(crate) fn keys_led_by(&self, first: &PublicKey) -> Vec<PublicKey> {
        let others = self.recipient_keys.iter().filter(|key| *key != first);
        std::iter::once(first).chain(others).copied().collect()
    }
}

impl Deref for EncodedPayload {
    type Target = PayloadParts;

    fn deref(&self) -> &PayloadParts {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(privacy: PrivacyMetadata) -> String {
        let parts = PayloadParts { privacy, ..PayloadParts::default() };
        EncodedPayload::new(parts).expect_err("contradiction").to_string()
    }

    #[test]
    fn an_execution_hash_belongs_to_state_validation() {
        let text = "ExecutionHash data is invalid";
        let stray = PrivacyMetadata { exec_hash: "hash".into(), ..PrivacyMetadata::default() };
        assert_eq!(refused(stray), text);
        let lacking =
            PrivacyMetadata { mode: PrivacyMode::PrivateStateValidation, ..PrivacyMetadata::default() };
        assert_eq!(refused(lacking), text);
    }

    #[test]
    fn mandatory_recipients_belong_to_their_mode() {
        let text = "Mandatory recipients data only applicable for Mandatory Recipients privacy mode. \
                    In case no mandatory recipient is required, consider using Party Protection privacy mode";
        let keys = BTreeSet::from([PublicKey::from([1; 32])]);
        let stray = PrivacyMetadata { mandatory_recipients: keys, ..PrivacyMetadata::default() };
        assert_eq!(refused(stray), text);
        let lacking =
            PrivacyMetadata { mode: PrivacyMode::MandatoryRecipients, ..PrivacyMetadata::default() };
        assert_eq!(refused(lacking), text);
    }

    #[test]
    fn a_stranger_gets_nothing() {
        let payload = EncodedPayload::new(PayloadParts::default()).expect("consistent");
        let refused = payload.for_recipient(&PublicKey::from([0; 32])).expect_err("a stranger");
        assert_eq!(
            refused.to_string(),
            "Recipient AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= is not a recipient of transaction "
        );
    }

    #[test]
    fn a_recipient_whose_box_is_elsewhere_gets_nothing() {
        let key = PublicKey::from([1; 32]);
        let parts = PayloadParts { recipient_keys: vec![key], ..PayloadParts::default() };
        let payload = EncodedPayload::new(parts).expect("consistent");
        assert_eq!(payload.for_recipient(&key), Err(PayloadError::NoBox { index: 0, length: 0 }));
    }

    #[test]
    fn an_unknown_flag_is_standard_private() {
        for mode in (0..4).map(PrivacyMode::from_flag) {
            assert_eq!(PrivacyMode::from_flag(mode.flag().into()), mode);
        }
        assert_eq!(PrivacyMode::from_flag(7), PrivacyMode::StandardPrivate);
    }
}
