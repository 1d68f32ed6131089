//! Keys that are adopted from the key file of a Java Tessera, before the secret store has them.
//!
//! ```text
//! key file ──► KeyFile ── unlocked ──────────────────────────────► PrivateKey ──► the expected public key? ──► KeyPair
//!                    └── locked ─► password, memory enough? ─► Argon2 ──┘
//! ```
//!
//! A file is read whole into zeroing memory, and no error holds a part of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tessera_enclave::keyfile::{KeyFile, KeyFileError, LockedKey};
use tessera_enclave::{KeyPair, PrivateKey, PublicKey};
use tessera_node_api::key_import::KeyImport;
use zeroize::Zeroizing;

use crate::text;

/// A key file has a few hundred bytes.
const MAX_BYTES: usize = 16 << 10;

/// A file that an import is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportPart {
    /// The key file.
    KeyFile,
    /// Its password.
    Password,
}

/// Why a key cannot be adopted. No message holds a byte of the files.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file is not there.
    #[error(
        "the Secret, or its key, is not in the pod yet: create it; the kubelet takes a minute or two to bring a Secret"
    )]
    Missing(ImportPart),
    /// The file cannot be read as text.
    #[error(
        "the Secret's key cannot be read as text ({problem}): put the file there as it is, not encoded a second time"
    )]
    Unreadable {
        /// Which file.
        part: ImportPart,
        /// What is wrong.
        problem: io::Error,
    },
    /// The file is too long for what it is.
    #[error("the Secret's key has more than {MAX_BYTES} bytes: put the one file there")]
    TooLong(ImportPart),
    /// The file is no private key file. The text alone is kept: what JSON's parser found wrong quotes the file.
    #[error("{0}: put the private key file (tm.key) of the Java node there as it is")]
    KeyFile(String),
    /// The file is locked, and no password is named.
    #[error("the key file is locked: name the Secret with its password here")]
    PasswordNotNamed,
    /// There are several passwords.
    #[error("the Secret's key has several lines: put the password of this key file there, alone")]
    PasswordLines,
    /// The password does not open the file.
    #[error(
        "the password does not open the key file: put the right one there; if it is right, the key file in secretRef is damaged"
    )]
    WrongPassword,
    /// Unlocking the file takes more memory than there is.
    #[error(
        "unlocking the key file takes {needed_mib} MiB of memory, of which this node can spare {spare_mib}: raise \
         resources.limits.memory to {} MiB until the key is adopted, or put the file there unlocked",
        .needed_mib.div_ceil(3) * 4
    )]
    Memory {
        /// What Argon2 is asked to use.
        needed_mib: u64,
        /// What may be used.
        spare_mib: u64,
    },
    /// The expected public key is none.
    #[error("it is not the base64 of 32 bytes: put there what stands in the .pub file")]
    ExpectedKey,
    /// The file holds another key.
    #[error(
        "it is {expected}, and the private key in secretRef has the public key {derived}: put the right key file there, or \
         correct publicKey"
    )]
    OtherKey {
        /// As configured.
        expected: PublicKey,
        /// Of the file.
        derived: PublicKey,
    },
}

impl ImportError {
    /// The field of `keys[].import` that is to be looked at.
    pub fn field(&self) -> &'static str {
        let part = match self {
            Self::Missing(part) | Self::TooLong(part) | Self::Unreadable { part, .. } => *part,
            Self::KeyFile(_) | Self::Memory { .. } => ImportPart::KeyFile,
            Self::PasswordNotNamed | Self::PasswordLines | Self::WrongPassword => ImportPart::Password,
            Self::ExpectedKey | Self::OtherKey { .. } => return "publicKey",
        };
        match part {
            ImportPart::KeyFile => "secretRef",
            ImportPart::Password => "passwordSecretRef",
        }
    }
}

/// Reads, unlocks and checks the key. `spare_bytes`: what unlocking may take. It takes seconds: call it where blocking is allowed.
pub fn read(import: &KeyImport, spare_bytes: u64) -> Result<KeyPair, ImportError> {
    let expected = import.public_key.as_deref().map(expected).transpose()?;
    let text = part(ImportPart::KeyFile, &import.file)?;
    let file = KeyFile::from_json(text.as_bytes()).map_err(|error| no_key_file(&error))?;
    let pair = KeyPair::from_private(private(import, &file, spare_bytes)?);
    match expected {
        Some(expected) if expected != *pair.public() => {
            Err(ImportError::OtherKey { expected, derived: *pair.public() })
        }
        _ => Ok(pair),
    }
}

fn expected(text: &str) -> Result<PublicKey, ImportError> {
    let key = text.parse::<PublicKey>().ok().filter(|key| key.as_bytes().len() == 32);
    key.ok_or(ImportError::ExpectedKey)
}

fn private(import: &KeyImport, file: &KeyFile, spare_bytes: u64) -> Result<PrivateKey, ImportError> {
    let KeyFile::Locked(locked) = file else {
        return file.private_key(None).map_err(|error| no_key_file(&error));
    };
    let named = import.password_file.as_deref().ok_or(ImportError::PasswordNotNamed)?;
    let text = part(ImportPart::Password, named)?;
    let password = only_line(&text)?;
    check_memory(locked, spare_bytes)?;
    file.private_key(Some(password.as_bytes())).map_err(|error| match error {
        KeyFileError::WrongPassword => ImportError::WrongPassword,
        other => no_key_file(&other),
    })
}

fn no_key_file(error: &KeyFileError) -> ImportError {
    ImportError::KeyFile(error.to_string())
}

/// Java's password files have one line for each key, and editors end a line.
fn only_line(text: &str) -> Result<&str, ImportError> {
    let mut lines = text.lines();
    let password = lines.next().unwrap_or_default();
    if lines.all(str::is_empty) { Ok(password) } else { Err(ImportError::PasswordLines) }
}

/// A process that takes more than its container has is killed, again and again.
fn check_memory(locked: &LockedKey, spare_bytes: u64) -> Result<(), ImportError> {
    let needed = u64::from(locked.argon.memory) << 10;
    if needed <= spare_bytes {
        return Ok(());
    }
    Err(ImportError::Memory { needed_mib: needed.div_ceil(1 << 20), spare_mib: spare_bytes >> 20 })
}

fn part(part: ImportPart, path: &str) -> Result<Zeroizing<String>, ImportError> {
    match text::read_up_to(Path::new(path), MAX_BYTES) {
        Ok(Some(text)) => Ok(text),
        Ok(None) => Err(ImportError::TooLong(part)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ImportError::Missing(part)),
        Err(problem) => Err(ImportError::Unreadable { part, problem }),
    }
}

/// Shows whether the files of an import were changed, without reading them: where each of them really lies, when it was written,
/// and how long it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(Vec<Option<(PathBuf, Option<SystemTime>, u64)>>);

impl Fingerprint {
    /// Of the files as they are now.
    pub fn of(import: &KeyImport) -> Self {
        Self(files(import).map(of_file).collect())
    }
}

/// Whether any file of an import is there.
pub fn any_present(import: &KeyImport) -> bool {
    files(import).any(Path::exists)
}

fn files(import: &KeyImport) -> impl Iterator<Item = &Path> {
    [Some(&import.file), import.password_file.as_ref()].into_iter().flatten().map(Path::new)
}

fn of_file(path: &Path) -> Option<(PathBuf, Option<SystemTime>, u64)> {
    let real = fs::canonicalize(path).ok()?;
    let metadata = fs::metadata(&real).ok()?;
    Some((real, metadata.modified().ok(), metadata.len()))
}
