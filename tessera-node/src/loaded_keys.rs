//! The versions of keys in memory: their order, the default among them, what the status says of each. A pure part of the key service.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tessera_enclave::{KeyPair, PublicKey, TxHash};
use tessera_keys::VaultKey;
use tessera_node_api::admin::{KeyState, KeyStatus};
use tessera_node_api::dynamic_config::Key;
use tessera_store::StoreId;

use crate::clock;

/// The name of a key, and one of its versions.
pub(crate) type Version = (String, u32);

/// Versions in memory. None is ever removed: a stored payload may need it.
#[derive(Debug, Default)]
pub(crate) struct LoadedKeys(BTreeMap<Version, Loaded>);

/// One version.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) pair: Arc<KeyPair>,
    pub(crate) store_path: String,
    pub(crate) payload_store: Option<StoreId>,
    pub(crate) sample: Option<TxHash>,
    pub(crate) imported: bool,
    born_at: String,
    trigger: Option<u32>,
}

impl LoadedKeys {
    pub(crate) fn insert(&mut self, version: Version, loaded: Loaded) {
        self.0.insert(version, loaded);
    }

    pub(crate) fn get(&self, version: &Version) -> Option<&Loaded> {
        self.0.get(version)
    }

    pub(crate) fn contains(&self, version: &Version) -> bool {
        self.0.contains_key(version)
    }

    pub(crate) fn public_keys(&self) -> BTreeSet<PublicKey> {
        self.0.values().map(|loaded| *loaded.pair.public()).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Version, &Loaded)> {
        self.0.iter()
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Loaded> {
        self.0.values()
    }

    /// The newest version of the default key that `may_be_used` and is not archived, or else the newest: sends must go on.
    pub(crate) fn default_version(
        &self,
        wanted: &[Key],
        may_be_used: impl Fn(&PublicKey) -> bool,
    ) -> Option<Version> {
        let default = wanted.iter().find(|key| key.default)?;
        let usable = self.0.iter().filter(|(_, loaded)| may_be_used(loaded.pair.public()));
        let usable: Vec<_> = usable.map(|(version, _)| version).collect();
        let newest_first = || usable.iter().rev().copied().filter(|(name, _)| *name == default.name);
        let in_use = newest_first().find(|(_, version)| !default.archived.contains(version));
        in_use.or_else(|| newest_first().next()).cloned()
    }

    /// What is loaded: the configured keys in their order, then any that the configuration has dropped, since a stored
    /// payload may need it.
    pub(crate) fn in_order(&self, wanted: &[Key]) -> impl Iterator<Item = (Version, &Loaded)> {
        let place = |name: &str| wanted.iter().position(|key| key.name == name).unwrap_or(usize::MAX);
        let mut all: Vec<_> = self.0.iter().map(|(version, loaded)| (version.clone(), loaded)).collect();
        // Stable, so that the versions of a key stay in their order.
        all.sort_by_key(|((name, _), _)| place(name));
        all.into_iter()
    }
}

impl From<VaultKey> for Loaded {
    /// The record was verified when it was read.
    fn from(key: VaultKey) -> Self {
        Self {
            pair: key.pair,
            born_at: clock::rfc3339(key.born_at),
            store_path: key.store_path,
            payload_store: key.payload_store.and_then(|id| id.parse().ok()),
            trigger: key.trigger,
            sample: key.sample.and_then(|hash| hash.parse().ok()),
            imported: key.imported,
        }
    }
}

impl Loaded {
    pub(crate) fn status(&self, (name, version): &Version, state: KeyState) -> KeyStatus {
        KeyStatus {
            name: name.clone(),
            version: *version,
            public_key: self.pair.public().to_string(),
            state,
            imported: self.imported,
            born_at: Some(self.born_at.clone()),
            store_path: Some(self.store_path.clone()),
            trigger: self.trigger,
            last_pushed_at: None,
            sample: None,
            backup: None,
            waits_for: Vec::new(),
        }
    }
}

/// The versions that the configuration archives, without the default.
pub(crate) fn archived(wanted: &[Key], default: &Version) -> BTreeSet<Version> {
    let named = wanted.iter().flat_map(|key| key.archived.iter().map(|version| (key.name.clone(), *version)));
    named.filter(|version| version != default).collect()
}

/// The versions that the configuration asks for.
pub(crate) fn versions(wanted: &[Key]) -> impl Iterator<Item = Version> {
    wanted.iter().flat_map(|key| (1..=key.versions).map(|version| (key.name.clone(), version)))
}
