//! Those who can open a backup.

use age::x25519;
use sha2::{Digest, Sha256};

/// Why a text names nobody who could open a backup.
#[derive(Debug, thiserror::Error)]
pub enum RecipientError {
    /// It is no public part of an age identity.
    #[error("{0:?} is no age recipient: put there what `age-keygen -y` prints, age1…")]
    Malformed(String),
    /// Nobody is named.
    #[error("no recipient is named: nobody could open the backup")]
    None,
}

/// Public parts of age identities, each once, in ascending order of their texts.
#[derive(Clone)]
pub struct Recipients(Vec<(String, x25519::Recipient)>);

impl Recipients {
    /// Those of `texts` (`age1…`).
    pub fn parse<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Self, RecipientError> {
        let mut all = Vec::new();
        for text in texts {
            let recipient: x25519::Recipient =
                text.parse().map_err(|_| RecipientError::Malformed(text.to_owned()))?;
            // As age itself writes it: upper case means the same.
            all.push((recipient.to_string(), recipient));
        }
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all.dedup_by(|(a, _), (b, _)| a == b);
        if all.is_empty() { Err(RecipientError::None) } else { Ok(Self(all)) }
    }

    /// Their texts, ascending.
    pub fn texts(&self) -> Vec<String> {
        self.0.iter().map(|(text, _)| text.clone()).collect()
    }

    /// Names this set: [`tessera_node_api::key_backup::BackupStatus::recipients_sha256`].
    pub fn sha256(&self) -> String {
        fingerprint(self.0.iter().map(|(text, _)| text.as_str()))
    }

    pub(crate) fn for_age(&self) -> impl Iterator<Item = &dyn age::Recipient> {
        self.0.iter().map(|(_, recipient)| recipient as &dyn age::Recipient)
    }
}

impl PartialEq for Recipients {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().map(|(text, _)| text).eq(other.0.iter().map(|(text, _)| text))
    }
}

impl Eq for Recipients {}

impl std::fmt::Debug for Recipients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(text, _)| text)).finish()
    }
}

/// Names a set of recipients, given in ascending order, for example [`tessera_node_api::key_backup::SealedKey::recipients`].
pub fn fingerprint<'t>(ascending: impl IntoIterator<Item = &'t str>) -> String {
    let mut hash = Sha256::new();
    for text in ascending {
        hash.update(text.as_bytes());
        hash.update(b"\n");
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    #[test]
    fn order_case_and_repetition_make_no_other_set() {
        let (a, b) = (Identity::generate().recipient(), Identity::generate().recipient());
        let one = Recipients::parse([a.as_str(), b.as_str()]).unwrap();
        let other = Recipients::parse([b.as_str(), a.to_uppercase().as_str(), a.as_str()]).unwrap();
        assert_eq!((one.sha256(), one.texts()), (other.sha256(), other.texts()));
        assert_eq!(one, other);
        assert_ne!(one.sha256(), Recipients::parse([a.as_str()]).unwrap().sha256());
        let texts = one.texts();
        assert_eq!(one.sha256(), fingerprint(texts.iter().map(String::as_str)));
    }

    #[test]
    fn what_is_no_recipient_is_named() {
        let error = Recipients::parse(["age1nothing"]).unwrap_err();
        assert!(error.to_string().contains("age1nothing"), "{error}");
        assert!(matches!(Recipients::parse([]), Err(RecipientError::None)));
    }
}
