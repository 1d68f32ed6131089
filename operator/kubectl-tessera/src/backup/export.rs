//! `kubectl tessera backup export`: writes a file for each node, to be kept offline. The files hold ciphertext alone.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::ConfigMap;
use tessera_backup::BackupFile;
use tessera_crds::names;
use tessera_node_api::key_backup::SealedKey;

use super::args::BackupExport;
use crate::cluster::Cluster;

/// Writes the files of what `args` name.
pub(crate) async fn run(args: &BackupExport) -> anyhow::Result<()> {
    let cluster = Cluster::connect(&args.target).await?;
    let nodes = match &args.node {
        Some(node) => vec![node.clone()],
        None => nodes_of(&cluster, &args.network).await?,
    };
    std::fs::create_dir_all(&args.directory)
        .with_context(|| format!("cannot make the directory {}", args.directory.display()))?;
    for node in nodes {
        let name = names::node::key_backup(cluster.namespace(), &node);
        let config_map = cluster.config_map(&args.operator_namespace, &name).await?;
        let Some(config_map) = config_map else {
            bail!(
                "the operator keeps no backup of TesseraNode {node:?} in namespace {:?} (ConfigMap {name}): its network names no custodians in spec.keyBackup, or the node has not been reached since; see the condition BackupCurrent",
                args.operator_namespace,
            );
        };
        let file =
            file_of(&cluster, &config_map, &node).await.with_context(|| format!("ConfigMap {name}"))?;
        let path = args.directory.join(format!("{node}.json"));
        write(&path, &file)?;
        println!("{}: {} of {node}, for {}", path.display(), versions(&file), recipients(&file));
    }
    println!(
        "keep the files offline, then let each custodian prove that theirs opens: kubectl tessera backup confirm FILE"
    );
    Ok(())
}

async fn nodes_of(cluster: &Cluster, network: &str) -> anyhow::Result<Vec<String>> {
    let nodes = cluster.nodes_of(network).await?;
    let names: Vec<_> = nodes.into_iter().filter_map(|node| node.metadata.name).collect();
    if names.is_empty() {
        bail!(
            "TesseraNetwork {network:?} has no node in namespace {:?}. The backup of a node that was deleted is exported with --node",
            cluster.namespace(),
        );
    }
    Ok(names)
}

/// The backup of the versions that the node has now; of a node that is gone, all.
async fn file_of(cluster: &Cluster, config_map: &ConfigMap, node: &str) -> anyhow::Result<BackupFile> {
    let mut file = file(config_map)?;
    if let Some(node) = cluster.node_if_any(node).await? {
        let keys = node.status.map(|status| status.keys).unwrap_or_default();
        let has = |sealed: &SealedKey| keys.iter().any(|key| key.public_key == sealed.public_key);
        // A node that awaits its keys has none: what it lost is what is wanted.
        if file.keys.iter().any(has) {
            file.keys.retain(has);
        }
    }
    if file.keys.is_empty() {
        bail!("it has no key yet");
    }
    Ok(file)
}

/// What the operator keeps, as a file.
fn file(config_map: &ConfigMap) -> anyhow::Result<BackupFile> {
    let data = config_map.data.clone().unwrap_or_default();
    let head = data.get(names::node::KEY_BACKUP_HEAD).context("it does not say whose backup it is")?;
    let mut file: BackupFile = serde_json::from_str(head).context("it does not say whose backup it is")?;
    let entries = data.iter().filter(|(entry, _)| *entry != names::node::KEY_BACKUP_HEAD);
    let keys = entries.map(|(entry, text)| {
        serde_json::from_str::<SealedKey>(text).with_context(|| format!("{entry} is no sealed key"))
    });
    file.keys = keys.collect::<anyhow::Result<_>>()?;
    file.keys.sort_by(|a, b| (&a.name, a.version, &a.public_key).cmp(&(&b.name, b.version, &b.public_key)));
    Ok(file)
}

/// Whole or not at all: the copy before must not be lost to a full disk.
fn write(path: &Path, file: &BackupFile) -> anyhow::Result<()> {
    let what = || format!("cannot write {}", path.display());
    let next = path.with_extension("json.new");
    let mut to = File::create(&next).with_context(what)?;
    to.write_all(format!("{}\n", serde_json::to_string_pretty(file)?).as_bytes()).with_context(what)?;
    to.sync_all().with_context(what)?;
    std::fs::rename(&next, path).with_context(what)
}

fn versions(file: &BackupFile) -> String {
    match file.keys.len() {
        1 => "1 version of a key".to_owned(),
        many => format!("{many} versions of keys"),
    }
}

/// All who can open a version of it.
fn recipients(file: &BackupFile) -> String {
    let all: BTreeSet<_> = file.keys.iter().flat_map(|key| &key.recipients).map(String::as_str).collect();
    all.into_iter().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tessera_backup::file::{FORMAT, KIND};

    use super::*;

    fn config_map() -> ConfigMap {
        let key = |version: u32| {
            json!({"name": "main", "version": version, "publicKey": format!("key-{version}"), "recipients": ["age1a"],
                   "ciphertext": "c"})
            .to_string()
        };
        let head = json!({"kind": KIND, "format": FORMAT, "cluster": "c", "namespace": "org-a", "network": "net",
                          "node": "a", "keys": []});
        let data = [
            (names::node::KEY_BACKUP_HEAD.to_owned(), head.to_string()),
            ("z".to_owned(), key(1)),
            ("y".to_owned(), key(2)),
        ];
        ConfigMap { data: Some(data.into()), ..ConfigMap::default() }
    }

    #[test]
    fn a_file_has_the_versions_in_order() {
        let file = file(&config_map()).unwrap();
        let order: Vec<_> = file.keys.iter().map(|key| key.version).collect();
        assert_eq!((order.as_slice(), file.node.as_str()), ([1, 2].as_slice(), "a"));
        assert_eq!((versions(&file), recipients(&file)), ("2 versions of keys".into(), "age1a".into()));
    }

    #[test]
    fn what_is_no_backup_is_refused_by_name() {
        let mut broken = config_map();
        broken.data.as_mut().unwrap().insert("x".to_owned(), "{}".to_owned());
        assert!(format!("{:#}", file(&broken).unwrap_err()).contains("x is no sealed key"));
        assert!(file(&ConfigMap::default()).is_err());
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.json");
        let file = file(&config_map()).unwrap();
        write(&path, &file).unwrap();
        write(&path, &file).unwrap();
        assert_eq!(BackupFile::from_json(&std::fs::read_to_string(&path).unwrap()).unwrap(), file);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
