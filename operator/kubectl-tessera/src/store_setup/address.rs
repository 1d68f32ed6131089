//! Which address gets the person's token. Pure.

/// Why no address gets the token.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "VAULT_ADDR is {environment:?} and the network's address is {network:?}: your token would go to another store. Unset VAULT_ADDR, or say where this machine reaches the network's store with --vault-addr"
)]
pub(crate) struct OtherStore {
    environment: String,
    network: String,
}

/// The address of the argument, else the network's. An environment that names another store is refused: it is set for other
/// work, and nothing in the command shows it.
pub(crate) fn choose<'a>(
    argument: Option<&'a str>,
    environment: Option<&str>,
    network: &'a str,
) -> Result<&'a str, OtherStore> {
    if let Some(argument) = argument {
        return Ok(argument);
    }
    let plain = |address: &str| address.trim_end_matches('/').to_ascii_lowercase();
    match environment.filter(|address| !address.is_empty() && plain(address) != plain(network)) {
        None => Ok(network),
        Some(other) => Err(OtherStore { environment: other.to_owned(), network: network.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: &str = "https://vault.vault.svc:8200";

    #[test]
    fn the_environment_does_not_redirect_the_token() {
        let error = choose(None, Some("https://vault.other.example:8200"), NETWORK).unwrap_err().to_string();
        assert!(error.contains("VAULT_ADDR") && error.contains(NETWORK), "{error}");
        assert!(choose(None, Some("https://vault.vault.svc:8201"), NETWORK).is_err());
        assert!(choose(None, Some("http://vault.vault.svc:8200"), NETWORK).is_err());
    }

    #[test]
    fn an_environment_that_agrees_or_is_empty_is_no_obstacle() {
        for environment in [None, Some(""), Some(NETWORK), Some("https://VAULT.vault.svc:8200/")] {
            assert_eq!(choose(None, environment, NETWORK), Ok(NETWORK));
        }
    }

    #[test]
    fn the_argument_is_the_persons_word() {
        let local = "https://127.0.0.1:8200";
        assert_eq!(choose(Some(local), Some("https://vault.other.example:8200"), NETWORK), Ok(local));
    }
}
