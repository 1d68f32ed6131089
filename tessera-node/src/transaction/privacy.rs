//! The rules of the privacy modes: pure.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tessera_enclave::{EncodedPayload, PrivacyMetadata, PrivacyMode, PublicKey, TxHash};

use super::affected::{Affected, Known};
use super::{Error, Refusal};

/// What a client asks for, beside message and recipients.
#[derive(Debug, Clone, Default)]
pub(crate) struct PrivacyRequest {
    pub(crate) mode: PrivacyMode,
    pub(crate) affected: BTreeSet<TxHash>,
    pub(crate) exec_hash: Bytes,
    pub(crate) mandatory_recipients: BTreeSet<PublicKey>,
}

impl PrivacyRequest {
    /// As it goes into the payload; security hashes are added when it is sealed.
    pub(super) fn metadata(&self) -> PrivacyMetadata {
        PrivacyMetadata {
            mode: self.mode,
            affected: BTreeMap::new(),
            exec_hash: self.exec_hash.clone(),
            mandatory_recipients: self.mandatory_recipients.clone(),
            privacy_group_id: None,
        }
    }
}

/// Whether a send may go out. In Java's order: the first broken rule is the answer.
pub(super) fn check_send(
    request: &PrivacyRequest,
    known: &Known,
    recipients: &[PublicKey],
    enabled: bool,
) -> Result<(), Error> {
    let has_mandatory = !request.mandatory_recipients.is_empty();
    if has_mandatory != (request.mode == PrivacyMode::MandatoryRecipients) {
        return Err(tessera_enclave::payload::PayloadError::MandatoryRecipients.into());
    }
    if let Some(unknown) = request.affected.iter().find(|hash| !known.contains_key(hash)) {
        return Err(Refusal::AffectedUnknown(*unknown).into());
    }
    check_mode(request.mode, enabled)?;
    let all: BTreeSet<_> = recipients.iter().collect();
    if !request.mandatory_recipients.iter().all(|key| all.contains(key)) {
        return Err(Refusal::MandatoryMissing.into());
    }
    if request.mode == PrivacyMode::PrivateStateValidation {
        same_recipients(&all, known)?;
    }
    for (hash, affected) in known {
        if !agrees(affected, request.mode, &request.mandatory_recipients) {
            return Err(Refusal::Metadata(*hash).into());
        }
    }
    Ok(())
}

/// What to do with a push.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PushDecision {
    /// Store it.
    Accept,
    /// Answer as if it were stored. The reason is for the log.
    Ignore(&'static str),
}

/// Refuses a mode that is switched off here.
pub(super) fn check_mode(mode: PrivacyMode, enabled: bool) -> Result<(), Refusal> {
    if mode == PrivacyMode::StandardPrivate || enabled { Ok(()) } else { Err(Refusal::Disabled) }
}

/// Whether a pushed payload is taken, given the affected transactions that are stored here.
pub(super) fn check_push(payload: &EncodedPayload, known: &Known) -> Result<PushDecision, Refusal> {
    let privacy = &payload.privacy;
    let agree = |affected| agrees(affected, privacy.mode, &privacy.mandatory_recipients);
    if !known.values().all(agree) {
        return Ok(PushDecision::Ignore("an affected transaction has other privacy metadata"));
    }
    if privacy.mode != PrivacyMode::PrivateStateValidation {
        return Ok(PushDecision::Accept);
    }
    if known.len() != privacy.affected.len() {
        return Ok(PushDecision::Ignore("an affected transaction is not stored here (yet)"));
    }
    if !known.values().all(|affected| affected.recipient_keys.contains(&payload.sender)) {
        return Ok(PushDecision::Ignore("its sender is no party to an affected transaction"));
    }
    same_recipients(&payload.recipient_keys.iter().collect(), known)?;
    Ok(PushDecision::Accept)
}

fn same_recipients(recipients: &BTreeSet<&PublicKey>, known: &Known) -> Result<(), Refusal> {
    let differs =
        |affected: &Affected| affected.recipient_keys.iter().collect::<BTreeSet<_>>() != *recipients;
    match known.iter().find(|(_, affected)| differs(affected)) {
        Some((hash, _)) => Err(Refusal::Recipients(*hash)),
        None => Ok(()),
    }
}

fn agrees(affected: &Affected, mode: PrivacyMode, mandatory: &BTreeSet<PublicKey>) -> bool {
    affected.mode == mode && affected.mandatory_recipients.is_subset(mandatory)
}

#[cfg(test)]
mod tests;
