//! Key files of a Java Tessera that are adopted: what is read, and what is refused, without a secret in the message.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may panic as tests do")]

use std::fs;

use tempfile::TempDir;
use tessera_enclave::PrivateKey;
use tessera_enclave::keyfile::{ArgonOptions, ArgonVariant, KeyFile};
use tessera_keys::ImportError;
use tessera_keys::import::{Fingerprint, any_present, read};
use tessera_node_api::key_import::KeyImport;

const PUBLIC: &str = "/+UuD63zItL1EbjxkKUljMgG8Z1w0AJ8pNOR4iq2yQc=";
const PRIVATE: &str = "yAWAJjwPqUtNVlqGjSrBmr1/iIkghuOh1803Yzx9jLM=";
const OTHER_PUBLIC: &str = "yGcjkFyZklTTXrn8+WIkYwicA2EGBn9wZFkctAad4X0=";
const PASSWORD: &str = "correct horse";
const PLENTY: u64 = 1 << 30;

/// The default with which Java Tessera locks a key: 1 GiB (`tessera-vectors.json`, whose test unlocks it).
const OF_JAVA: &str = r#"{"type":"argon2sbox","data":{"aopts":{"variant":"id","memory":1048576,"iterations":10,"parallelism":4},
    "snonce":"x3HUNXH6LQldKtEv3q0h0hR4S12Ur9pC","asalt":"7Sem2tc6fjEfW3yYUDN/kSslKEW0e1zqKnBCWbZu2Zw=",
    "sbox":"d0CmRus0rP0bdc7P7d/wnOyEW14pwFJmcLbdu2W3HmDNRWVJtoNpHrauA/Sr5Vxc"}}"#;

struct Files {
    directory: TempDir,
    import: KeyImport,
}

/// A key file, and a file with a password if there is one.
fn files(key: Option<&str>, password: Option<&str>) -> Files {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let import = KeyImport {
        file: path("key"),
        password_file: password.map(|_| path("password")),
        public_key: Some(PUBLIC.to_owned()),
    };
    let files = Files { directory, import };
    for (name, text) in [("key", key), ("password", password)] {
        if let Some(text) = text {
            files.write(name, text);
        }
    }
    files
}

impl Files {
    fn write(&self, name: &str, text: &str) {
        fs::write(self.directory.path().join(name), text).unwrap();
    }

    fn refused(&self) -> (&'static str, String) {
        let error = read(&self.import, PLENTY).expect_err("refused");
        let shown = format!("{error} {error:?}");
        for secret in [PRIVATE, &PRIVATE[..12], PASSWORD] {
            assert!(!shown.contains(secret), "{shown}");
        }
        (error.field(), error.to_string())
    }
}

fn unlocked() -> String {
    format!(r#"{{"type":"unlocked","data":{{"bytes":"{PRIVATE}"}}}}"#)
}

fn locked() -> String {
    let bytes = tessera_enclave::base64::decode_strict(PRIVATE).unwrap();
    let key = PrivateKey::from_slice(&bytes).unwrap();
    let argon = ArgonOptions { variant: ArgonVariant::I, memory: 64, iterations: 1, parallelism: 4 };
    KeyFile::locked(&key, PASSWORD.as_bytes(), argon).unwrap().to_json().to_string()
}

fn public(files: &Files) -> String {
    read(&files.import, PLENTY).unwrap().public().to_string()
}

#[test]
fn a_file_gives_its_key_locked_or_not() {
    assert_eq!(public(&files(Some(&unlocked()), None)), PUBLIC);
    // As Helm charts write it, members the other way round and with a line's end.
    let other_way = format!("{{\"data\":{{\"bytes\":\"{PRIVATE}\"}},\"type\":\"unlocked\"}}\n");
    assert_eq!(public(&files(Some(&other_way), None)), PUBLIC);
    for password in [PASSWORD.to_owned(), format!("{PASSWORD}\n"), format!("{PASSWORD}\r\n\n")] {
        assert_eq!(public(&files(Some(&locked()), Some(&password))), PUBLIC);
    }
    let mut any = files(Some(&unlocked()), Some("of no use"));
    any.import.public_key = None;
    assert_eq!(public(&any), PUBLIC);
}

#[test]
fn what_is_wrong_names_its_field_and_what_to_do() {
    let is = |files: &Files, field: &str, part: &str| {
        let (found, message) = files.refused();
        assert!(found == field && message.contains(part), "{found}: {message}");
    };
    is(&files(None, None), "secretRef", "not in the pod yet: create it");
    is(&files(Some("garbage"), None), "secretRef", "not a Tessera key");
    // serde's own message would quote these.
    is(&files(Some(&format!("\"{PRIVATE}\"")), None), "secretRef", "not a Tessera key");
    let type_of = format!(r#"{{"type":"{PRIVATE}","data":{{}}}}"#);
    is(&files(Some(&type_of), None), "secretRef", "not a Tessera key");
    let short = r#"{"type":"unlocked","data":{"bytes":"QUI="}}"#;
    is(&files(Some(short), None), "secretRef", "private key has 2 bytes");
    is(&files(Some(&"x".repeat(20_000)), None), "secretRef", "more than 16384 bytes");
    is(&files(Some(&locked()), None), "passwordSecretRef", "locked: name the Secret");
    is(&files(Some(&locked()), Some("wrong")), "passwordSecretRef", "does not open the key file");
    let two = format!("{PASSWORD}\nof another key\n");
    is(&files(Some(&locked()), Some(&two)), "passwordSecretRef", "several lines");
    let absent = files(Some(&locked()), Some(PASSWORD));
    fs::remove_file(absent.directory.path().join("password")).unwrap();
    is(&absent, "passwordSecretRef", "not in the pod yet");
    let mut other = files(Some(&unlocked()), None);
    other.import.public_key = Some(OTHER_PUBLIC.to_owned());
    is(
        &other,
        "publicKey",
        &format!("it is {OTHER_PUBLIC}, and the private key in secretRef has the public key {PUBLIC}"),
    );
    other.import.public_key = Some("AAAA".to_owned());
    is(&other, "publicKey", "not the base64 of 32 bytes");
    let directory = files(None, None);
    fs::create_dir(directory.directory.path().join("key")).unwrap();
    is(&directory, "secretRef", "cannot be read");
}

#[test]
fn a_key_that_takes_more_memory_to_unlock_than_there_is_does_not_kill_the_node() {
    let files = files(Some(OF_JAVA), Some(PASSWORD));
    let error = read(&files.import, (256 << 20) / 4 * 3).expect_err("not tried");
    assert!(matches!(error, ImportError::Memory { needed_mib: 1024, spare_mib: 192 }), "{error}");
    assert_eq!(error.field(), "secretRef");
    assert!(error.to_string().contains("raise resources.limits.memory to 1368 MiB"), "{error}");
}

#[test]
fn a_changed_file_is_told_from_one_that_is_the_same() {
    let files = files(Some(&unlocked()), Some("wrong"));
    let before = Fingerprint::of(&files.import);
    assert_eq!(Fingerprint::of(&files.import), before);
    files.write("password", "longer than before");
    assert_ne!(Fingerprint::of(&files.import), before);
    // As the kubelet brings a Secret: the directory behind a link is another, the file's length and time may be the same.
    let root = files.directory.path();
    for version in ["one", "two"] {
        fs::create_dir(root.join(version)).unwrap();
        fs::write(root.join(version).join("key"), unlocked()).unwrap();
    }
    let link = root.join("data");
    std::os::unix::fs::symlink("one", &link).unwrap();
    let import = KeyImport { file: link.join("key").to_str().unwrap().to_owned(), ..files.import.clone() };
    let before = Fingerprint::of(&import);
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("two", &link).unwrap();
    assert_ne!(Fingerprint::of(&import), before);

    assert!(any_present(&files.import));
    for name in ["key", "password"] {
        fs::remove_file(root.join(name)).unwrap();
    }
    assert!(!any_present(&files.import));
}
