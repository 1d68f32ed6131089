//! Offline backups of a node's keys: ciphertext for custodians, their proofs of custody, and restores.
//!
//! ```text
//! operator ── who the custodians are ──► tessera-node                         (dynamic_config: KeyBackup)
//! operator ◄─ what each version was sealed to, GET ─ tessera-node             (SealedKey, only ciphertext)
//! custodian ─ proof ─► operator ─ POST ─► tessera-node ─ right? ─► operator   (CustodyProof, CheckResult)
//! custodian ─ ciphertext for the node's one-time recipient ─► operator ─ POST ─► tessera-node    (RestoredKeys, CheckResult)
//! ```
//!
//! The operator never has a key: it carries ciphertext and proofs.

use serde::{Deserialize, Serialize};

/// `GET`: [`SealedKeys`]. Of the operator alone, as the status.
pub const BACKUPS_PATH: &str = "/v1/key-backups";
/// `POST` a [`CustodyProof`]: [`CheckResult`].
pub const PROOFS_PATH: &str = "/v1/key-backups/proofs";
/// `POST` [`RestoredKeys`]: [`CheckResult`].
pub const RESTORES_PATH: &str = "/v1/key-restores";

/// Custodians of one network.
pub const MAX_RECIPIENTS: usize = 16;
/// The longest body that the two `POST`s take: 256 versions of a node, each with its ciphertext.
pub const MAX_BODY_BYTES: usize = 512 << 10;

/// Who can open the backups of a node's keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyBackup {
    /// The custodians, sorted by name, 1 to [`MAX_RECIPIENTS`].
    pub recipients: Vec<BackupRecipient>,
}

/// A custodian.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackupRecipient {
    /// The name in the TesseraNetwork.
    pub name: String,
    /// The public part of an age identity: `age1…`.
    pub age: String,
}

/// The versions of a key that the node does not generate: custodians bring them back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyRestore {
    /// The public keys in base64, of version 1 first. No other key is taken for a version.
    pub public_keys: Vec<String>,
}

/// What one version of a key was sealed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupStatus {
    /// SHA-256 (lower-case hex) over the recipients that it is sealed to, in ascending order, each followed by a line feed.
    pub recipients_sha256: String,
    /// SHA-256 (lower-case hex) of the ciphertext. It differs each time that the same key is sealed.
    pub ciphertext_sha256: String,
}

/// All versions in the node's memory, sealed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SealedKeys {
    /// One entry for each version, in the order of the node's status.
    pub keys: Vec<SealedKey>,
}

/// One version of one key, sealed to the custodians. Also what a backup file has of each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SealedKey {
    /// The key's name.
    pub name: String,
    /// Its version, from 1.
    pub version: u32,
    /// The public key in base64.
    pub public_key: String,
    /// The recipients (`age1…`) that can open it, ascending.
    pub recipients: Vec<String>,
    /// An age file in ASCII armor.
    pub ciphertext: String,
}

/// A custodian's proof that their copy opens, for one challenge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CustodyProof {
    /// What is answered: a random text of the operator.
    pub challenge: String,
    /// The custodian's name in the TesseraNetwork.
    pub custodian: String,
    /// One answer for each version that the node has.
    pub answers: Vec<CustodyAnswer>,
}

/// The answer of one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CustodyAnswer {
    /// The key's name.
    pub key: String,
    /// Its version.
    pub version: u32,
    /// HMAC-SHA256 in lower-case hex, under a key that is derived from the private key.
    pub mac: String,
}

/// Keys that come back, each sealed to the node's one-time recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoredKeys {
    /// Sealed with [`SealedKey::recipients`] naming the one-time recipient alone.
    pub keys: Vec<SealedKey>,
}

/// What a node says to a proof or a restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckResult {
    /// Whether all of it was right. Of restored keys: whether the secret store has them.
    pub accepted: bool,
    /// What was wrong, and what to do; empty if nothing was.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// A version that the node awaits from a custodian, or got from one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreStatus {
    /// The key's name.
    pub key: String,
    /// Its version.
    pub version: u32,
    /// The public key that it must have.
    pub public_key: String,
    /// How far it is.
    pub state: RestoreState,
    /// The `age1…` that this process alone can open, until it ends; absent unless awaited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// What is wrong, and what to do; empty if nothing is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// How far a restore is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestoreState {
    /// A custodian must bring it.
    Awaited,
    /// What the secret store has rules it out until a person changes something.
    Failed,
    /// The secret store has it, and the node has it in memory.
    Restored,
    /// What this version does not know.
    #[serde(other)]
    Other,
}
