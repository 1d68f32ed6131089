//! To whom keys are sealed, and which keys custodians bring back: a pure part of the dynamic configuration.

use tessera_backup::{RecipientError, Recipients};
use tessera_enclave::PublicKey;
use tessera_node_api::dynamic_config::{Key, KeyBackup};
use tessera_node_api::key_backup::MAX_RECIPIENTS;

/// Why the recipients, or a restore, are not used.
#[derive(Debug, thiserror::Error)]
pub enum KeyBackupError {
    /// Nobody, or more than a backup may be sealed to.
    #[error("keyBackup must have 1 to {MAX_RECIPIENTS} recipients, and has {0}")]
    Recipients(usize),
    /// The names are not in order.
    #[error(
        "keyBackup.recipients: {0:?} must be 1 to 63 bytes, and must follow the name before it in ascending order"
    )]
    Name(String),
    /// An age text is none.
    #[error("keyBackup.recipients: {name:?} cannot be used")]
    Recipient {
        /// The custodian.
        name: String,
        /// What is wrong.
        source: RecipientError,
    },
    /// A key would come from two places.
    #[error("keys: {0:?} has both import and restore: leave one of them out")]
    ImportAndRestore(String),
    /// No version is brought back, or one that the key does not have.
    #[error("keys: {name:?} must have 1 to {versions} restore.publicKeys, and has {count}")]
    RestoredVersions {
        /// The key.
        name: String,
        /// Its versions.
        versions: u32,
        /// The versions that are brought back.
        count: usize,
    },
    /// A public key is none.
    #[error("keys: {name:?}: restore.publicKeys: that of version {version} is not the base64 of 32 bytes")]
    PublicKey {
        /// The key.
        name: String,
        /// The version.
        version: u32,
    },
}

/// All of them.
pub fn recipients(backup: &KeyBackup) -> Result<Recipients, KeyBackupError> {
    let count = backup.recipients.len();
    if count == 0 || count > MAX_RECIPIENTS {
        return Err(KeyBackupError::Recipients(count));
    }
    let mut before = "";
    for recipient in &backup.recipients {
        let name = recipient.name.as_str();
        if name <= before || name.len() > 63 {
            return Err(KeyBackupError::Name(name.to_owned()));
        }
        before = name;
        // Each by itself, so that the error has the custodian's name.
        Recipients::parse([recipient.age.as_str()])
            .map_err(|source| KeyBackupError::Recipient { name: name.to_owned(), source })?;
    }
    let all = Recipients::parse(backup.recipients.iter().map(|recipient| recipient.age.as_str()));
    all.map_err(|source| KeyBackupError::Recipient { name: before.to_owned(), source })
}

/// Checks what `key` has of a restore.
pub(super) fn check_restore(key: &Key) -> Result<(), KeyBackupError> {
    let Some(restore) = &key.restore else { return Ok(()) };
    let (name, count) = (|| key.name.clone(), restore.public_keys.len());
    if key.import.is_some() {
        return Err(KeyBackupError::ImportAndRestore(name()));
    }
    let too_many = u32::try_from(count).map_or(true, |count| count > key.versions);
    if count == 0 || too_many {
        return Err(KeyBackupError::RestoredVersions { name: name(), versions: key.versions, count });
    }
    // A name of any length is a public key to Tessera, and none that a private key gives.
    let is_key = |text: &String| text.parse().is_ok_and(|key: PublicKey| key.as_bytes().len() == 32);
    match restore.public_keys.iter().zip(1..).find(|(text, _)| !is_key(text)) {
        Some((_, version)) => Err(KeyBackupError::PublicKey { name: name(), version }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tessera_backup::Identity;

    use super::super::dynamic::{self, Dynamic, DynamicError, Texts};

    const PUBLIC: &str = "BULeR8JyUWhiuuCMU/HLA0Q5pzkYT+cHII3ZKBey3Bo=";

    fn with(backup: Option<Value>, key: &Value) -> Result<Dynamic, DynamicError> {
        let mut file = json!({"version": 1, "clients": [], "monitoring": [], "keys": [
            {"name": "main", "versions": 2, "default": true}
        ]});
        file["keys"][0].as_object_mut().unwrap().extend(key.as_object().unwrap().clone());
        if let Some(backup) = backup {
            file["keyBackup"] = backup;
        }
        dynamic::parse(Texts { own: file.to_string().as_bytes(), ..Texts::default() })
    }

    fn recipients(names: &[&str]) -> Value {
        let age = || Identity::generate().recipient();
        json!({"recipients": names.iter().map(|name| json!({"name": name, "age": age()})).collect::<Vec<_>>()})
    }

    #[test]
    fn recipients_are_parsed_and_may_be_absent() {
        assert_eq!(with(None, &json!({})).unwrap().backup_recipients, None);
        let two = with(Some(recipients(&["alice", "bob"])), &json!({})).unwrap().backup_recipients.unwrap();
        assert_eq!(two.texts().len(), 2);
    }

    #[test]
    fn what_is_wrong_with_the_recipients_is_named() {
        let many: Vec<_> = (10..27).map(|number| format!("custodian-{number}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let mut no_age = recipients(&["alice", "bob"]);
        no_age["recipients"][1]["age"] = json!("age1nothing");
        for (backup, says) in [
            (recipients(&[]), "1 to 16 recipients, and has 0"),
            (recipients(&many), "and has 17"),
            (recipients(&["bob", "alice"]), "\"alice\" must"),
            (recipients(&["bob", "bob"]), "\"bob\" must"),
            (recipients(&[""]), "\"\" must"),
            (no_age, "\"bob\" cannot be used: \"age1nothing\" is no age recipient"),
            (json!({"recipients": [], "threshold": 1}), "unknown field"),
        ] {
            let error = crate::telemetry::chain(&with(Some(backup), &json!({})).unwrap_err());
            assert!(error.contains(says), "{says}: {error}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_restore_is_named() {
        let restore = |keys: &[&str]| json!({"restore": {"publicKeys": keys}});
        assert!(with(None, &restore(&[PUBLIC])).is_ok());
        let mut both = restore(&[PUBLIC]);
        both["import"] = json!({"file": "/key"});
        for (key, says) in [
            (restore(&[]), "1 to 2 restore.publicKeys, and has 0"),
            (restore(&[PUBLIC; 3]), "and has 3"),
            (restore(&[PUBLIC, "AAAA"]), "that of version 2"),
            (both, "both import and restore"),
        ] {
            let error = crate::telemetry::chain(&with(None, &key).unwrap_err());
            assert!(error.contains("\"main\"") && error.contains(says), "{says}: {error}");
        }
    }
}
