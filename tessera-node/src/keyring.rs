//! Our keys in memory, what each is used for, and whether they are all that the configuration names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use tessera_enclave::{KeyRing, PublicKey};
use tessera_node_api::admin::{KeyStatus, SampleStatus};

use crate::clock;
use crate::key_backups::{KeyBackup, KeyBackups};

/// The keys in use. Replaced as a whole when one is added or archived.
#[derive(Debug)]
pub struct Keys {
    ring: Arc<KeyRing>,
    archived: BTreeSet<PublicKey>,
    /// Keys that not every replica has yet.
    withheld: BTreeSet<PublicKey>,
    complete: bool,
    status: Vec<KeyStatus>,
    observed: ObservedUse,
    backups: KeyBackups,
}

/// What is seen of each key while the process runs. Shared by all sets of keys, so that a key that is added changes nothing.
/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct ObservedUse(Arc<Mutex<Seen>>);

#[derive(Debug, Clone, Default)]
struct Seen {
    uses: BTreeMap<PublicKey, OneUse>,
    /// Why versions that are asked for are not here.
    failures: Vec<String>,
}

#[derive(Debug, Clone, Default)]
struct OneUse {
    last_pushed: Option<Timestamp>,
    sample: Option<SampleStatus>,
}

impl Keys {
    /// `complete`: every key of the configuration is in `ring`.
    pub fn new(ring: KeyRing, complete: bool, status: Vec<KeyStatus>) -> Self {
        Self {
            ring: Arc::new(ring),
            archived: BTreeSet::new(),
            withheld: BTreeSet::new(),
            complete,
            status,
            observed: ObservedUse::default(),
            backups: KeyBackups::default(),
        }
    }

    /// With these keys archived, of which the default is none.
    pub(crate) fn with_archived(mut self, archived: BTreeSet<PublicKey>) -> Self {
        self.archived = archived;
        self
    }

    /// With these keys in memory and not in use, since not every replica has them.
    pub(crate) fn with_withheld(mut self, withheld: BTreeSet<PublicKey>) -> Self {
        self.withheld = withheld;
        self
    }

    /// With what was seen of the keys before.
    pub(crate) fn with_observed(mut self, observed: ObservedUse) -> Self {
        self.observed = observed;
        self
    }

    /// With what they are sealed to, now and later.
    pub(crate) fn with_backups(mut self, backups: KeyBackups) -> Self {
        self.backups = backups;
        self
    }

    /// Those that are sealed to custodians, in the order of the status.
    pub(crate) fn backups(&self) -> Vec<Arc<KeyBackup>> {
        self.status.iter().filter_map(|key| self.backups.get(&key.name, key.version)).collect()
    }

    /// The keys themselves, archived ones among them: whatever they have received stays readable.
    pub fn ring(&self) -> &Arc<KeyRing> {
        &self.ring
    }

    /// The keys that other nodes may send to.
    pub(crate) fn advertised(&self) -> impl Iterator<Item = &PublicKey> {
        self.ring.public_keys().filter(|key| !self.is_archived(key) && !self.withheld.contains(key))
    }

    /// Whether the key is one of ours that takes part in nothing new.
    pub(crate) fn is_archived(&self, key: &PublicKey) -> bool {
        self.archived.contains(key)
    }

    /// The keys that not every replica has yet.
    pub(crate) fn withheld(&self) -> &BTreeSet<PublicKey> {
        &self.withheld
    }

    /// Whether they are all that the configuration names.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// What the status says of them, beside what was seen and sealed.
    pub(crate) fn base_status(&self) -> &[KeyStatus] {
        &self.status
    }

    /// What the status says of them now.
    pub fn status(&self) -> Vec<KeyStatus> {
        let seen = self.observed.0.lock();
        let with_use = |status: &KeyStatus| {
            let public = status.public_key.parse().ok();
            let observed = public.and_then(|key: PublicKey| seen.uses.get(&key).cloned()).unwrap_or_default();
            KeyStatus {
                last_pushed_at: observed.last_pushed.map(clock::rfc3339),
                sample: observed.sample,
                backup: self.backups.status(&status.name, status.version),
                ..status.clone()
            }
        };
        self.status.iter().map(with_use).collect()
    }

    /// Why versions that the configuration asks for are not among them.
    pub(crate) fn failures(&self) -> Vec<String> {
        self.observed.0.lock().failures.clone()
    }

    /// Notes a push that was accepted for these recipients. Every push is for the default key until somebody rotates or has
    /// several, so that one is not counted.
    pub(crate) fn note_push(&self, recipients: &[PublicKey]) {
        for key in recipients.iter().filter(|key| *key != self.ring.default_key()) {
            if self.ring.contains(key) {
                self.observed.0.lock().uses.entry(*key).or_default().last_pushed = Some(clock::now());
            }
        }
    }
}

impl ObservedUse {
    /// Notes how the read of a key's sample ended.
    pub(crate) fn note_sample(&self, key: &PublicKey, sample: SampleStatus) {
        self.0.lock().uses.entry(*key).or_default().sample = Some(sample);
    }

    /// Replaces the reasons why versions that are asked for are not in memory.
    pub(crate) fn set_failures(&self, failures: Vec<String>) {
        self.0.lock().failures = failures;
    }
}
