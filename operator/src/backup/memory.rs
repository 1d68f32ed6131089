//! What is remembered of backups between two rounds of work, and what of it a reconcile reads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng as _;
use tessera_crds::{TesseraNode, names};
use tokio::sync::Semaphore;

use super::challenge::AcceptedProof;
use super::stored::KeptBackup;
use crate::controller::context::Context;
use crate::kube::meta::{name_of, namespace_of, uid_of};
use crate::memory::backoff::Backoff;
use crate::memory::per_object::{PerObject, Registry};
use crate::watch::cache::{Cache, Cached as _};

const FIRST_BACKOFF: Duration = Duration::from_secs(2);
const LONGEST_BACKOFF: Duration = Duration::from_mins(1);
/// How long the first list of the ConfigMaps may take, before statuses say that nobody knows.
const LIST_WAIT: Duration = Duration::from_secs(30);
/// Ciphertext of a node with 256 versions takes megabytes while it is carried.
const TRANSFERS: usize = 2;

/// What the operator remembers. Shared by all namespaces.
pub struct Backups {
    /// Where the ConfigMaps lie.
    pub operator_namespace: String,
    /// The ConfigMaps with backups, as the watch last saw them.
    pub stored: Cache<KeptBackup>,
    /// Proofs that nodes found right, whose nodes' statuses do not say so yet; by the UID of the proof.
    pub(super) accepted: Arc<PerObject<AcceptedProof>>,
    /// Why the backup of a node cannot be stored, by the UID of the node.
    pub(super) failures: Arc<PerObject<String>>,
    pub(super) backoff: Backoff,
    pub(super) transfers: Semaphore,
    started: Instant,
}

/// What a reconcile of a node reads.
#[derive(Debug, Clone, Default)]
pub struct ObservedBackup {
    /// Whether the ConfigMaps were listed: until then nobody knows.
    pub is_listed: bool,
    /// They will be listed in a moment: the status stays as it is.
    pub awaits_list: bool,
    /// The ConfigMap of the node, if there is one.
    pub stored: Option<Arc<KeptBackup>>,
    /// Proofs that the node found right.
    pub accepted: Vec<AcceptedProof>,
    /// Why the backup cannot be stored.
    pub failure: Option<String>,
    /// A challenge that nobody has seen.
    pub fresh: String,
}

impl Backups {
    /// Nothing is remembered yet.
    pub fn new(operator_namespace: String, registry: &Registry) -> Self {
        Self {
            operator_namespace,
            stored: Cache::default(),
            accepted: registry.per_object(),
            failures: registry.per_object(),
            backoff: Backoff::new(registry, FIRST_BACKOFF, LONGEST_BACKOFF),
            transfers: Semaphore::new(TRANSFERS),
            started: Instant::now(),
        }
    }

    /// Notes how storing the backup of the node with this UID went; whether that is new.
    pub(super) fn note(&self, uid: &str, failure: Option<String>) -> bool {
        let before = self.failures.get(uid);
        let is_new = before != failure;
        match failure {
            Some(failure) => self.failures.put(uid, failure),
            None => self.failures.forget(uid),
        }
        is_new
    }
}

/// What is known of the backup of `node`. Asks nobody.
pub fn observe(node: &TesseraNode, ctx: &Context) -> ObservedBackup {
    let backups = &ctx.backups;
    let is_listed = backups.stored.is_filled();
    let has_backup = node.status.as_ref().is_some_and(|status| status.key_backup.is_some());
    let pending = ctx.caches.proofs.indexed(name_of(node));
    ObservedBackup {
        is_listed,
        awaits_list: !is_listed && has_backup && backups.started.elapsed() < LIST_WAIT,
        stored: backups.stored.get(&names::node::key_backup(namespace_of(node), name_of(node))),
        accepted: pending.iter().filter_map(|proof| backups.accepted.get(proof.uid())).collect(),
        failure: backups.failures.get(uid_of(node)),
        fresh: hex::encode(rand::rng().random::<[u8; 32]>()),
    }
}
