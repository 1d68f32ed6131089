//! `kubectl tessera backup restore`: brings keys back to a node that awaits them.

use anyhow::{anyhow, bail};
use tessera_backup::{BackupFile, Identity, Recipients};
use tessera_crds::api::key_backup::{NodeRef, RestoreRecipient, SealedVersion};
use tessera_crds::{TesseraKeyRestore, TesseraKeyRestoreSpec, TesseraNode};
use tessera_node_api::key_backup::SealedKey;

use super::args::BackupRestore;
use super::{custodian, outcome};
use crate::cluster::Cluster;

/// Brings the keys back, or prints the object that does.
pub(crate) async fn run(args: &BackupRestore) -> anyhow::Result<()> {
    let file = custodian::backup(&args.file)?;
    let identity = custodian::identity(&args.identity)?;
    let node_name = args.node.as_deref().unwrap_or(&file.node);
    if let Some(recipient) = &args.recipient {
        let awaited: Vec<_> =
            file.keys.iter().map(|key| awaited(key, recipient)).collect::<Result<_, _>>()?;
        let restore = restore(&file, &identity, node_name, &awaited)?;
        print!("{}", serde_yaml::to_string(&restore)?);
        eprintln!("create it where the cluster is reached, before the node restarts: kubectl create -f FILE");
        return Ok(());
    }
    let target = args.target.or_namespace(&file.namespace);
    let cluster = Cluster::connect(&target).await?;
    let node = cluster.node(node_name).await?;
    let mut restore = restore(&file, &identity, node_name, awaits(&node, &file)?)?;
    restore.metadata.namespace = Some(cluster.namespace().to_owned());
    let created = cluster.create(&restore).await?;
    println!("{}", outcome::wait(&cluster, &created, |it| it.status.as_ref()).await?);
    Ok(())
}

fn awaited(key: &SealedKey, recipient: &str) -> anyhow::Result<RestoreRecipient> {
    Ok(RestoreRecipient {
        key: key.name.clone(),
        version: i32::try_from(key.version)?,
        public_key: key.public_key.clone(),
        recipient: recipient.to_owned(),
    })
}

/// The versions that the node awaits.
fn awaits<'n>(node: &'n TesseraNode, file: &BackupFile) -> anyhow::Result<&'n [RestoreRecipient]> {
    let backup = node.status.as_ref().and_then(|status| status.key_backup.as_ref());
    let awaited = backup.map(|backup| backup.restore_recipients.as_slice()).unwrap_or_default();
    if awaited.is_empty() {
        bail!(
            "TesseraNode {:?} awaits no key. A node that is to get its keys back has them in its spec before its first start:\n{}",
            node.metadata.name.as_deref().unwrap_or_default(),
            snippet(file),
        );
    }
    Ok(awaited)
}

/// The lines of a TesseraNode that let it await what the file has.
fn snippet(file: &BackupFile) -> String {
    let mut names: Vec<_> = file.keys.iter().map(|key| key.name.as_str()).collect();
    names.dedup();
    let of_key = |name: &str| {
        let mut versions: Vec<_> = file.keys.iter().filter(|key| key.name == name).collect();
        versions.sort_by_key(|key| key.version);
        let publics: Vec<_> = versions.iter().map(|key| format!("{:?}", key.public_key)).collect();
        format!("  - name: {name}\n    restore: {{publicKeys: [{}]}}\n", publics.join(", "))
    };
    format!("spec:\n  keys:\n{}", names.into_iter().map(of_key).collect::<String>())
}

fn is_version(sealed: &SealedKey, wanted: &RestoreRecipient) -> bool {
    sealed.name == wanted.key && i64::from(sealed.version) == i64::from(wanted.version)
}

fn not_in_backup(file: &BackupFile, wanted: &RestoreRecipient) -> anyhow::Error {
    let RestoreRecipient { key, version, public_key, .. } = wanted;
    match file.keys.iter().find(|sealed| is_version(sealed, wanted)) {
        None => anyhow!("the backup has no version {version} of key {key}, which the node awaits"),
        Some(other) => anyhow!(
            "version {version} of key {key} is {} in the backup, and the node awaits {public_key}: bring the backup that has it, or correct spec.keys[{key}].restore.publicKeys",
            other.public_key
        ),
    }
}

fn restore(
    file: &BackupFile,
    identity: &Identity,
    node: &str,
    awaited: &[RestoreRecipient],
) -> anyhow::Result<TesseraKeyRestore> {
    let opened = custodian::open(file, identity)?;
    let mut keys = Vec::with_capacity(awaited.len());
    for wanted in awaited {
        let (sealed, pair) = opened
            .iter()
            .find(|(sealed, _)| is_version(sealed, wanted) && sealed.public_key == wanted.public_key)
            .ok_or_else(|| not_in_backup(file, wanted))?;
        let to = Recipients::parse([wanted.recipient.as_str()])?;
        let resealed = tessera_backup::seal(&sealed.name, sealed.version, pair, &to)?;
        keys.push(SealedVersion {
            name: resealed.name.into(),
            version: wanted.version,
            public_key: resealed.public_key,
            recipients: resealed.recipients.into_iter().map(Into::into).collect(),
            ciphertext: resealed.ciphertext,
        });
    }
    let spec = TesseraKeyRestoreSpec { node_ref: NodeRef { name: node.into() }, keys };
    let name = outcome::name(&[node], spec.keys.iter().map(|key| key.ciphertext.as_str()));
    let mut restore = TesseraKeyRestore::new(&name, spec);
    restore.metadata.namespace = Some(file.namespace.clone());
    Ok(restore)
}
