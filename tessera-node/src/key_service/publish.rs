//! Publishes the keys in memory: the default among them, and those that other nodes may send to.
//!
//! Of several replicas on one database each waits with a key until all have it (`crate::replicas`): any of them may get the payload
//! that is for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use tessera_enclave::keyring::DefaultKey;
use tessera_enclave::{KeyRing, PublicKey};
use tessera_node_api::admin::{KeyState, KeyStatus};
use tessera_node_api::dynamic_config::Key;

use super::KeyService;
use crate::keyring::Keys;
use crate::loaded_keys::{Version, archived, versions};
use crate::readiness::ReadinessGate;
use crate::replicas::InUse;

impl KeyService {
    /// What the replicas may use; none: there are no replicas.
    pub(super) fn in_use(&self) -> Option<InUse> {
        let replicas = self.replicas.as_ref()?;
        Some(replicas.in_use().borrow().clone())
    }

    /// Shows the other replicas which keys are in memory. Searches the secret store again if they use one that is not.
    pub(super) fn declare(&mut self) {
        let Some(replicas) = &self.replicas else { return };
        replicas.declare(self.loaded.public_keys());
        if self.in_use().is_some_and(|in_use| !in_use.missing.is_empty()) {
            self.searched.clear();
        }
    }

    /// Replaces the keys in use. Before the first complete set nothing is published: the node must not serve with a part.
    pub(super) fn publish(&self, wanted: &[Key]) {
        let is_searched = |key: &Key| self.searched.contains(&key.name);
        let complete =
            wanted.iter().all(is_searched) && versions(wanted).all(|version| self.loaded.contains(&version));
        let in_use = self.in_use();
        // A key that another replica uses may be the one that a payload is for.
        let complete = complete && in_use.as_ref().is_none_or(|in_use| in_use.missing.is_empty());
        let first = self.keys.borrow().is_none();
        if wanted.is_empty() || (first && !complete) {
            return;
        }
        let may_be_used = |key: &PublicKey| in_use.as_ref().is_none_or(|in_use| in_use.keys.contains(key));
        let Some(default) = self.loaded.default_version(wanted, may_be_used) else { return };
        let Some(named) = self.loaded.get(&default) else { return };
        let named = DefaultKey::Named(*named.pair.public());
        let pairs: Vec<_> =
            self.loaded.in_order(wanted).map(|(_, loaded)| Arc::clone(&loaded.pair)).collect();
        // The default is one of the pairs.
        let Ok(ring) = KeyRing::new(pairs, &named) else { return };
        let archived = archived(wanted, &default);
        let state = |version: &Version| match version {
            version if *version == default => KeyState::Default,
            version if archived.contains(version) => KeyState::Archived,
            _ => KeyState::Receiving,
        };
        let in_order = self.loaded.in_order(wanted);
        let waits_for = |key: &PublicKey| {
            let waits = in_use.iter().flat_map(|in_use| &in_use.waits_for);
            waits.filter(|(waiting, _)| waiting == key).flat_map(|(_, replicas)| replicas.clone()).collect()
        };
        let status = in_order.map(|(version, loaded)| KeyStatus {
            waits_for: waits_for(loaded.pair.public()),
            ..loaded.status(&version, state(&version))
        });
        let status: Vec<_> = status.collect();
        let archived: BTreeSet<PublicKey> =
            archived.iter().filter_map(|version| Some(*self.loaded.get(version)?.pair.public())).collect();
        let withheld: BTreeSet<PublicKey> =
            self.loaded.public_keys().into_iter().filter(|key| !may_be_used(key)).collect();
        // Each publication is announced to all peers, so a retry that brought nothing must not be one.
        if self.keys.borrow().as_ref().is_some_and(|keys| {
            keys.is_complete() == complete && *keys.withheld() == withheld && keys.base_status() == status
        }) {
            return;
        }
        self.metrics.set_keys(ring.public_keys().len());
        let keys = Keys::new(ring, complete, status)
            .with_archived(archived)
            .with_withheld(withheld)
            .with_observed(self.observed.clone())
            .with_backups(self.sealer.backups());
        self.keys.send_replace(Some(Arc::new(keys)));
        if complete {
            self.readiness.satisfied(ReadinessGate::Keys);
        }
    }
}
