//! What the name of a setting says of its value. Pure.

/// What kind of credential a name promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// A password: any literal is one.
    Password,
    /// A token or secret of something named, for example `jwtSecret`: any literal that is not the name of an object.
    Named,
    /// A secret, a token or a key, which is as often the name of a Secret: only a literal that looks generated.
    Generic,
}

const PASSWORD: [&str; 9] =
    ["password", "passwords", "passwd", "pwd", "pass", "passphrase", "passcode", "pw", "passwort"];
/// Words that end as a password does.
const ORDINARY: [&str; 7] =
    ["bypass", "compass", "encompass", "overpass", "underpass", "surpass", "trespass"];
/// What stands before `secret` where the value itself is meant; after other words it is as often the name of a Secret.
const NAMED_SECRETS: [&str; 12] = [
    "jwt", "session", "cookie", "client", "app", "signing", "hmac", "webhook", "oauth", "oidc", "shared",
    "consumer",
];
/// The same for `token`.
const NAMED_TOKENS: [&str; 10] =
    ["session", "vault", "root", "access", "auth", "bearer", "api", "admin", "bot", "refresh"];
/// What stands before `key` where the key is secret.
const SECRET_KEYS: [&str; 9] =
    ["secret", "private", "encryption", "signing", "account", "master", "shared", "access", "storage"];

/// What the setting called `key` holds; `None`: no credential.
pub(crate) fn family(key: &str) -> Option<Family> {
    let words = words(key);
    // A number at the end, and what says no more than that it is the value: `password2`, `tokenValue`, `ROOT_TOKEN_ID`.
    let ends = words.iter().rposition(|word| !word.bytes().all(|byte| byte.is_ascii_digit()))?;
    let mut named = &words[..=ends];
    if let [before @ .., last] = named
        && (last == "value" || (last == "id" && before.last().is_some_and(|word| word == "token")))
    {
        named = before;
    }
    let [before @ .., last] = named else { return None };
    let before = before.last().map(String::as_str).unwrap_or_default();
    match last.trim_end_matches(|c: char| c.is_ascii_digit()) {
        last if is_password(last) => Some(Family::Password),
        "secret" if NAMED_SECRETS.contains(&before) => Some(Family::Named),
        "token" if NAMED_TOKENS.contains(&before) => Some(Family::Named),
        "key" if before == "api" => Some(Family::Named),
        "apikey" | "clientsecret" | "accesstoken" | "authtoken" => Some(Family::Named),
        "secret" | "token" | "secretkey" | "privatekey" | "credentials" | "credential" => {
            Some(Family::Generic)
        }
        "key" if SECRET_KEYS.contains(&before) => Some(Family::Generic),
        "id" if before == "secret" => Some(Family::Generic),
        _ => None,
    }
}

/// Whether a word means a password, also where it is written as one with another: `dbpassword`, `requirepass`.
fn is_password(word: &str) -> bool {
    let ends = ["password", "passwd", "pass"].iter().any(|end| word.ends_with(end));
    PASSWORD.contains(&word) || ends && !ORDINARY.contains(&word)
}

/// The words of a name in camel case, snake case, with dots or dashes; in lower case.
fn words(key: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut starts_word = true;
    let mut before_is_lower = false;
    for c in key.chars() {
        if !c.is_ascii_alphanumeric() {
            starts_word = true;
            continue;
        }
        starts_word |= before_is_lower && c.is_ascii_uppercase();
        before_is_lower = c.is_ascii_lowercase() || c.is_ascii_digit();
        if starts_word {
            words.push(String::new());
            starts_word = false;
        }
        if let Some(word) = words.last_mut() {
            word.push(c.to_ascii_lowercase());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_they_hold() {
        for key in [
            "password",
            "DB_PASSWORD",
            "spring.datasource.password",
            "adminPassword",
            "PGPASSWORD",
            "db-pass",
            "password2",
            "passwords",
            "smtpPwd",
            "keyStorePassword",
            "rootPasswd",
        ] {
            assert_eq!(family(key), Some(Family::Password), "{key}");
        }
        for key in
            ["jwtSecret", "API_KEY", "apikey", "client-secret", "VAULT_TOKEN", "VAULT_DEV_ROOT_TOKEN_ID"]
        {
            assert_eq!(family(key), Some(Family::Named), "{key}");
        }
        for key in ["secret", "token", "secretKey", "AWS_SECRET_ACCESS_KEY", "privateKey", "secret_id"] {
            assert_eq!(family(key), Some(Family::Generic), "{key}");
        }
    }

    #[test]
    fn names_of_references_and_of_properties_hold_nothing() {
        for key in [
            "passwordSecretRef",
            "PASSWORD_FILE",
            "passwordFile",
            "secretName",
            "tokenReview",
            "tokenTTL",
            "password_encryption",
            "bypass",
            "proxy_pass_header",
            "key",
            "publicKey",
            "keyPath",
            "passwordKey",
            "2",
        ] {
            assert_eq!(family(key), None, "{key}");
        }
    }
}
