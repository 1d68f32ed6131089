//! A payload's ciphertext lies at its parties and nowhere else. Looks at the volumes, so it needs the local engine.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha3::{Digest as _, Sha3_512};
use tessera_e2e::cluster::Kind;
use tessera_e2e::fleet::Fleet;
use tessera_e2e::search::Search;

#[tokio::test]
async fn ciphertext_lies_at_its_parties_only() -> Result<()> {
    let fleet = Fleet::start("e2e-ciphertext", &["a", "b", "c"]).await?;
    let a = fleet.ledger("a").await?;
    let key_b = fleet.public_key("b").await?;
    let payload = b"only A and B may hold this";
    let hash = STANDARD.decode(a.send(payload, &[key_b]).await?).context("a hash is base64")?;

    let sealed = ciphertext(&volume(&fleet, "b").await?, &hash, payload.len() + POLY1305_TAG)?;
    for (node, holds) in [("a", true), ("b", true), ("c", false)] {
        let sought = [("ciphertext".to_owned(), sealed.clone()), ("hash".to_owned(), hash.clone())];
        let (hits, files) = Search::new(&sought)?.tree(&volume(&fleet, node).await?, &|_| false)?;
        ensure!(files > 0 && hits.is_empty() != holds, "volume of {node}, {files} files: {hits:?}");
    }
    fleet.done().await
}

/// What the seal adds to a payload.
const POLY1305_TAG: usize = 16;

/// Where the node's volume lies on this machine.
async fn volume(fleet: &Fleet, node: &str) -> Result<PathBuf> {
    let claim = fleet
        .cluster
        .get(Kind::PersistentVolumeClaim, &fleet.namespace, &format!("data-tessera-{node}-0"))
        .await?;
    let name = claim["spec"]["volumeName"].as_str().context("the claim is bound")?;
    let volume = fleet.cluster.get(Kind::PersistentVolume, "", name).await?;
    let path = PathBuf::from(volume["spec"]["local"]["path"].as_str().context("a local volume")?);
    ensure!(path.is_dir(), "{} is not on this machine: this test needs the local engine", path.display());
    Ok(path)
}

/// The ciphertext in a volume, found by its own hash: wherever the store put it, in whichever format.
fn ciphertext(volume: &Path, hash: &[u8], length: usize) -> Result<Vec<u8>> {
    let mut pending = vec![volume.to_owned()];
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            for entry in std::fs::read_dir(&path)? {
                pending.push(entry?.path());
            }
        } else if path.is_file() {
            let content = std::fs::read(&path)?;
            // Logs are preallocated: behind the last record there are only zeros.
            let end = content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            let mut windows = content[..end].windows(length);
            if let Some(found) = windows.find(|bytes| Sha3_512::digest(bytes)[..] == *hash) {
                return Ok(found.to_vec());
            }
        }
    }
    anyhow::bail!("no ciphertext with this hash in {}", volume.display())
}
