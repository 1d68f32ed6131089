//! The backup of a key in the key's own record: the key, sealed to custodians when it was generated or adopted.
//!
//! Only text that no node can open. It never decides whether a key is used: whatever stands there, the key is read.

use std::pin::Pin;
use std::sync::Arc;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use tessera_enclave::KeyPair;
use tessera_node_api::key_backup::MAX_RECIPIENTS;

/// A key with the most recipients has about 5 KiB.
const MAX_CIPHERTEXT: usize = 16 << 10;
/// An `age1…` has 62 bytes.
const MAX_RECIPIENT: usize = 128;

/// A version of a key, sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredBackup {
    /// The recipients (`age1…`) that can open it, ascending.
    pub recipients: Vec<String>,
    /// An age file in ASCII armor.
    pub ciphertext: String,
}

/// Seals a new key, of this name and version, before its record is written. None: it is sealed to nobody.
pub type SealBackup = Box<dyn Fn(&str, u32, Arc<KeyPair>) -> SealedBackup + Send + Sync>;
/// See [`SealBackup`].
pub type SealedBackup = Pin<Box<dyn Future<Output = Option<StoredBackup>> + Send>>;

impl StoredBackup {
    fn is_bounded(&self) -> bool {
        self.ciphertext.len() <= MAX_CIPHERTEXT
            && self.recipients.len() <= MAX_RECIPIENTS
            && self.recipients.iter().all(|recipient| recipient.len() <= MAX_RECIPIENT)
    }
}

/// Reads what is no backup of ours, or too long for one, as none.
pub(super) fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<StoredBackup>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Member {
        Backup(StoredBackup),
        Other(IgnoredAny),
    }
    Ok(match Member::deserialize(deserializer)? {
        Member::Backup(backup) if backup.is_bounded() => Some(backup),
        Member::Backup(_) | Member::Other(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(member: Value) -> Option<StoredBackup> {
        lenient(member).unwrap()
    }

    #[test]
    fn a_backup_is_read_and_anything_else_is_none() {
        let good = json!({"recipients": ["age1a", "age1b"], "ciphertext": "-----BEGIN"});
        assert_eq!(read(good.clone()).unwrap().recipients, ["age1a", "age1b"]);
        let with = |member: &str, value: Value| {
            let mut other = good.clone();
            other[member] = value;
            other
        };
        for bad in [
            Value::Null,
            json!("later"),
            json!(7),
            json!({"ciphertext": "x"}),
            with("recipients", json!("age1a")),
            with("recipients", json!(vec!["age1a"; MAX_RECIPIENTS + 1])),
            with("recipients", json!(["a".repeat(MAX_RECIPIENT + 1)])),
            with("ciphertext", json!("x".repeat(MAX_CIPHERTEXT + 1))),
        ] {
            assert_eq!(read(bad), None);
        }
    }
}
