//! The private side: a custodian's, or the one-time identity of a node that awaits its keys.

use age::x25519;

/// Why a file names no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It has none in a form that is read here.
    #[error(
        "the file has no line AGE-SECRET-KEY-1…: put there what age-keygen wrote (unlock it first if it is locked)"
    )]
    None,
}

/// What opens a backup. The age crate zeroes it on drop.
pub struct Identity(Vec<x25519::Identity>);

impl Identity {
    /// A new one, which lives as long as this value.
    pub fn generate() -> Self {
        Self(vec![x25519::Identity::generate()])
    }

    /// Those of an identity file, as `age-keygen` writes it: comments, and a line for each.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        let all: Vec<x25519::Identity> = text.lines().filter_map(|line| line.trim().parse().ok()).collect();
        if all.is_empty() { Err(IdentityError::None) } else { Ok(Self(all)) }
    }

    /// The first one's public part: `age1…`.
    pub fn recipient(&self) -> String {
        self.0.first().map(|identity| identity.to_public().to_string()).unwrap_or_default()
    }

    /// The public part of each.
    pub fn recipients(&self) -> Vec<String> {
        self.0.iter().map(|identity| identity.to_public().to_string()).collect()
    }

    pub(crate) fn for_age(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.0.iter().map(|identity| identity as &dyn age::Identity)
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.recipients()).finish()
    }
}

#[cfg(test)]
mod tests {
    use age::secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_file_of_age_keygen_is_read() {
        let [one, two] = [(); 2].map(|()| x25519::Identity::generate());
        let secret = |identity: &x25519::Identity| identity.to_string().expose_secret().to_owned();
        let text = format!(
            "# created: 2026-11-30\n# public key: {}\n{}\n\n{}\n",
            one.to_public(),
            secret(&one),
            secret(&two)
        );
        let read = Identity::parse(&text).unwrap();
        assert_eq!(read.recipients(), [one, two].map(|identity| identity.to_public().to_string()));
        assert!(!format!("{read:?}").contains("SECRET"), "not even in Debug");
    }

    #[test]
    fn a_file_without_one_says_what_belongs_there() {
        let error = Identity::parse("age1qqqq\n").unwrap_err();
        assert!(error.to_string().contains("AGE-SECRET-KEY-1"), "{error}");
    }
}
