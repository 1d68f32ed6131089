//! Keys of a node: what is asked for, and what became of them.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::key_backup::{KeyRestore, VersionBackup};
use super::name::{ConfigKey, Duration, Name, ObjectName, Timestamp};
use super::schema;

/// A key of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.restore) || !has(self.__import__)")
    .message("keys[].restore: a key is either imported or restored").field_path(".restore"))]
pub struct Key {
    /// The key's name, part of its path in the secret store.
    pub name: Name,
    /// True for the key that is used for sends that name none; exactly one key has it.
    #[serde(default)]
    pub default: bool,
    /// Vault: the private key is kept in the network's secret store. Immutable.
    #[x_kube(validation = Rule::new("self == oldSelf").message("keys[].type is immutable: a key does not move"))]
    pub r#type: KeyType,
    /// Adopts the key of a Java Tessera: the node generates no version 1, and writes this one to the secret store, once. The
    /// Secrets are read until then; afterwards they, and this field, can be deleted. It may be changed only until status.keys
    /// has the key, and removed only after that; a key that status.keys has gets none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<KeyImport>,
    /// Brings versions back that the secret store lost: the node generates none of them, and waits for custodians (kubectl tessera backup
    /// restore). A version that status.keys has keeps its public key here; this field can be removed, and its list become shorter, once
    /// status.keys has the last of its versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<KeyRestore>,
    /// When the key is followed by a new version.
    #[serde(default)]
    pub rotation: Rotation,
    /// Versions that take part in nothing new: not advertised, no sends, no pushes; they read what they have received. Look at
    /// status.keys first: contracts that name such a version as participant can no longer be updated. Irreversible once
    /// status.keys says Archived. The newest version of the default key cannot be archived.
    #[serde(default)]
    #[schemars(length(max = 64), inner(range(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub archive: Vec<i32>,
}

/// A key of a Java Tessera, to be adopted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyImport {
    /// The Secret of this namespace with the private key file that Java Tessera's keygen wrote (tm.key), locked or not. Only the
    /// node's pod reads the Secret; the operator does not.
    pub secret_ref: SecretKeyRef,
    /// The Secret with the password of a locked file, on one line; absent for a file that is not locked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<SecretKeyRef>,
    /// The public key that the file must give: what stands in tm.pub. Absent: any is adopted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::public_key")]
    pub public_key: Option<String>,
}

/// A part of a Secret of this namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// The Secret's name.
    pub name: ObjectName,
    /// The key in the Secret's data.
    pub key: ConfigKey,
}

/// Where a private key is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum KeyType {
    /// In the network's secret store.
    Vault,
}

/// When a key is followed by a new version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rotation {
    /// Add one to ask for a new version; each is a permanent address. It may be taken back for versions that status.keys does
    /// not have.
    #[serde(default)]
    #[schemars(range(min = 0, max = 255))]
    pub trigger: i32,
    /// How old the newest version may be before another follows by itself; absent: it stays until the trigger is raised. A node
    /// has at most 256 versions of all its keys together, and each is a permanent address: think in months.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1h')")
        .message("rotation.every must be at least 1h: each version is a permanent address"))]
    pub every: Option<Duration>,
}

/// One version of one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyStatus {
    /// The key's name in the spec.
    #[schemars(length(max = 63))]
    pub name: String,
    /// The version, from 1.
    pub version: i32,
    /// The public key in base64.
    #[schemars(length(max = 44))]
    pub public_key: String,
    /// Default: new sends use it. Receiving: it accepts pushes. Archived: it only reads.
    pub state: KeyState,
    /// True for a version that was adopted by import; absent: the node generated the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<bool>,
    /// When the node generated or adopted the version, as stamped in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub born_at: Option<Timestamp>,
    /// Where the key lies in the secret store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreLocation>,
    /// The rotation.trigger that this version answers, as stamped in the store; a version by schedule has that of the version
    /// before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<i32>,
    /// When a node was last seen to accept a push for this version while it was not the default, give or take an hour;
    /// absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_push_at: Option<Timestamp>,
    /// The backup of the version that the operator keeps for custodians; absent: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<VersionBackup>,
}

/// What a key is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum KeyState {
    /// New sends that name no key use it; advertised.
    Default,
    /// Advertised, accepts pushes, may be named in a send.
    Receiving,
    /// Not advertised, refuses pushes and sends; reads what it has received.
    Archived,
}

/// A place in the secret store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoreLocation {
    /// Mount and path.
    pub path: String,
    /// The version of the secret.
    pub version: i64,
}
