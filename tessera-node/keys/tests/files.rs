//! Key pairs of the configuration, with Java Tessera's own samples and texts.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may panic as tests do")]

use std::fs;

use tempfile::TempDir;
use tessera_enclave::PrivateKey;
use tessera_enclave::keyfile::{ArgonOptions, ArgonVariant, KeyFile};
use tessera_keys::{FileKeyError, KeyConfiguration};

const PUBLIC: &str = "/+UuD63zItL1EbjxkKUljMgG8Z1w0AJ8pNOR4iq2yQc=";
const PRIVATE: &str = "yAWAJjwPqUtNVlqGjSrBmr1/iIkghuOh1803Yzx9jLM=";
const OTHER_PUBLIC: &str = "yGcjkFyZklTTXrn8+WIkYwicA2EGBn9wZFkctAad4X0=";

fn load(json: &str) -> Result<Vec<String>, FileKeyError> {
    let configuration: KeyConfiguration = serde_json::from_str(json).unwrap();
    let pairs = configuration.load()?;
    Ok(pairs.iter().map(|pair| pair.public().to_string()).collect())
}

fn refusal(json: &str) -> String {
    load(json).expect_err("refused").to_string()
}

fn unlocked() -> String {
    format!(r#"{{"type":"unlocked","data":{{"bytes":"{PRIVATE}"}}}}"#)
}

/// The sample key under a password, with parameters that a test can afford.
fn locked(password: &str) -> String {
    let bytes = tessera_enclave::base64::decode_strict(PRIVATE).unwrap();
    let key = PrivateKey::from_slice(&bytes).unwrap();
    let argon = ArgonOptions { variant: ArgonVariant::Id, memory: 64, iterations: 1, parallelism: 1 };
    KeyFile::locked(&key, password.as_bytes(), argon).unwrap().to_json().to_string()
}

fn write(directory: &TempDir, name: &str, text: &str) -> String {
    let path = directory.path().join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn direct_inline_and_file_pairs_load_in_order() {
    let directory = TempDir::new().unwrap();
    let private = write(&directory, "node.key", &unlocked());
    let public = write(&directory, "node.pub", &format!("{PUBLIC}\n"));
    let loaded = load(&format!(
        r#"{{"keyData":[
            {{"privateKey":"{PRIVATE}","publicKey":"{PUBLIC}"}},
            {{"config":{},"publicKey":"{PUBLIC}"}},
            {{"privateKeyPath":"{private}","publicKeyPath":"{public}"}}
        ]}}"#,
        unlocked()
    ));
    assert_eq!(loaded.unwrap(), [PUBLIC; 3]);
}

#[test]
fn a_private_key_file_may_be_in_any_encoding_of_java() {
    let directory = TempDir::new().unwrap();
    let public = write(&directory, "node.pub", PUBLIC);
    let quoted = locked("secret").replace(":64,", ":\"64\",");
    assert!(quoted.contains(r#""memory":"64""#), "{quoted}");
    let passwords = write(&directory, "passwords", "secret\nsecret\n");
    for text in [unlocked(), quoted] {
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [[b"\xEF\xBB\xBF", text.as_bytes()].concat(), [b"\xFF\xFE", &utf16[..]].concat(), utf16]
        {
            let private = directory.path().join("node.key");
            fs::write(&private, bytes).unwrap();
            let private = private.display();
            let loaded = load(&format!(
                r#"{{"passwordFile":"{passwords}","keyData":[{{"privateKeyPath":"{private}","publicKeyPath":"{public}"}}]}}"#
            ));
            assert_eq!(loaded.unwrap(), [PUBLIC]);
        }
    }
}

#[test]
fn passwords_belong_to_keys_by_index() {
    let directory = TempDir::new().unwrap();
    // The first key is unlocked, so its line is blank.
    let passwords = write(&directory, "passwords", "\nsecret\n");
    let private = write(&directory, "node.key", &locked("secret"));
    let public = write(&directory, "node.pub", PUBLIC);
    let data = format!(
        r#"[{{"config":{},"publicKey":"{PUBLIC}"}},{{"privateKeyPath":"{private}","publicKeyPath":"{public}"}}]"#,
        unlocked()
    );
    let loaded = load(&format!(r#"{{"passwordFile":"{passwords}","keyData":{data}}}"#));
    assert_eq!(loaded.unwrap(), [PUBLIC; 2]);

    let wrong = write(&directory, "wrong", "\nanother\n");
    let text = refusal(&format!(r#"{{"passwordFile":"{wrong}","keyData":{data}}}"#));
    assert!(text.starts_with("keys.keyData[1]: ") && text.contains("wrong password"), "{text}");

    let text = refusal(&format!(r#"{{"keyData":{data}}}"#));
    assert!(
        text.ends_with(
            "A locked key was provided without a password.\n Please ensure the same number of passwords are provided \
             as there are keys and remember to include empty passwords for unlocked keys"
        ),
        "{text}"
    );
}

#[test]
fn incomplete_pairs_are_refused_in_javas_words() {
    let inline = unlocked();
    let cases = [
        (
            format!(r#"{{"publicKey":"{PUBLIC}"}}"#),
            "Invalid direct key-pair. Ensure that both the public and private keys",
        ),
        (format!(r#"{{"privateKey":"{PRIVATE}"}}"#), "Invalid direct key-pair. "),
        (
            format!(r#"{{"config":{inline}}}"#),
            "Invalid inline key-pair. Ensure that both the public key and private key",
        ),
        (r#"{"azureVaultPublicKeyId":"a"}"#.into(), "Invalid Azure Key Vault key-pair. "),
        (
            r#"{"hashicorpVaultSecretName":"a"}"#.into(),
            "Invalid Hashicorp Key Vault key-pair. Ensure that the secret name",
        ),
        (r#"{"awsSecretsManagerPublicKeyId":"a"}"#.into(), "Invalid AWS Secrets Manager key-pair. "),
        (r#"{"publicKeyPath":"/x"}"#.into(), "Invalid filesystem key-pair. "),
        (
            "{}".into(),
            "Invalid key-pair. Ensure that the public and private keys for the key-pair are of the same type (i.e. \
             inline, filepaths, etc...).",
        ),
    ];
    for (entry, expected) in cases {
        let text = refusal(&format!(r#"{{"keyData":[{entry}]}}"#));
        let text = text.strip_prefix("keys.keyData[0]: ").expect("names the entry");
        assert!(text.starts_with(expected), "{entry}: {text}");
    }
}

#[test]
fn a_kind_that_we_do_not_have_is_refused_by_name() {
    let text = refusal(r#"{"keyData":[{"azureVaultPublicKeyId":"a","azureVaultPrivateKeyId":"b"}]}"#);
    assert!(text.contains("Azure Key Vault are not supported"), "{text}");
}

#[test]
fn passwords_in_the_configuration_are_refused() {
    let data = format!(r#"[{{"privateKey":"{PRIVATE}","publicKey":"{PUBLIC}"}}]"#);
    let text = refusal(&format!(r#"{{"passwords":["x"],"keyData":{data}}}"#));
    assert!(text.starts_with(
        "For security reasons, passwords should not be provided directly in the config.  Provide"
    ));
    let text = refusal(&format!(r#"{{"passwords":["x"],"passwordFile":"/x","keyData":{data}}}"#));
    assert_eq!(text, "A password file and inline passwords were provided. Please choose one or the other");
    let text = refusal(&format!(r#"{{"passwordFile":"/does/not/exist","keyData":{data}}}"#));
    assert_eq!(text, "Password file does not exist");
    assert_eq!(load(&format!(r#"{{"passwords":[],"keyData":{data}}}"#)).unwrap(), [PUBLIC]);
    assert_eq!(refusal(r#"{"keyData":[]}"#), "At least 1 public/private key pair must be provided");
}

#[test]
fn what_is_wrong_is_named_and_no_key_is_shown() {
    let directory = TempDir::new().unwrap();
    let public = write(&directory, "node.pub", PUBLIC);
    let missing = directory.path().join("missing.key");
    let cases = [
        (
            format!(r#"{{"privateKey":"{PRIVATE}","publicKey":"{OTHER_PUBLIC}"}}"#),
            "does not belong to its private key",
        ),
        (
            format!(r#"{{"privateKey":"!!{PRIVATE}","publicKey":"{PUBLIC}"}}"#),
            "the private key is not the base64",
        ),
        (format!(r#"{{"privateKey":"AAAA","publicKey":"{PUBLIC}"}}"#), "the private key is not the base64"),
        (
            format!(r#"{{"privateKey":"{PUBLIC}","publicKey":"{PRIVATE}!"}}"#),
            "the public key is not the base64",
        ),
        (
            format!(r#"{{"privateKeyPath":"{}","publicKeyPath":"{public}"}}"#, missing.display()),
            "missing.key",
        ),
    ];
    for (entry, expected) in cases {
        let text = refusal(&format!(r#"{{"keyData":[{entry}]}}"#));
        assert!(text.contains(expected), "{entry}: {text}");
        assert!(!text.contains(PRIVATE), "{text}");
    }
    let configuration: KeyConfiguration =
        serde_json::from_str(&format!(r#"{{"keyData":[{{"privateKey":"{PRIVATE}"}}]}}"#)).unwrap();
    assert!(!format!("{configuration:?}").contains(PRIVATE));
}
