//! One version of a key as an age file.
//!
//! The plaintext is JSON: `{"format": 1, "name": …, "version": …, "publicKey": …, "privateKey": …}`, keys in base64.

use std::io::{self, Read, Write};

use age::armor::{ArmoredReader, ArmoredWriter, Format};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tessera_enclave::{KeyPair, PrivateKey, PublicKey, base64};
use tessera_node_api::key_backup::{BackupStatus, SealedKey};
use zeroize::Zeroizing;

use crate::identity::Identity;
use crate::recipients::{self, Recipients};

/// The format of the plaintext.
const FORMAT: u32 = 1;
/// A plaintext of this size is written and read without growing, and so without leaving copies behind.
const CAPACITY: usize = 1024;
/// No sealed key is longer: with all recipients that a network may have it has about 5 KiB.
const MAX_CIPHERTEXT: usize = 16 << 10;

/// Why a key cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealedError {
    /// age could not write.
    #[error("the key cannot be sealed: {0}")]
    Seal(String),
    /// The identity is none of the recipients.
    #[error("the identity cannot open it: it was sealed to others")]
    OtherRecipients,
    /// It is no age file, or a damaged one.
    #[error("it is no age file, or a damaged one: {0}")]
    NoAgeFile(String),
    /// What was sealed is no key of a format that this version reads.
    #[error("what was sealed is no key in a format that this version reads")]
    NoKey,
    /// The key is not the one that its cover names.
    #[error("the private key inside is not that of {0}")]
    OtherKey(String),
    /// The machine gives no locked memory.
    #[error(transparent)]
    Memory(#[from] tessera_enclave::ArenaError),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'k> {
    format: u32,
    name: &'k str,
    version: u32,
    public_key: &'k str,
    private_key: &'k str,
}

/// Text is kept zeroing, since a part of it is secret.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Opened {
    format: u32,
    name: String,
    version: u32,
    private_key: Zeroizing<String>,
}

/// Seals `pair` as `version` of the key `name`, so that each of `recipients` can open it.
pub fn seal(name: &str, version: u32, pair: &KeyPair, to: &Recipients) -> Result<SealedKey, SealedError> {
    let public_key = pair.public().to_string();
    let private_key = Zeroizing::new(base64::encode(pair.private().expose()));
    let document =
        Document { format: FORMAT, name, version, public_key: &public_key, private_key: &private_key };
    let mut plain = Zeroizing::new(Vec::with_capacity(CAPACITY));
    serde_json::to_writer(&mut *plain, &document).map_err(|error| SealedError::Seal(error.to_string()))?;
    let ciphertext = encrypt(&plain, to)?;
    Ok(SealedKey { name: name.to_owned(), version, public_key, recipients: to.texts(), ciphertext })
}

fn encrypt(plain: &[u8], to: &Recipients) -> Result<String, SealedError> {
    let failed = |error: &dyn std::error::Error| SealedError::Seal(error.to_string());
    let encryptor = age::Encryptor::with_recipients(to.for_age()).map_err(|error| failed(&error))?;
    let written = || -> io::Result<Vec<u8>> {
        let armored = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor)?;
        let mut writer = encryptor.wrap_output(armored)?;
        writer.write_all(plain)?;
        writer.finish()?.finish()
    };
    let bytes = written().map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|error| failed(&error))
}

/// Opens what [`seal`] made, and believes nothing: name, version and public key must be those of the cover.
pub fn open(sealed: &SealedKey, identity: &Identity) -> Result<KeyPair, SealedError> {
    let plain = decrypt(&sealed.ciphertext, identity)?;
    let opened: Opened = serde_json::from_slice(&plain).map_err(|_| SealedError::NoKey)?;
    if opened.format != FORMAT || opened.name != sealed.name || opened.version != sealed.version {
        return Err(SealedError::NoKey);
    }
    let bytes = base64::decode_strict(&opened.private_key).map_err(|_| SealedError::NoKey)?;
    let bytes = Zeroizing::new(bytes);
    let private = PrivateKey::from_slice(&bytes).map_err(|error| match error {
        tessera_enclave::PrivateKeyError::Memory(error) => SealedError::Memory(error),
        tessera_enclave::PrivateKeyError::Length(_) => SealedError::NoKey,
    })?;
    let other = || SealedError::OtherKey(sealed.public_key.clone());
    let public: PublicKey = sealed.public_key.parse().map_err(|_| other())?;
    KeyPair::checked(&public, private).map_err(|_| other())
}

fn decrypt(ciphertext: &str, identity: &Identity) -> Result<Zeroizing<Vec<u8>>, SealedError> {
    if ciphertext.len() > MAX_CIPHERTEXT {
        return Err(SealedError::NoAgeFile(format!("it is longer than {MAX_CIPHERTEXT} bytes")));
    }
    let armored = ArmoredReader::new(ciphertext.as_bytes());
    let decryptor = age::Decryptor::new_buffered(armored).map_err(|error| no_age_file(&error))?;
    let reader = decryptor.decrypt(identity.for_age()).map_err(|error| match error {
        age::DecryptError::NoMatchingKeys => SealedError::OtherRecipients,
        other => no_age_file(&other),
    })?;
    let mut plain = Zeroizing::new(Vec::with_capacity(MAX_CIPHERTEXT));
    reader.take(MAX_CIPHERTEXT as u64).read_to_end(&mut plain).map_err(|error| no_age_file(&error))?;
    Ok(plain)
}

fn no_age_file(error: &dyn std::error::Error) -> SealedError {
    SealedError::NoAgeFile(error.to_string())
}

/// What the node's status says of a sealed key.
pub fn status(sealed: &SealedKey) -> BackupStatus {
    BackupStatus {
        recipients_sha256: recipients::fingerprint(sealed.recipients.iter().map(String::as_str)),
        ciphertext_sha256: hex::encode(Sha256::digest(sealed.ciphertext.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed_to(identities: &[&Identity]) -> (KeyPair, SealedKey) {
        let pair = KeyPair::generate().unwrap();
        let texts: Vec<_> = identities.iter().map(|identity| identity.recipient()).collect();
        let to = Recipients::parse(texts.iter().map(String::as_str)).unwrap();
        let sealed = seal("main", 3, &pair, &to).unwrap();
        (pair, sealed)
    }

    #[test]
    fn each_custodian_opens_it_and_nobody_else() {
        let (alice, bob, eve) = (Identity::generate(), Identity::generate(), Identity::generate());
        let (pair, sealed) = sealed_to(&[&alice, &bob]);
        for custodian in [&alice, &bob] {
            let opened = open(&sealed, custodian).unwrap();
            assert_eq!(opened.private().expose(), pair.private().expose());
        }
        assert!(matches!(open(&sealed, &eve), Err(SealedError::OtherRecipients)));
        assert!(sealed.ciphertext.len() < MAX_CIPHERTEXT);
    }

    #[test]
    fn no_part_of_the_key_stands_in_the_clear() {
        let (pair, sealed) = sealed_to(&[&Identity::generate()]);
        let text = base64::encode(pair.private().expose());
        assert!(!serde_json::to_string(&sealed).unwrap().contains(&text));
    }

    #[test]
    fn another_cover_or_a_flipped_byte_is_refused() {
        let alice = Identity::generate();
        let (_, sealed) = sealed_to(&[&alice]);
        let other = KeyPair::generate().unwrap().public().to_string();
        for (change, what) in [
            (SealedKey { name: "other".to_owned(), ..sealed.clone() }, "name"),
            (SealedKey { version: 4, ..sealed.clone() }, "version"),
            (SealedKey { public_key: other, ..sealed.clone() }, "public key"),
            (SealedKey { ciphertext: "garbage".to_owned(), ..sealed.clone() }, "ciphertext"),
            (SealedKey { ciphertext: "x".repeat(MAX_CIPHERTEXT + 1), ..sealed.clone() }, "length"),
        ] {
            assert!(open(&change, &alice).is_err(), "{what}");
        }
        let lines: Vec<_> = sealed.ciphertext.lines().collect();
        for line in 1..lines.len() - 1 {
            let mut flipped: Vec<String> = lines.iter().map(ToString::to_string).collect();
            let first = if flipped[line].starts_with('A') { "B" } else { "A" };
            flipped[line].replace_range(..1, first);
            let ciphertext = flipped.join("\n") + "\n";
            assert!(open(&SealedKey { ciphertext, ..sealed.clone() }, &alice).is_err(), "line {line}");
        }
    }

    #[test]
    fn sixteen_custodians_fit() {
        let all: Vec<_> =
            (0..tessera_node_api::key_backup::MAX_RECIPIENTS).map(|_| Identity::generate()).collect();
        let (_, sealed) = sealed_to(&all.iter().collect::<Vec<_>>());
        assert!(open(&sealed, &all[15]).is_ok());
        assert_eq!(status(&sealed).recipients_sha256.len(), 64);
    }
}
