//! What a custodian brings: the backup file and the identity that opens it. Reads files; the rest is pure.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use tessera_backup::{BackupFile, Identity, SealedError};
use tessera_enclave::KeyPair;
use tessera_node_api::key_backup::SealedKey;
use zeroize::Zeroizing;

/// A backup of 256 versions for 16 custodians has about 2 MiB.
const MAX_FILE: u64 = 4 << 20;

/// The backup file.
pub(super) fn backup(path: &Path) -> anyhow::Result<BackupFile> {
    let text = read(path)?;
    BackupFile::from_json(&text).with_context(|| format!("{}", path.display()))
}

/// The identity file.
pub(super) fn identity(path: &Path) -> anyhow::Result<Identity> {
    let text = read(path)?;
    Identity::parse(&text).with_context(|| format!("{}", path.display()))
}

/// The text is zeroed, for it may be an identity.
fn read(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    // A text that does not grow leaves no copies behind.
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(length.min(MAX_FILE))? + 1));
    let read = file.take(MAX_FILE + 1).read_to_string(&mut text);
    let read = read.with_context(|| format!("cannot read {} as text", path.display()))?;
    if read as u64 > MAX_FILE {
        bail!("{} has more than {MAX_FILE} bytes: it is no file of ours", path.display());
    }
    Ok(text)
}

/// Each version with its key pair. One that does not open fails all: a copy that opens in part is no backup.
pub(super) fn open<'f>(
    file: &'f BackupFile,
    identity: &Identity,
) -> anyhow::Result<Vec<(&'f SealedKey, KeyPair)>> {
    file.keys.iter().map(|sealed| Ok((sealed, open_one(sealed, identity)?))).collect()
}

fn open_one(sealed: &SealedKey, identity: &Identity) -> anyhow::Result<KeyPair> {
    let what = || format!("version {} of key {}", sealed.version, sealed.name);
    tessera_backup::open(sealed, identity).map_err(|error| match error {
        SealedError::OtherRecipients => anyhow::anyhow!(
            "{}: the identity ({}) cannot open it: it was sealed to {}. Export the backup again if you became a custodian after it was made",
            what(),
            identity.recipients().join(", "),
            sealed.recipients.join(", "),
        ),
        other => anyhow::Error::new(other).context(what()),
    })
}
