//! `tessera_backup` without age: texts that look like recipients.

/// As in the real crate.
#[derive(Debug, thiserror::Error)]
pub enum RecipientError {
    #[error("{0:?} is no age recipient")]
    Malformed(String),
    #[error("no recipient is named")]
    None,
}

/// As in the real crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipients(Vec<String>);

impl Recipients {
    /// As in the real crate.
    pub fn parse<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Self, RecipientError> {
        let mut all = Vec::new();
        for text in texts {
            if !text.starts_with("age1") {
                return Err(RecipientError::Malformed(text.to_owned()));
            }
            all.push(text.to_owned());
        }
        if all.is_empty() { Err(RecipientError::None) } else { Ok(Self(all)) }
    }
}
