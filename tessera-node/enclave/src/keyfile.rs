//! Tessera's private key file, which is also the inline form of the configuration.
//!
//! ```text
//! {"type":"unlocked","data":{"bytes":…}}
//! {"type":"argon2sbox","data":{"aopts":{…},"snonce":…,"asalt":…,"sbox":…}}
//! ```
//!
//! A locked key is the private key in a secret box under `Argon2(password, asalt, aopts)`.

use argon2::{Algorithm, Argon2, Params, Version};
use rand_core::{OsRng, RngCore};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::base64::{self, Base64Error};
use crate::crypto::{self, TAG_LEN};
use crate::key::KEY_LEN;
use crate::key::{Nonce, PrivateKey, PrivateKeyError};
use crate::secret::SecretBytes;

/// More than any key on record asks for (1 GiB). A file must not be able to ask for all memory there is.
const MAX_MEMORY_KIB: u32 = 4 * 1024 * 1024;
/// Java Tessera generates this many; any length is read.
const SALT_LEN: usize = 16;

/// A private key file.
#[derive(Serialize, Deserialize, Debug)]
#[serde(tag = "type", content = "data")]
pub enum KeyFile {
    /// The key itself.
    #[serde(rename = "unlocked")]
    Unlocked(UnlockedKey),
    /// The key under a password.
    #[serde(rename = "argon2sbox")]
    Locked(LockedKey),
}

/// A key without protection.
#[derive(Serialize, Deserialize, Debug)]
pub struct UnlockedKey {
    bytes: SecretText,
}

/// A key under a password. Not a secret by itself.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct LockedKey {
    /// How the password becomes a key.
    #[serde(rename = "aopts")]
    pub argon: ArgonOptions,
    /// Base64 of the nonce of `sbox`.
    pub snonce: String,
    /// Base64 of Argon2's salt.
    pub asalt: String,
    /// Base64 of the sealed private key.
    pub sbox: String,
}

/// Argon2's parameters.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArgonOptions {
    /// Which Argon2; files without it mean `id`.
    #[serde(default)]
    pub variant: ArgonVariant,
    /// Memory in KiB.
    #[serde(deserialize_with = "number")]
    pub memory: u32,
    /// Passes.
    #[serde(deserialize_with = "number")]
    pub iterations: u32,
    /// Lanes.
    #[serde(deserialize_with = "number")]
    pub parallelism: u32,
}

/// A number, or its text: Java's binding takes both.
fn number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Plain(u32),
        Text(String),
    }
    match Number::deserialize(deserializer)? {
        Number::Plain(number) => Ok(number),
        Number::Text(text) => text.trim().parse().map_err(serde::de::Error::custom),
    }
}

/// The three variants of Argon2.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "lowercase")]
pub enum ArgonVariant {
    /// Data-independent.
    I,
    /// Data-dependent.
    D,
    /// Both.
    #[default]
    Id,
}

impl Default for ArgonOptions {
    /// What `keygen` uses when nothing is said.
    fn default() -> Self {
        Self { variant: ArgonVariant::I, memory: 1024 * 1024, iterations: 10, parallelism: 4 }
    }
}

/// Base64 of a secret, zeroed on drop.
#[derive(Serialize, Deserialize)]
#[serde(from = "String")]
struct SecretText(#[serde(serialize_with = "plain")] Zeroizing<String>);

fn plain<S: serde::Serializer>(text: &Zeroizing<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Why a key file does not yield its key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// Not the JSON of a key file.
    #[error("key file is not a Tessera key: expected type `unlocked` or `argon2sbox` with its data")]
    Json(#[source] serde_json::Error),
    /// A member is not base64.
    #[error("key file member `{member}` is not base64")]
    Base64 {
        /// Which one.
        member: &'static str,
        /// What is wrong.
        source: Base64Error,
    },
    /// What the file holds is no private key, or has no place in memory.
    #[error(transparent)]
    Key(#[from] PrivateKeyError),
    /// Argon2 refuses the parameters.
    #[error("key file asks for Argon2 parameters that do not exist: {0}")]
    Argon(argon2::Error),
    /// The file asks for more memory than any key needs.
    #[error("key file asks for {0} KiB of memory to unlock: at most {MAX_MEMORY_KIB} are given")]
    Memory(u32),
    /// There is no password for a locked key.
    #[error("key is locked: give its password")]
    PasswordMissing,
    /// The password does not open the box.
    #[error("key does not open: wrong password, or a damaged key file")]
    WrongPassword,
}

impl KeyFile {
    /// Reads a key file.
    pub fn from_json(json: &[u8]) -> Result<Self, KeyFileError> {
        serde_json::from_slice(json).map_err(KeyFileError::Json)
    }

    /// Writes the key file. The text of an unlocked key is a secret.
    pub fn to_json(&self) -> Zeroizing<String> {
        // Strings and numbers only: nothing here can fail to be JSON.
        Zeroizing::new(serde_json::to_string(self).expect("a key file is plain JSON"))
    }

    /// A file that holds the key as it is.
    pub fn unlocked(key: &PrivateKey) -> Self {
        Self::Unlocked(UnlockedKey { bytes: base64::encode(key.expose()).into() })
    }

    /// A file that holds the key under a password. Takes as long as the parameters say.
    pub fn locked(key: &PrivateKey, password: &[u8], argon: ArgonOptions) -> Result<Self, KeyFileError> {
        let mut salt = [0; SALT_LEN];
        OsRng.fill_bytes(&mut salt);
        let nonce = Nonce::generate();
        let password_key = argon.derive(password, &salt)?;
        let mut sealed = Zeroizing::new([0; TAG_LEN + KEY_LEN]);
        sealed[TAG_LEN..].copy_from_slice(key.expose());
        crypto::seal_in_place(&password_key, &nonce, &mut *sealed)
            .map_err(|_| KeyFileError::WrongPassword)?;
        Ok(Self::Locked(LockedKey {
            argon,
            snonce: base64::encode(nonce.as_bytes()),
            asalt: base64::encode(&salt),
            sbox: base64::encode(&*sealed),
        }))
    }

    /// Whether a password is needed.
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Locked(_))
    }

    /// The private key. Takes as long as a locked file's parameters say.
    pub fn private_key(&self, password: Option<&[u8]>) -> Result<PrivateKey, KeyFileError> {
        match self {
            Self::Unlocked(key) => {
                let bytes = Zeroizing::new(member("bytes", &key.bytes.0)?);
                Ok(PrivateKey::from_slice(&bytes)?)
            }
            Self::Locked(key) => key.unlock(password.ok_or(KeyFileError::PasswordMissing)?),
        }
    }
}

impl LockedKey {
    fn unlock(&self, password: &[u8]) -> Result<PrivateKey, KeyFileError> {
        let salt = member("asalt", &self.asalt)?;
        let nonce = Nonce::from_bytes(&member("snonce", &self.snonce)?);
        let sealed = member("sbox", &self.sbox)?;
        let password_key = self.argon.derive(password, &salt)?;
        let place = SecretBytes::locked().map_err(PrivateKeyError::from)?;
        crypto::open_secret(&password_key, &nonce, &sealed, place)
            .map(PrivateKey)
            .map_err(|_| KeyFileError::WrongPassword)
    }
}

impl ArgonOptions {
    fn derive(&self, password: &[u8], salt: &[u8]) -> Result<Zeroizing<[u8; KEY_LEN]>, KeyFileError> {
        if self.memory > MAX_MEMORY_KIB {
            return Err(KeyFileError::Memory(self.memory));
        }
        let params = Params::new(self.memory, self.iterations, self.parallelism, Some(KEY_LEN));
        let params = params.map_err(KeyFileError::Argon)?;
        let mut key = Zeroizing::new([0; KEY_LEN]);
        Argon2::new(self.variant.into(), Version::V0x13, params)
            .hash_password_into(password, salt, &mut *key)
            .map_err(KeyFileError::Argon)?;
        Ok(key)
    }
}

impl From<ArgonVariant> for Algorithm {
    fn from(variant: ArgonVariant) -> Self {
        match variant {
            ArgonVariant::I => Self::Argon2i,
            ArgonVariant::D => Self::Argon2d,
            ArgonVariant::Id => Self::Argon2id,
        }
    }
}

fn member(member: &'static str, text: &str) -> Result<Vec<u8>, KeyFileError> {
    base64::decode_strict(text).map_err(|source| KeyFileError::Base64 { member, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: ArgonOptions =
        ArgonOptions { variant: ArgonVariant::I, memory: 32, iterations: 1, parallelism: 2 };

    fn locked() -> (PrivateKey, LockedKey) {
        let key = PrivateKey::generate().expect("locked memory");
        match KeyFile::locked(&key, b"password", QUICK).expect("locked") {
            KeyFile::Locked(locked) => (key, locked),
            KeyFile::Unlocked(_) => panic!("asked for a locked file"),
        }
    }

    fn refused(key: LockedKey, password: Option<&[u8]>) -> String {
        KeyFile::Locked(key).private_key(password).expect_err("refused").to_string()
    }

    #[test]
    fn an_unlocked_file_returns_its_key() {
        let key = PrivateKey::generate().expect("locked memory");
        let json = KeyFile::unlocked(&key).to_json();
        assert!(json.starts_with(r#"{"type":"unlocked","data":{"bytes":""#), "shape");
        let file = KeyFile::from_json(json.as_bytes()).expect("a key file");
        assert!(!file.is_locked());
        assert_eq!(file.private_key(None).expect("unlocked"), key);
    }

    #[test]
    fn a_locked_file_returns_its_key_for_the_password() {
        for variant in [ArgonVariant::I, ArgonVariant::D, ArgonVariant::Id] {
            let key = PrivateKey::generate().expect("locked memory");
            let argon = ArgonOptions { variant, ..QUICK };
            let json = KeyFile::locked(&key, b"password", argon).expect("locked").to_json();
            let file = KeyFile::from_json(json.as_bytes()).expect("a key file");
            assert!(file.is_locked());
            assert_eq!(file.private_key(Some(b"password")).expect("unlocked"), key);
        }
    }

    #[test]
    fn a_wrong_or_missing_password_is_refused() {
        let (_, key) = locked();
        assert_eq!(
            refused(key.clone(), Some(b"wrong")),
            "key does not open: wrong password, or a damaged key file"
        );
        assert_eq!(refused(key, None), "key is locked: give its password");
    }

    #[test]
    fn unreasonable_parameters_are_refused() {
        let (_, key) = locked();
        let with = |argon| LockedKey { argon, ..key.clone() };
        let greedy = with(ArgonOptions { memory: MAX_MEMORY_KIB + 1, ..QUICK });
        assert_eq!(
            refused(greedy, Some(b"password")),
            "key file asks for 4194305 KiB of memory to unlock: at most 4194304 are given"
        );
        let idle = with(ArgonOptions { iterations: 0, ..QUICK });
        assert!(refused(idle, Some(b"password")).starts_with("key file asks for Argon2 parameters"));
    }

    #[test]
    fn what_is_no_key_file_is_refused() {
        let not_json = KeyFile::from_json(b"{").expect_err("refused");
        assert!(matches!(not_json, KeyFileError::Json(_)));
        let other_type = KeyFile::from_json(br#"{"type":"vault","data":{}}"#).expect_err("refused");
        assert!(matches!(other_type, KeyFileError::Json(_)));
        let short = KeyFile::from_json(br#"{"type":"unlocked","data":{"bytes":"QUI="}}"#).expect("JSON");
        assert!(matches!(short.private_key(None), Err(KeyFileError::Key(PrivateKeyError::Length(2)))));
        let damaged = KeyFile::from_json(br#"{"type":"unlocked","data":{"bytes":"!!"}}"#).expect("JSON");
        assert!(matches!(damaged.private_key(None), Err(KeyFileError::Base64 { member: "bytes", .. })));
    }

    #[test]
    fn an_absent_variant_means_id_and_unknown_members_are_ignored() {
        let json = r#"{"memory":8,"iterations":1,"parallelism":1,"version":"13"}"#;
        let argon: ArgonOptions = serde_json::from_str(json).expect("options");
        assert_eq!(argon.variant, ArgonVariant::Id);
        let quoted = r#"{"memory":"8","iterations":"1","parallelism":"1"}"#;
        assert_eq!(serde_json::from_str::<ArgonOptions>(quoted).expect("options"), argon);
    }

    #[test]
    fn debug_shows_no_key() {
        let file = KeyFile::unlocked(&PrivateKey::generate().expect("locked memory"));
        assert_eq!(format!("{file:?}"), "Unlocked(UnlockedKey { bytes: [redacted] })");
    }
}
