//! A private payload goes from A to B; C cannot read it, and does not hold it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha3::{Digest as _, Sha3_512};
use tessera_e2e::cluster::Kind;
use tessera_e2e::fleet::Fleet;
use tessera_e2e::search::Search;

#[tokio::test]
async fn private_transaction() -> Result<()> {
    let fleet = Fleet::start("e2e-private-transaction", &["a", "b", "c"]).await?;
    let (a, b, c) = (fleet.ledger("a").await?, fleet.ledger("b").await?, fleet.ledger("c").await?);
    let (key_b, key_c) = (fleet.public_key("b").await?, fleet.public_key("c").await?);
    let payload = b"only A and B may read this";

    let hash = a.send(payload, std::slice::from_ref(&key_b)).await?;
    ensure!(a.payload(&hash).await? == payload, "the sender reads its own payload");
    ensure!(b.payload(&hash).await? == payload, "the recipient reads it");

    let refused = c.receive(&hash).await?;
    ensure!(refused.status == 404, "C is no party: {refused:?}");
    ensure!(refused.body == format!("Message with hash {hash} was not found"), "{refused:?}");

    let named = hash_of(&hash)?;
    let sealed = ciphertext(&volume(&fleet, "b").await?, &named, payload.len() + POLY1305_TAG)?;
    for (node, holds) in [("a", true), ("b", true), ("c", false)] {
        let sought = [("ciphertext".to_owned(), sealed.clone()), ("hash".to_owned(), named.clone())];
        let (hits, files) = Search::new(&sought)?.tree(&volume(&fleet, node).await?, &|_| false)?;
        ensure!(files > 0 && hits.is_empty() != holds, "volume of {node}, {files} files: {hits:?}");
    }

    let shared = a.send(payload, &[key_b, key_c]).await?;
    ensure!(shared != hash, "each send has a master key of its own, so a hash of its own");
    ensure!(c.payload(&shared).await? == payload, "with C among the recipients, C reads it");
    fleet.done().await
}

/// What the seal adds to a payload.
const POLY1305_TAG: usize = 16;

fn hash_of(text: &str) -> Result<Vec<u8>> {
    STANDARD.decode(text).context("a hash is base64")
}

/// Where the node's volume lies on this machine.
async fn volume(fleet: &Fleet, node: &str) -> Result<PathBuf> {
    let claim =
        fleet.cluster.get(Kind::PersistentVolumeClaim, &fleet.namespace, &format!("data-{node}-0")).await?;
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
            let mut windows = content.windows(length).filter(|bytes| bytes.iter().any(|byte| *byte != 0));
            if let Some(found) = windows.find(|bytes| Sha3_512::digest(bytes)[..] == *hash) {
                return Ok(found.to_vec());
            }
        }
    }
    anyhow::bail!("no ciphertext with this hash in {}", volume.display())
}

#[tokio::test]
async fn errors_a_ledger_node_sees() -> Result<()> {
    let fleet = Fleet::start("e2e-errors", &["a"]).await?;
    let a = fleet.ledger("a").await?;

    let nobody = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned();
    let unknown = a.try_send(b"x", std::slice::from_ref(&nobody)).await?;
    ensure!(unknown.status == 404, "{unknown:?}");
    ensure!(unknown.body == format!("Recipient not found for key: {nobody}"), "{unknown:?}");

    let up = a.pod.request("GET", &format!("{}/upcheck", a.url), None).await?;
    ensure!((up.status, up.body.as_str()) == (200, "I'm up!"), "{up:?}");

    let versions = a.pod.request("GET", &format!("{}/version/api", a.url), None).await?;
    ensure!(versions.body == r#"["1.0","2.0","2.1","3.0","4.0","5.0"]"#, "{versions:?}");
    fleet.done().await
}
