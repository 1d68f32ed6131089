//! Key pairs as Tessera's configuration gives them: `keys.keyData`, `keys.passwordFile`.
//!
//! The kind of an entry is the first that it is complete for: direct, inline, (vaults), file. The texts of the refusals
//! that Java Tessera has too are Java's, capitals and all, since people search for them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tessera_enclave::base64;
use tessera_enclave::key::KeyMismatch;
use tessera_enclave::keyfile::{KeyFile, KeyFileError};
use tessera_enclave::{ArenaError, KeyPair, PrivateKey, PrivateKeyError, PublicKey};
use zeroize::Zeroizing;

use crate::secret::SecretText;
use crate::text;

/// The member `keys` of the configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KeyConfiguration {
    /// One password per line, by index of `key_data`; a blank line for an unlocked key.
    pub password_file: Option<PathBuf>,
    /// Must be absent or empty.
    pub passwords: Option<Vec<SecretText>>,
    /// The pairs.
    pub key_data: Vec<KeyData>,
}

/// One entry of `keyData`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KeyData {
    /// Direct: base64.
    pub private_key: Option<SecretText>,
    /// Direct and inline: base64.
    pub public_key: Option<String>,
    /// Inline: what a private key file holds.
    pub config: Option<KeyFile>,
    /// File.
    pub private_key_path: Option<PathBuf>,
    /// File.
    pub public_key_path: Option<PathBuf>,
    /// Azure; recognised, not supported.
    pub azure_vault_public_key_id: Option<String>,
    /// Azure; recognised, not supported.
    pub azure_vault_private_key_id: Option<String>,
    /// Vault as Java Tessera uses it; recognised, not supported.
    pub hashicorp_vault_public_key_id: Option<String>,
    /// Vault as Java Tessera uses it; recognised, not supported.
    pub hashicorp_vault_private_key_id: Option<String>,
    /// Vault as Java Tessera uses it; recognised, not supported.
    pub hashicorp_vault_secret_engine_name: Option<String>,
    /// Vault as Java Tessera uses it; recognised, not supported.
    pub hashicorp_vault_secret_name: Option<String>,
    /// AWS; recognised, not supported.
    pub aws_secrets_manager_public_key_id: Option<String>,
    /// AWS; recognised, not supported.
    pub aws_secrets_manager_private_key_id: Option<String>,
}

/// Why keys cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum FileKeyError {
    /// `keyData` is empty.
    #[error("At least 1 public/private key pair must be provided")]
    None,
    /// `passwords` has entries and there is a `passwordFile`.
    #[error("A password file and inline passwords were provided. Please choose one or the other")]
    BothPasswords,
    /// `passwords` has entries.
    #[error(
        "For security reasons, passwords should not be provided directly in the config.  Provide them in a separate \
         file with \"passwordFile\" or at the CLI prompt during node startup."
    )]
    InlinePasswords,
    /// There is no such file.
    #[error("Password file does not exist")]
    PasswordFileMissing,
    /// The file cannot be read.
    #[error("Could not read the password file")]
    PasswordFile(#[source] io::Error),
    /// One pair is wrong.
    #[error("keys.keyData[{index}]: {problem}")]
    Pair {
        /// Its place in `keyData`, from 0.
        index: usize,
        /// What is wrong.
        problem: PairError,
    },
}

/// Why one pair is refused.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// One half only.
    #[error(
        "Invalid direct key-pair. Ensure that both the public and private keys for the key-pair have been provided."
    )]
    IncompleteDirect,
    /// One half only.
    #[error(
        "Invalid inline key-pair. Ensure that both the public key and private key config for the key-pair have been \
         provided."
    )]
    IncompleteInline,
    /// One half only.
    #[error(
        "Invalid Azure Key Vault key-pair. Ensure that both the public key and private key IDs for the key-pair have \
         been provided."
    )]
    IncompleteAzure,
    /// Some of the four are missing.
    #[error(
        "Invalid Hashicorp Key Vault key-pair. Ensure that the secret name, secret engine name, public key ID and \
         private key ID for the key-pair have been provided."
    )]
    IncompleteHashicorp,
    /// One half only.
    #[error(
        "Invalid AWS Secrets Manager key-pair. Ensure that both the public key and private key IDs for the key-pair \
         have been provided."
    )]
    IncompleteAws,
    /// One half only.
    #[error(
        "Invalid filesystem key-pair. Ensure that both the public key and private key paths for the key-pair have been \
         provided."
    )]
    IncompleteFile,
    /// Nothing at all.
    #[error(
        "Invalid key-pair. Ensure that the public and private keys for the key-pair are of the same type (i.e. inline, \
         filepaths, etc...)."
    )]
    Unknown,
    /// A kind that Java Tessera has and we do not.
    #[error("keys in {0} are not supported: use tesseraNode.secretStore, or direct, inline or file keys")]
    Unsupported(&'static str),
    /// No password for a locked key.
    #[error(
        "A locked key was provided without a password.\n Please ensure the same number of passwords are provided as \
         there are keys and remember to include empty passwords for unlocked keys"
    )]
    PasswordMissing,
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not base64 of 32 bytes. The text is not repeated, since it may be a misplaced secret.
    #[error("{member} is not the base64 of 32 bytes")]
    Encoding {
        /// Which half.
        member: &'static str,
    },
    /// There is no locked memory for the private key, and no other memory may hold it.
    #[error("{0}")]
    Memory(ArenaError),
    /// The private key's file or `config` does not yield a key.
    #[error("{0}")]
    KeyFile(KeyFileError),
    /// The halves do not belong together.
    #[error("{0}")]
    Mismatch(KeyMismatch),
}

impl KeyConfiguration {
    /// Reads, unlocks and checks all pairs, in order. Unlocking takes seconds and up to gigabytes: call it where blocking is
    /// allowed.
    pub fn load(&self) -> Result<Vec<KeyPair>, FileKeyError> {
        if self.key_data.is_empty() {
            return Err(FileKeyError::None);
        }
        let passwords = self.read_passwords()?;
        let pair = |(index, data): (usize, &KeyData)| {
            let password = passwords.get(index).map(|password| password.as_bytes());
            data.load(password).map_err(|problem| FileKeyError::Pair { index, problem })
        };
        self.key_data.iter().enumerate().map(pair).collect()
    }

    fn read_passwords(&self) -> Result<Vec<Zeroizing<String>>, FileKeyError> {
        let inline = self.passwords.as_ref().is_some_and(|passwords| !passwords.is_empty());
        let Some(path) = &self.password_file else {
            return if inline { Err(FileKeyError::InlinePasswords) } else { Ok(Vec::new()) };
        };
        if inline {
            return Err(FileKeyError::BothPasswords);
        }
        let text = Zeroizing::new(fs::read_to_string(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => FileKeyError::PasswordFileMissing,
            _ => FileKeyError::PasswordFile(error),
        })?);
        Ok(text.lines().map(|line| Zeroizing::new(line.to_owned())).collect())
    }
}

impl KeyData {
    fn load(&self, password: Option<&[u8]>) -> Result<KeyPair, PairError> {
        if let (Some(private), Some(public)) = (&self.private_key, &self.public_key) {
            return pair(public, decode_private(private.expose())?);
        }
        if let (Some(public), Some(config)) = (&self.public_key, &self.config) {
            return pair(public, unlock(config, password)?);
        }
        self.refuse_vaults()?;
        if let (Some(private), Some(public)) = (&self.private_key_path, &self.public_key_path) {
            let (public, private) = (read(public)?, read(private)?);
            let file = KeyFile::from_json(private.as_bytes()).map_err(PairError::KeyFile)?;
            return pair(public.trim(), unlock(&file, password)?);
        }
        Err(self.incomplete())
    }

    fn refuse_vaults(&self) -> Result<(), PairError> {
        let complete = |fields: &[&Option<String>]| fields.iter().all(|field| field.is_some());
        if complete(&self.azure()) {
            return Err(PairError::Unsupported("Azure Key Vault"));
        }
        if complete(&self.hashicorp()) {
            return Err(PairError::Unsupported("Hashicorp Vault by Tessera's own names"));
        }
        if complete(&self.aws()) {
            return Err(PairError::Unsupported("AWS Secrets Manager"));
        }
        Ok(())
    }

    /// Java's order.
    fn incomplete(&self) -> PairError {
        let any = |fields: &[&Option<String>]| fields.iter().any(|field| field.is_some());
        if self.public_key.is_some() || self.private_key.is_some() {
            PairError::IncompleteDirect
        } else if self.config.is_some() {
            PairError::IncompleteInline
        } else if any(&self.azure()) {
            PairError::IncompleteAzure
        } else if any(&self.hashicorp()) {
            PairError::IncompleteHashicorp
        } else if any(&self.aws()) {
            PairError::IncompleteAws
        } else if self.public_key_path.is_some() || self.private_key_path.is_some() {
            PairError::IncompleteFile
        } else {
            PairError::Unknown
        }
    }

    fn azure(&self) -> [&Option<String>; 2] {
        [&self.azure_vault_public_key_id, &self.azure_vault_private_key_id]
    }

    fn hashicorp(&self) -> [&Option<String>; 4] {
        [
            &self.hashicorp_vault_public_key_id,
            &self.hashicorp_vault_private_key_id,
            &self.hashicorp_vault_secret_engine_name,
            &self.hashicorp_vault_secret_name,
        ]
    }

    fn aws(&self) -> [&Option<String>; 2] {
        [&self.aws_secrets_manager_public_key_id, &self.aws_secrets_manager_private_key_id]
    }
}

fn pair(public: &str, private: PrivateKey) -> Result<KeyPair, PairError> {
    let public: PublicKey = public.parse().map_err(|_| PairError::Encoding { member: "the public key" })?;
    if public.as_bytes().len() != 32 {
        return Err(PairError::Encoding { member: "the public key" });
    }
    KeyPair::checked(&public, private).map_err(PairError::Mismatch)
}

fn decode_private(text: &str) -> Result<PrivateKey, PairError> {
    let encoding = PairError::Encoding { member: "the private key" };
    let Ok(bytes) = base64::decode_strict(text).map(Zeroizing::new) else { return Err(encoding) };
    PrivateKey::from_slice(&bytes).map_err(|error| match error {
        PrivateKeyError::Length(_) => encoding,
        PrivateKeyError::Memory(error) => PairError::Memory(error),
    })
}

/// A blank line stands for "no password".
fn unlock(file: &KeyFile, password: Option<&[u8]>) -> Result<PrivateKey, PairError> {
    file.private_key(password.filter(|password| !password.is_empty())).map_err(|error| match error {
        KeyFileError::PasswordMissing => PairError::PasswordMissing,
        other => PairError::KeyFile(other),
    })
}

fn read(path: &Path) -> Result<Zeroizing<String>, PairError> {
    text::read(path).map_err(|source| PairError::Read { path: path.to_owned(), source })
}
