//! The person's own token for the store, from where Vault's CLI looks for it.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    /// Neither source has one.
    #[error(
        "no token for the secret store: set VAULT_TOKEN, or run `vault login`, which writes ~/.vault-token"
    )]
    Missing,
    /// The file is there and unreadable.
    #[error("cannot read the token in {}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// `VAULT_TOKEN`, else the content of `~/.vault-token`.
pub(crate) fn find() -> Result<Zeroizing<String>, TokenError> {
    let variable = std::env::var("VAULT_TOKEN").ok().map(Zeroizing::new);
    let file = std::env::home_dir().map(|home| home.join(".vault-token"));
    choose(variable.as_deref().map(String::as_str), file.as_deref())
}

fn choose(variable: Option<&str>, file: Option<&Path>) -> Result<Zeroizing<String>, TokenError> {
    if let Some(token) = variable.and_then(non_empty) {
        return Ok(token);
    }
    let path = file.ok_or(TokenError::Missing)?;
    match std::fs::read_to_string(path) {
        Ok(text) => non_empty(&Zeroizing::new(text)).ok_or(TokenError::Missing),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Err(TokenError::Missing),
        Err(source) => Err(TokenError::Unreadable { path: path.to_owned(), source }),
    }
}

fn non_empty(token: &str) -> Option<Zeroizing<String>> {
    let trimmed = token.trim();
    (!trimmed.is_empty()).then(|| Zeroizing::new(trimmed.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_comes_before_the_file() {
        let file = std::env::temp_dir().join(format!("vault-token-{}", std::process::id()));
        std::fs::write(&file, "of the file\n").unwrap();
        assert_eq!(*choose(Some("of the variable"), Some(&file)).unwrap(), "of the variable");
        assert_eq!(*choose(Some(""), Some(&file)).unwrap(), "of the file");
        assert_eq!(*choose(None, Some(&file)).unwrap(), "of the file");
        std::fs::remove_file(&file).unwrap();
        assert!(matches!(choose(None, Some(&file)), Err(TokenError::Missing)));
        assert!(matches!(choose(None, None), Err(TokenError::Missing)));
    }
}
