//! Whether a value is a credential itself, and no reference to one. Pure.

use crate::encoded;
use crate::key::Family;
use crate::rule::Value;

/// Whether what a rule found is a credential. `raw` is what its pattern took for the value; `upper`: the key is in capitals.
pub(crate) fn is_credential(value: Value, family: Family, raw: &str, upper: bool) -> bool {
    let scalar = match value {
        Value::Any => return true,
        Value::BasicAuth => {
            let decoded = encoded::decode(raw.as_bytes());
            return decoded
                .and_then(|text| Some(text.split_once(':')?.1.to_owned()))
                .is_some_and(|it| is_literal(&it));
        }
        Value::Exact => Some(raw.trim()),
        Value::YamlLine => yaml_scalar(raw),
        Value::Assigned => assigned(raw, upper),
    };
    scalar.is_some_and(|scalar| holds(family, scalar))
}

/// Whether `value` is a credential under a name of this family.
pub(crate) fn holds(family: Family, value: &str) -> bool {
    is_literal(value)
        && match family {
            Family::Password => !is_label(value),
            Family::Named => value.len() >= 4 && !is_name(value) && !value.contains(char::is_whitespace),
            Family::Generic => looks_generated(value),
        }
}

/// The scalar that starts a line's rest in YAML; `None`: a collection, a block, an alias, or prose.
fn yaml_scalar(rest: &str) -> Option<&str> {
    let rest = rest.trim();
    if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        return rest[1..].split(quote).next();
    }
    if rest.starts_with(['{', '[', '|', '>', '&', '*', '!', '#', '%', '@', '`', '\\']) {
        return None;
    }
    let scalar = rest.split(" #").next()?.trim().trim_end_matches(['}', ',']).trim_end();
    (!scalar.contains(char::is_whitespace)).then_some(scalar)
}

/// The value that starts the rest of a line after `=`.
fn assigned(rest: &str, upper: bool) -> Option<&str> {
    let rest = rest.trim_start_matches('\\');
    if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        return rest[1..].split([quote, '\\']).next();
    }
    let end = rest.find(|c: char| c.is_whitespace() || ";&,\"'<>\\`".contains(c)).unwrap_or(rest.len());
    let (value, after) = rest.split_at(end);
    // A call, a subscript, or an argument of one: code.
    let is_code = value.contains('(') && value.find('(') > Some(0) || value.ends_with([')', ']']);
    let is_argument = after.starts_with(',') && value.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    // Prose goes on after a blank; a command does, too, but there the name is in capitals or the value has a digit.
    let goes_on = after.trim_start().starts_with(|c: char| c.is_ascii_alphabetic());
    let is_prose =
        goes_on && after.starts_with(' ') && !upper && !value.bytes().any(|byte| byte.is_ascii_digit());
    (!is_code && !is_argument && !is_prose).then_some(value)
}

/// Words that stand where a value would and are none.
const NO_VALUES: [&str; 24] = [
    "true",
    "false",
    "yes",
    "no",
    "on",
    "off",
    "null",
    "nil",
    "none",
    "~",
    "undefined",
    "required",
    "optional",
    "enabled",
    "disabled",
    "string",
    "str",
    "text",
    "bytes",
    "redacted",
    "masked",
    "hidden",
    "prompt",
    "replace_me",
];
/// What a value starts with that says where the credential is.
const REFERENCES: [&str; 32] = [
    "${",
    "$(",
    "{{",
    "[[",
    "#{",
    "%{",
    "%(",
    "<",
    "/",
    "./",
    "../",
    "~/",
    "vault:",
    "ref+",
    "file:",
    "env:",
    "env.",
    "enc[",
    "enc(",
    "{cipher}",
    "arn:",
    "op://",
    "secret://",
    "secret:",
    "os.environ",
    "os.getenv",
    "process.env",
    "projects/",
    "azurekeyvault",
    "@",
    "`",
    "awssm:",
];

/// Whether it stands for itself.
fn is_literal(value: &str) -> bool {
    let value = value.trim();
    let lower = value.to_ascii_lowercase();
    let is_masked =
        value.chars().all(|c| matches!(c, '*' | 'x' | 'X' | '.' | '-' | '_' | '…' | '?' | '•' | '%' | '='));
    let is_variable =
        value.strip_prefix('$').is_some_and(|name| name.split(['.', '-', ':']).all(is_identifier))
            || value.len() > 2 && value.starts_with('%') && value.ends_with('%')
            || value.len() > 4 && value.starts_with("__") && value.ends_with("__");
    let is_interpolated = ["${", "$(", "{{", "://"].iter().any(|mark| value.contains(mark));
    !is_masked
        && !is_variable
        && !is_interpolated
        && !NO_VALUES.contains(&lower.as_str())
        && !REFERENCES.iter().any(|start| lower.starts_with(start))
        && !is_path_of_identifiers(value)
        // A number that short limits something.
        && !(value.len() < 4 && value.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// As code names a field: `config.database.password`.
fn is_path_of_identifiers(value: &str) -> bool {
    value.contains('.')
        && value.split('.').all(|part| is_identifier(part) && part.bytes().all(|byte| !byte.is_ascii_digit()))
}

/// What a form shows beside its field, or a sentence about passwords.
fn is_label(value: &str) -> bool {
    const WORDS: [&str; 4] = ["password", "passwd", "your ", "enter "];
    let lower = value.to_ascii_lowercase();
    value == "Password" || value.contains(' ') && WORDS.iter().any(|word| lower.contains(word))
}

/// As objects are called: lower case, with a dash, a dot or a slash between words. Or as variables are: `DB_PASSWORD_2`.
fn is_name(value: &str) -> bool {
    let is_of_variable = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if value.contains('_') && value.bytes().all(is_of_variable) {
        return true;
    }
    let mut parts = value.split(['-', '.', '/', '_']);
    let first_is_word = parts.next().is_some_and(|part| part.bytes().all(|byte| byte.is_ascii_lowercase()));
    let is_lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-./_".contains(&byte);
    first_is_word && parts.next().is_some() && value.bytes().all(is_lower)
}

/// As random generators and people who choose a hard secret write, and objects are not called.
fn looks_generated(value: &str) -> bool {
    if value.len() < 8 || value.contains(char::is_whitespace) || value.contains("://") {
        return false;
    }
    if is_uuid(value) {
        return true;
    }
    if is_name(value) {
        return false;
    }
    let kinds = value.bytes().map(|byte| match byte {
        b'0'..=b'9' => 0,
        b'a'..=b'z' | b'A'..=b'Z' => 1,
        _ => 2_u8,
    });
    let kinds: Vec<_> = kinds.collect();
    let changes = kinds.windows(2).filter(|pair| pair[0] != pair[1]).count();
    let has = |kind| kinds.contains(&kind);
    has(0) && has(1) && (changes >= 4 || value.len() >= 20 && changes >= 3)
}

fn is_uuid(value: &str) -> bool {
    let lengths: Vec<_> = value.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && value.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_any_literal() {
        for value in [
            "hunter2",
            "changeme",
            "password",
            "Pa$$w0rd",
            "$ecr3t!",
            "123456",
            "correct horse battery staple",
        ] {
            assert!(holds(Family::Password, value), "{value}");
        }
        for value in [
            "",
            "${DB_PASSWORD}",
            "$(DB_PASSWORD)",
            "$DB_PASSWORD",
            "{{ .Values.password }}",
            "<password>",
            "****",
            "xxx",
            "/run/secrets/db",
            "vault:secret/data/db#password",
            "ENC[AES256_GCM,data:x]",
            "true",
            "null",
            "Password",
            "Enter your password",
            "config.database.password",
            "%PASSWORD%",
            "__PASSWORD__",
            "arn:aws:x",
            "16",
            "pre-${X}",
        ] {
            assert!(!holds(Family::Password, value), "{value}");
        }
    }

    #[test]
    fn a_token_is_what_is_not_the_name_of_an_object() {
        for value in ["mysupersecret", "root", "S3cr3tJwt"] {
            assert!(holds(Family::Named, value), "{value}");
        }
        for value in ["argocd-oidc", "my-app.secrets", "$oidc.clientSecret"] {
            assert!(!holds(Family::Named, value), "{value}");
        }
        for value in ["b1gs33cr3t", "4fca8bd0-3f43-4c1d-9a5e-0123456789ab", "wJalrXUtnFEMI/K7MDENG/bPxRfiCY"]
        {
            assert!(holds(Family::Generic, value), "{value}");
        }
        for value in [
            "regcred",
            "my-tls-secret",
            "app-8g2h4k5m6t",
            "cert-manager-v1",
            "password",
            "https://a/b1c2d3e4",
        ] {
            assert!(!holds(Family::Generic, value), "{value}");
        }
    }

    #[test]
    fn a_scalar_ends_where_yaml_ends_it() {
        assert_eq!(yaml_scalar(" hunter2 # as ever"), Some("hunter2"));
        assert_eq!(yaml_scalar("'a b', x: y}"), Some("a b"));
        assert_eq!(yaml_scalar("hunter2}"), Some("hunter2"));
        for rest in ["|-", "{a: b}", "[a]", "*alias", "the password of the user", ""] {
            assert!(yaml_scalar(rest).is_none_or(str::is_empty), "{rest}");
        }
    }

    #[test]
    fn an_assigned_value_ends_where_its_form_ends_it() {
        for (rest, value) in [
            ("hunter2;Server=db", "hunter2"),
            ("hunter2&ssl=true", "hunter2"),
            ("\"a b\" rest", "a b"),
            ("hunter psql -h db", "hunter"),
            ("s3cret curl", "s3cret"),
        ] {
            assert_eq!(assigned(rest, true), Some(value), "{rest}");
        }
        for rest in ["getPassword()", "read(x)", "password, user=user", "Enter it here"] {
            assert_eq!(assigned(rest, false), None, "{rest}");
        }
    }
}
