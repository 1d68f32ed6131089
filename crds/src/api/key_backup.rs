//! Offline backups of keys: who keeps them, how custodians prove that their copies open, and how keys come back.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::name::{AgeRecipient, Duration, Hex32, Name, Timestamp};
use super::{rules, schema};

/// Who can open the backups of the keys of a network's nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.threshold <= self.recipients.size()")
        .message("keyBackup.threshold must not exceed the number of recipients").field_path(".threshold"),
    validation = Rule::new("self.recipients.all(r, self.recipients.exists_one(q, q.age == r.age))")
        .message("keyBackup.recipients: each custodian must have an age recipient of their own").field_path(".recipients"),
)]
pub struct KeyBackup {
    /// The custodians. Each node seals each version of its keys to all of them together, and each of them alone can open it.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub recipients: Vec<Custodian>,
    /// How many custodians must have shown within challengeEvery that their copies open, so that the checklist's line OfflineKeyBackup is
    /// satisfied.
    #[serde(default = "KeyBackup::default_threshold")]
    #[schemars(range(min = 1, max = 16))]
    pub threshold: i32,
    /// How long a custodian's proof counts, 1h to 8760h.
    #[serde(default = "KeyBackup::default_challenge_every")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1h') && duration(self) <= duration('8760h')")
        .message("challengeEvery must be 1h to 8760h"))]
    pub challenge_every: Duration,
}

impl KeyBackup {
    fn default_threshold() -> i32 {
        1
    }

    fn default_challenge_every() -> Duration {
        Duration::from_hours(2160)
    }
}

/// A person who keeps copies of backups offline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Custodian {
    /// The custodian's name, for commands and messages.
    pub name: Name,
    /// The public part of the custodian's age identity, as age-keygen -y prints it. The identity itself stays offline.
    pub age: AgeRecipient,
}

/// The versions of a key that custodians bring back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyRestore {
    /// The public keys in base64, of version 1 first. The node takes no other key for these versions, and generates none of them.
    #[schemars(schema_with = "schema::public_keys")]
    pub public_keys: Vec<String>,
}

/// The backup of one version of a key, as the operator keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionBackup {
    /// SHA-256 of the ciphertext in the ConfigMap, in lower-case hexadecimal.
    #[schemars(length(max = 64))]
    pub fingerprint: String,
    /// The names of the custodians that can open it.
    #[schemars(length(max = 16), inner(length(max = 40)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub recipients: Vec<String>,
}

/// The backup of a node's keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyBackupStatus {
    /// The ConfigMap of the operator's namespace with the ciphertext; absent until there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub config_map: Option<String>,
    /// What custodians answer: 32 random bytes in hexadecimal. Another takes its place once it is answered, when recipients or versions of
    /// keys change, and with time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub challenge: Option<String>,
    /// Since when the challenge is this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Names the recipients and the versions of keys that the challenge was made for: SHA-256 in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub subject: Option<String>,
    /// The recipients of the network, with what each of them has proven.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub custodians: Vec<CustodianStatus>,
    /// The versions that custodians must bring back, with the recipient that each is sealed to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["key".into(), "version".into()]))]
    pub restore_recipients: Vec<RestoreRecipient>,
}

/// What a custodian has proven for a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustodianStatus {
    /// The custodian's name.
    #[schemars(length(max = 40))]
    pub name: String,
    /// The custodian's age recipient. With another one nothing is proven.
    #[schemars(length(max = 62))]
    pub age: String,
    /// When the challenge was made that the custodian answered last; absent: none was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<Timestamp>,
    /// The challenge that the custodian answered last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub answered: Option<String>,
    /// The versions that the answer covered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["key".into()]))]
    pub covers: Vec<CoveredKey>,
}

/// The versions of one key that a custodian's answer covered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CoveredKey {
    /// The key's name.
    #[schemars(length(max = 40))]
    pub key: String,
    /// The newest version of it; all before it are covered too.
    pub version: i32,
}

/// Where a custodian seals a version to, so that the node gets it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreRecipient {
    /// The key's name.
    #[schemars(length(max = 40))]
    pub key: String,
    /// The version.
    pub version: i32,
    /// The public key that it must have, in base64.
    #[schemars(length(max = 44))]
    pub public_key: String,
    /// The age recipient that the node's process alone can open, until it ends.
    #[schemars(length(max = 62))]
    pub recipient: String,
}

/// A node of this namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeRef {
    /// The node's name.
    pub name: Name,
}

/// What a custodian proves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "tessera.rs",
    version = "v1alpha1",
    kind = "TesseraBackupProof",
    plural = "tesserabackupproofs",
    shortname = "tbp",
    category = "tessera",
    namespaced,
    status = "JudgedStatus",
    derive = "PartialEq",
    doc = "TesseraBackupProof is a custodian's proof that their copy of the backup of a node's keys opens. kubectl tessera backup confirm makes it. Immutable; it is judged once.",
    validation = rules::immutable_proof_rule(),
    selectable = ".spec.nodeRef.name",
    printcolumn(name = "Node", type_ = "string", json_path = ".spec.nodeRef.name", description = "The node whose keys it speaks of."),
    printcolumn(name = "Custodian", type_ = "string", json_path = ".spec.custodian", description = "Who proves custody."),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state", description = "Accepted or Refused; empty until it is judged."),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "Time since it was made.")
)]
#[serde(rename_all = "camelCase")]
pub struct TesseraBackupProofSpec {
    /// The node, in this namespace, whose keys it speaks of.
    pub node_ref: NodeRef,
    /// The custodian's name in the network's keyBackup.recipients.
    pub custodian: Name,
    /// The challenge that is answered, as the node's status.keyBackup.challenge had it.
    pub challenge: Hex32,
    /// One answer for each version of each key that the node has.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["key".into(), "version".into()]))]
    pub answers: Vec<BackupAnswer>,
}

/// The answer for one version of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupAnswer {
    /// The key's name.
    pub key: Name,
    /// The version.
    #[schemars(range(min = 1, max = 256))]
    pub version: i32,
    /// HMAC-SHA256 over the challenge, in lower-case hexadecimal, under a key that only the private key gives.
    pub mac: Hex32,
}

/// What became of what a custodian sent: a proof, or keys that come back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JudgedStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Accepted: the node found all of it right, and of keys that come back the secret store has all. Refused: something was wrong.
    /// Absent until the node has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<JudgedState>,
    /// Why, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// What became of what a custodian sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum JudgedState {
    /// The node found all of it right.
    Accepted,
    /// Something was wrong; the message says what.
    Refused,
}

/// The keys that a custodian brings back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "tessera.rs",
    version = "v1alpha1",
    kind = "TesseraKeyRestore",
    plural = "tesserakeyrestores",
    shortname = "tkr",
    category = "tessera",
    namespaced,
    status = "JudgedStatus",
    derive = "PartialEq",
    doc = "TesseraKeyRestore brings keys of a node back from a backup, sealed to the node's process alone. kubectl tessera backup restore makes it. Immutable; the node takes it once.",
    validation = rules::immutable_restore_rule(),
    selectable = ".spec.nodeRef.name",
    printcolumn(name = "Node", type_ = "string", json_path = ".spec.nodeRef.name", description = "The node whose keys come back."),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state", description = "Accepted or Refused; empty until the node has answered."),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "Time since it was made.")
)]
#[serde(rename_all = "camelCase")]
pub struct TesseraKeyRestoreSpec {
    /// The node, in this namespace, whose keys come back.
    pub node_ref: NodeRef,
    /// The versions that come back.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into(), "version".into()]))]
    pub keys: Vec<SealedVersion>,
}

/// One version of a key, sealed to the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SealedVersion {
    /// The key's name.
    pub name: Name,
    /// The version.
    #[schemars(range(min = 1, max = 256))]
    pub version: i32,
    /// The public key in base64.
    #[schemars(schema_with = "schema::public_key")]
    pub public_key: String,
    /// The age recipient that it is sealed to: the one of the node's status.keyBackup.restoreRecipients, and no other.
    #[schemars(length(min = 1, max = 1))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub recipients: Vec<AgeRecipient>,
    /// An age file in ASCII armor.
    #[schemars(length(min = 1, max = 4096))]
    pub ciphertext: String,
}
