//! No byte of a private key is anywhere but in the store and in the nodes' locked memory.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tessera_e2e::fleet::Fleet;
use tessera_e2e::search::{Hit, Search};

#[tokio::test]
async fn secrets_search() -> Result<()> {
    let nodes = ["a", "b"];
    let fleet = Fleet::start("e2e-secrets", &nodes).await?;
    let a = fleet.ledger("a").await?;
    a.send(b"so that the keys have been used", &[fleet.public_key("b").await?]).await?;

    let (mut private, mut public) = (Vec::new(), Vec::new());
    for node in nodes {
        let path = format!("{}/{}/tessera-node-{node}/keys/main/1", fleet.path_prefix, fleet.namespace);
        let (data, _) = fleet.vault.secret("secret", &path).await?;
        let bytes = |field: &str| {
            STANDARD.decode(data[field].as_str().unwrap_or_default()).context("base64 in the store")
        };
        private.push((format!("private key of {node}"), bytes("privateKey")?));
        public.push((format!("public key of {node}"), bytes("publicKey")?));
    }
    ensure!(private.iter().all(|(_, bytes)| bytes.len() == 32), "the store gave the private keys");

    let (found, files) = everywhere(&public)?;
    for (name, _) in &public {
        for place in ["/etcd/", "/volumes/", "/pods/"] {
            let is_there = |hit: &Hit| hit.secret == *name && hit.file.to_string_lossy().contains(place);
            ensure!(
                found.iter().any(is_there),
                "control: {name} is not in {place} of {files} files: {found:?}"
            );
        }
    }
    let (found, files) = everywhere(&private)?;
    ensure!(found.is_empty(), "private bytes in {found:?}");
    println!("{files} files, environments and command lines searched");
    fleet.done().await
}

/// The cluster's state (API server's storage, volumes, logs, mounts) and every process's environment and command line.
fn everywhere(secrets: &[(String, Vec<u8>)]) -> Result<(Vec<Hit>, usize)> {
    let search = Search::new(secrets)?;
    let root =
        std::env::var("TESSERA_STATE").context("TESSERA_STATE is not set: run the tests with hack/e2e")?;
    // Image layers are what we pushed, the same for all, and large.
    let skip =
        |path: &Path| path.ends_with("containerd") || path.ends_with("registry") || path.ends_with("bin");
    let (mut hits, files) = search.tree(Path::new(&root), &skip)?;
    let (more, processes) = search.processes()?;
    hits.extend(more);
    let unread = search.unread();
    ensure!(unread.is_empty(), "not searched, so nothing is known of it: {unread:?}");
    Ok((hits, files + processes))
}
