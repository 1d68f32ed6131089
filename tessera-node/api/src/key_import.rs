//! Keys that a node adopts from the key files of a Java Tessera, instead of generating their first version.

use serde::{Deserialize, Serialize};

/// Where the first version of a key comes from. The files may be absent: the node awaits them, and does not read them once the
/// secret store has the version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyImport {
    /// The private key file that Java Tessera's `keygen` wrote.
    pub file: String,
    /// The password of a locked file, on one line; absent: the file is not locked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<String>,
    /// The public key that the file must give, in base64; absent: any is adopted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
}

/// What became of a key that is to be imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportStatus {
    /// The key's name.
    pub key: String,
    /// How far it is.
    pub state: ImportState,
    /// What is missing or wrong, and what to do; empty when adopted. No part of a secret.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Whether the key file, or the file with its password, is in the pod now.
    pub files_present: bool,
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImportState {
    /// A file is not there yet, or the secret store was not asked yet.
    Awaited,
    /// The files, or what the secret store has, rule the import out until a person changes something.
    Failed,
    /// The secret store has the key as version 1, and the node has it in memory.
    Adopted,
    /// What this version does not know.
    #[serde(other)]
    Other,
}
