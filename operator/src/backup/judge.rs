//! [pure] What becomes of a custodian's proof before the node is asked, and after.

use std::collections::BTreeMap;

use tessera_crds::api::key_backup::{
    BackupAnswer, CoveredKey, KeyBackupStatus, SealedVersion, TesseraBackupProofSpec, TesseraKeyRestoreSpec,
};
use tessera_node_api::key_backup::{CustodyAnswer, CustodyProof, RestoredKeys, SealedKey};

/// Keys of one node.
const MAX_KEYS: usize = 8;

/// What is to be done with a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The node must judge it; if it is right, it covers these versions.
    AskNode(Vec<CoveredKey>),
    /// It was taken in before.
    Accept(String),
    /// It is wrong, whatever the node says.
    Refuse(String),
}

/// What to do with the proof of `spec` for the node whose status says `backup`.
pub fn decide(spec: &TesseraBackupProofSpec, backup: Option<&KeyBackupStatus>) -> Decision {
    let (node, name) = (&spec.node_ref.name, &spec.custodian);
    let custodian = backup.and_then(|backup| backup.custodians.iter().find(|one| one.name == name.as_str()));
    let (Some(backup), Some(custodian)) = (backup, custodian) else {
        return Decision::Refuse(format!(
            "{name} is no custodian of node {node}: spec.keyBackup.recipients of its network names the custodians"
        ));
    };
    let asked = |challenge: Option<&String>| challenge.map(String::as_str) == Some(spec.challenge.as_str());
    if asked(custodian.answered.as_ref()) {
        let since = custodian.confirmed_at.as_deref().unwrap_or_default();
        return Decision::Accept(format!("the copy of {name} opens; the proof counts from {since}"));
    }
    if !asked(backup.challenge.as_ref()) {
        return Decision::Refuse(format!(
            "it answers a challenge that node {node} no longer asks: run kubectl tessera backup confirm again"
        ));
    }
    match covered(&spec.answers) {
        Ok(covers) => Decision::AskNode(covers),
        Err(why) => Decision::Refuse(why),
    }
}

/// The newest version of each key; all before it must be there.
fn covered(answers: &[BackupAnswer]) -> Result<Vec<CoveredKey>, String> {
    let mut versions: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for answer in answers {
        versions.entry(answer.key.as_str()).or_default().push(answer.version);
    }
    if versions.len() > MAX_KEYS {
        return Err(format!("it speaks of {} keys, and no node has more than {MAX_KEYS}", versions.len()));
    }
    let covered = versions.into_iter().map(|(key, mut versions)| {
        versions.sort_unstable();
        let gap = (1..).zip(&versions).find(|(expected, found)| expected != *found);
        match (gap, versions.last()) {
            (Some((missing, _)), _) => Err(format!(
                "it has no answer for version {missing} of key {key}: export the backup anew, and confirm that copy"
            )),
            (None, newest) => Ok(CoveredKey { key: key.to_owned(), version: newest.copied().unwrap_or(0) }),
        }
    });
    covered.collect()
}

/// What the node is asked.
pub fn proof(spec: &TesseraBackupProofSpec) -> CustodyProof {
    let answer = |answer: &BackupAnswer| CustodyAnswer {
        key: answer.key.to_string(),
        version: number(answer.version),
        mac: answer.mac.to_string(),
    };
    CustodyProof {
        challenge: spec.challenge.to_string(),
        custodian: spec.custodian.to_string(),
        answers: spec.answers.iter().map(answer).collect(),
    }
}

/// What the node is given.
pub fn restored(spec: &TesseraKeyRestoreSpec) -> RestoredKeys {
    let key = |key: &SealedVersion| SealedKey {
        name: key.name.to_string(),
        version: number(key.version),
        public_key: key.public_key.clone(),
        recipients: key.recipients.iter().map(ToString::to_string).collect(),
        ciphertext: key.ciphertext.clone(),
    };
    RestoredKeys { keys: spec.keys.iter().map(key).collect() }
}

/// Admission lets 1 to 256 through.
fn number(version: i32) -> u32 {
    u32::try_from(version).unwrap_or(0)
}

#[cfg(test)]
mod tests;
