//! [pure] The ConfigMap with the backup of a node's keys: what the operator remembers of it, and what it is to hold.
//!
//! Nothing is ever taken out of it: a version that the node no longer has may be the one that is needed. Another key under the same name and
//! version has an entry of its own.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ObjectMeta;
use tessera_backup::{BackupFile, file, sealed};
use tessera_crds::names::{self, FIELD_MANAGER, label, node::key_backup_entry};
use tessera_node_api::admin::KeyStatus;
use tessera_node_api::key_backup::{SealedKey, SealedKeys};

use super::custodians::Custodians;
use crate::kube::planned::Planned;
use crate::watch::cache::Cached;

/// What a ConfigMap may hold, less what its metadata may take.
const MAX_BYTES: usize = 1_000_000;

/// What is kept of the ConfigMap: no ciphertext.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeptBackup {
    name: String,
    uid: String,
    entries: BTreeMap<String, KeptEntry>,
}

/// What is kept of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptEntry {
    /// Who can open it, `age1…`.
    pub recipients: Vec<String>,
    recipients_sha256: String,
    /// SHA-256 of the ciphertext.
    pub fingerprint: String,
}

impl KeptBackup {
    /// What `map` holds; what is no sealed key counts for nothing.
    pub fn keep(map: ConfigMap) -> Self {
        let entries = map.data.iter().flatten().filter_map(|(entry, text)| {
            let key: SealedKey = serde_json::from_str(text).ok()?;
            (key_backup_entry(&key.name, key.version, &key.public_key) == *entry)
                .then(|| (entry.clone(), KeptEntry::of(key)))
        });
        Self {
            entries: entries.collect(),
            name: map.metadata.name.unwrap_or_default(),
            uid: map.metadata.uid.unwrap_or_default(),
        }
    }

    /// What it has of this version.
    pub fn entry(&self, key: &str, version: u32, public_key: &str) -> Option<&KeptEntry> {
        self.entries.get(&key_backup_entry(key, version, public_key))
    }
}

impl KeptEntry {
    fn of(key: SealedKey) -> Self {
        let status = sealed::status(&key);
        Self {
            recipients: key.recipients,
            recipients_sha256: status.recipients_sha256,
            fingerprint: status.ciphertext_sha256,
        }
    }

    /// Whether it is sealed to exactly these recipients.
    pub fn is_sealed_to(&self, recipients_sha256: &str) -> bool {
        self.recipients_sha256 == recipients_sha256
    }
}

impl Cached for KeptBackup {
    fn name(&self) -> &str {
        &self.name
    }

    fn uid(&self) -> &str {
        &self.uid
    }

    fn index(&self) -> Option<&str> {
        None
    }
}

/// Whether the node has a version sealed to the recipients that the ConfigMap does not have so. A version that is sealed to others yet is not
/// fetched; that the same version is sealed anew to the same recipients changes nothing.
pub fn is_behind(reported: &[KeyStatus], kept: Option<&KeptBackup>, recipients_sha256: &str) -> bool {
    reported.iter().any(|key| {
        let is_sealed =
            key.backup.as_ref().is_some_and(|backup| backup.recipients_sha256 == recipients_sha256);
        let entry = kept.and_then(|kept| kept.entry(&key.name, key.version, &key.public_key));
        is_sealed && !entry.is_some_and(|entry| entry.is_sealed_to(recipients_sha256))
    })
}

/// Whose backup it is.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    /// Where the ConfigMap lies.
    pub operator_namespace: &'a str,
    /// The cluster as the operator names it.
    pub cluster: &'a str,
    /// The node's namespace.
    pub namespace: &'a str,
    /// Its network.
    pub network: &'a str,
    /// Its name.
    pub node: &'a str,
}

/// Why a ConfigMap cannot hold a backup.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum StoredError {
    /// Too many versions for too many custodians.
    #[error("ConfigMap {0} is full: name fewer custodians in spec.keyBackup of the network")]
    TooLarge(String),
    /// Another writer made one of that name.
    #[error("ConfigMap {0} was made by another writer: remove it, or rename it")]
    Foreign(String),
}

impl Subject<'_> {
    /// The name of the ConfigMap.
    pub fn name(&self) -> String {
        names::node::key_backup(self.namespace, self.node)
    }

    /// What `live` is to become with what the node sealed; `None`: it stays.
    pub fn merged(
        &self,
        live: Option<&ConfigMap>,
        sealed: &SealedKeys,
        custodians: &Custodians,
    ) -> Result<Option<Planned>, StoredError> {
        if live.is_some_and(|live| !self.is_ours(&live.metadata)) {
            return Err(StoredError::Foreign(self.name()));
        }
        let recipients = custodians.sha256().unwrap_or_default();
        let before = live.and_then(|live| live.data.clone()).unwrap_or_default();
        let mut data = before.clone();
        data.insert(names::node::KEY_BACKUP_HEAD.to_owned(), json(&self.head()));
        for key in &sealed.keys {
            let entry = key_backup_entry(&key.name, key.version, &key.public_key);
            let is_good = |text: &String| {
                let known = serde_json::from_str::<SealedKey>(text).ok().map(KeptEntry::of);
                known.is_some_and(|known| known.is_sealed_to(&recipients))
            };
            let is_wanted = sealed::status(key).recipients_sha256 == recipients;
            if is_wanted && !before.get(&entry).is_some_and(is_good) {
                data.insert(entry, json(key));
            }
        }
        if data == before {
            return Ok(None);
        }
        if data.iter().map(|(entry, text)| entry.len() + text.len()).sum::<usize>() > MAX_BYTES {
            return Err(StoredError::TooLarge(self.name()));
        }
        Ok(Some(self.planned(data)))
    }

    fn head(&self) -> BackupFile {
        BackupFile {
            kind: file::KIND.to_owned(),
            format: file::FORMAT,
            cluster: self.cluster.to_owned(),
            namespace: self.namespace.to_owned(),
            network: self.network.to_owned(),
            node: self.node.to_owned(),
            keys: Vec::new(),
        }
    }

    fn is_ours(&self, metadata: &ObjectMeta) -> bool {
        let has = |entries: Option<&BTreeMap<String, String>>, key: &str, value: &str| {
            entries.and_then(|entries| entries.get(key)).is_some_and(|found| found == value)
        };
        has(metadata.labels.as_ref(), label::NAME, label::KEY_BACKUP_APP)
            && has(metadata.annotations.as_ref(), label::OF_NODE, &self.path())
    }

    fn path(&self) -> String {
        names::node::path(self.namespace, self.node)
    }

    fn planned(&self, data: BTreeMap<String, String>) -> Planned {
        let labels = [
            (label::NAME, label::KEY_BACKUP_APP),
            (label::MANAGED_BY, FIELD_MANAGER),
            (label::NETWORK, self.network),
            (label::NODE, self.node),
        ];
        Planned::new(&ConfigMap {
            metadata: ObjectMeta {
                name: Some(self.name()),
                namespace: Some(self.operator_namespace.to_owned()),
                labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
                annotations: Some([(label::OF_NODE.to_owned(), self.path())].into()),
                ..ObjectMeta::default()
            },
            data: Some(data),
            ..ConfigMap::default()
        })
    }
}

fn json(document: &impl serde::Serialize) -> String {
    serde_json::to_string(document).expect("documents with string keys serialise")
}

#[cfg(test)]
mod tests;
