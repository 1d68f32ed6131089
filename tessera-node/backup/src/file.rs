//! The file that a custodian keeps offline.

use serde::{Deserialize, Serialize};
use tessera_node_api::key_backup::SealedKey;

/// What [`BackupFile::kind`] says.
pub const KIND: &str = "tessera-key-backup";
/// The format of the file.
pub const FORMAT: u32 = 1;

/// All versions of the keys of one node, sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupFile {
    /// [`KIND`].
    pub kind: String,
    /// [`FORMAT`].
    pub format: u32,
    /// The cluster as the operator names it.
    pub cluster: String,
    /// The network's namespace.
    pub namespace: String,
    /// The TesseraNetwork.
    pub network: String,
    /// The TesseraNode.
    pub node: String,
    /// The versions.
    pub keys: Vec<SealedKey>,
}

/// Why a file is no backup.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is other JSON, or none.
    #[error("the file is no backup of keys: {0}")]
    Malformed(#[from] serde_json::Error),
    /// It is of another kind.
    #[error("the file is no backup of keys: its kind is {0:?}")]
    Kind(String),
    /// It is of a later version.
    #[error("the file has format {0}, and this version reads format {FORMAT}: use a newer kubectl tessera")]
    Format(u32),
    /// Nothing is in it.
    #[error("the file has no key")]
    Empty,
}

impl BackupFile {
    /// Reads a file.
    pub fn from_json(text: &str) -> Result<Self, FileError> {
        let file: Self = serde_json::from_str(text)?;
        if file.kind != KIND {
            return Err(FileError::Kind(file.kind));
        }
        if file.format != FORMAT {
            return Err(FileError::Format(file.format));
        }
        if file.keys.is_empty() { Err(FileError::Empty) } else { Ok(file) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_are_refused_with_the_cause() {
        let file = BackupFile {
            kind: KIND.to_owned(),
            format: FORMAT,
            cluster: "c".to_owned(),
            namespace: "org-a".to_owned(),
            network: "net".to_owned(),
            node: "a".to_owned(),
            keys: Vec::new(),
        };
        let read = |file: &BackupFile| {
            BackupFile::from_json(&serde_json::to_string(file).unwrap()).unwrap_err().to_string()
        };
        assert!(read(&file).contains("no key"));
        assert!(read(&BackupFile { format: 2, ..file.clone() }).contains("newer"));
        assert!(read(&BackupFile { kind: "other".to_owned(), ..file }).contains("other"));
        assert!(BackupFile::from_json("{}").is_err());
    }
}
