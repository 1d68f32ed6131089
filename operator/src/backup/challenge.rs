//! [pure] The challenge that custodians of a node's keys answer, and what their answers count for.
//!
//! ```text
//! none ──► made ──► answered, recipients or versions changed, or older than a twelfth of challengeEvery ──► another one
//! ```
//!
//! An answer counts from the day on which its challenge was made: one that was computed early, and kept, is worth no more.

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tessera_crds::api::key_backup::{CoveredKey, CustodianStatus, KeyBackupStatus};
use tessera_crds::api::node::KeyStatus;
use tessera_node_api::dynamic_config::BackupRecipient;

use super::custodians::Custodians;

/// Challenges within the time for which an answer counts.
const CHALLENGES: i32 = 12;

/// A proof that the node found right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedProof {
    /// The custodian's name.
    pub custodian: String,
    /// What was answered.
    pub challenge: String,
    /// The versions that it covers.
    pub covers: Vec<CoveredKey>,
}

/// What the next status is made of.
pub struct Facts<'a> {
    /// The custodians; `None`: the network asks for no backup.
    pub custodians: Option<&'a Custodians>,
    /// The versions that the node has.
    pub keys: &'a [KeyStatus],
    /// Proofs that the node found right of late.
    pub accepted: &'a [AcceptedProof],
    /// A challenge that nobody has seen, should one be needed.
    pub fresh: &'a str,
    /// The time.
    pub now: Timestamp,
}

/// Challenge and custodians after those of `before`.
pub fn next(before: &KeyBackupStatus, facts: &Facts<'_>) -> KeyBackupStatus {
    let mut status = before.clone();
    let answered = take_in(&mut status, facts.accepted);
    let recipients = facts.custodians.map(Custodians::usable).unwrap_or_default();
    status.custodians = recipients.iter().map(|one| custodian(one, &status.custodians)).collect();
    if recipients.is_empty() || facts.keys.is_empty() {
        (status.challenge, status.since, status.subject) = (None, None, None);
        return status;
    }
    let subject = subject(recipients, facts.keys);
    let stays = !answered && status.subject.as_ref() == Some(&subject) && !is_old(&status, facts);
    if status.challenge.is_none() || !stays {
        status.challenge = Some(facts.fresh.to_owned());
        status.since = Some(facts.now.to_string().into());
        status.subject = Some(subject);
    }
    status
}

/// Notes the proofs that answer the challenge; whether there is one.
fn take_in(status: &mut KeyBackupStatus, accepted: &[AcceptedProof]) -> bool {
    let mut answered = false;
    for proof in accepted.iter().filter(|proof| status.challenge.as_ref() == Some(&proof.challenge)) {
        let custodian = status.custodians.iter_mut().find(|one| one.name == proof.custodian);
        let Some(custodian) = custodian else { continue };
        custodian.confirmed_at.clone_from(&status.since);
        custodian.answered = Some(proof.challenge.clone());
        custodian.covers.clone_from(&proof.covers);
        answered = true;
    }
    answered
}

/// With another age recipient a custodian has proven nothing.
fn custodian(recipient: &BackupRecipient, known: &[CustodianStatus]) -> CustodianStatus {
    let same = known.iter().find(|one| one.name == recipient.name && one.age == recipient.age);
    same.cloned().unwrap_or_else(|| CustodianStatus {
        name: recipient.name.clone(),
        age: recipient.age.clone(),
        confirmed_at: None,
        answered: None,
        covers: Vec::new(),
    })
}

/// A challenge of the future is old, too: the clock was set back.
fn is_old(status: &KeyBackupStatus, facts: &Facts<'_>) -> bool {
    let since = status.since.as_deref().and_then(|since| since.parse::<Timestamp>().ok());
    let (Some(since), Some(custodians)) = (since, facts.custodians) else { return true };
    since > facts.now || facts.now.duration_since(since) >= custodians.challenge_every / CHALLENGES
}

/// Names what a challenge is made for.
fn subject(recipients: &[BackupRecipient], keys: &[KeyStatus]) -> String {
    let mut hash = Sha256::new();
    for one in recipients {
        hash.update(format!("{} {}\n", one.name, one.age));
    }
    for key in keys {
        hash.update(format!("{} {} {}\n", key.name, key.version, key.public_key));
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests;
