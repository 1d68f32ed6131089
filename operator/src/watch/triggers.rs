//! Which networks and nodes a change concerns.
//!
//! ```text
//! TesseraNode ───────┬──► that node; its network, when what the network counts or lists changed
//! TesseraNetwork ────┼──► that network; its nodes, when what they take from it changed; probes of its store and its pods
//! TesseraAttestation ┼──► its network, and the nodes of that
//! proofs, restores ──┼──► work on the backups of their node
//! stored backups ────┼──► their node, and work on its backups
//! owned objects ─────┼──► their owner, unless the change is our own last write
//! Secrets of clients ┼──► the node that they are made for, the same
//! pods, claims ──────┼──► their node; the pod's probes
//! policies of others ┼──► all nodes, if it opens pods
//! image checks ──────┼──► their network; its nodes that wait
//! credentials found ─┴──► all networks
//! ```

use std::sync::Arc;

use kube::api::ObjectMeta;
use tessera_crds::checklist::{ChecklistStatus, LineResult, Mode};
use tessera_crds::condition::ConditionType;
use tessera_crds::names::{self, label};
use tessera_crds::{TesseraAttestation, TesseraNetwork, TesseraNode};

use super::cache::{Cached, Change};
use super::kept::{KeptClaim, KeptPod, KeptSecret, Parsed, Text};
use super::policies::KeptPolicy;
use crate::backup::sent::KeptSent;
use crate::backup::stored::KeptBackup;
use crate::controller::context::Context;
use crate::kube::meta::name_of;
use crate::kube::ownership::node_path_of;
use crate::kube::planned::controller_of;
use crate::node::image_check;
use crate::node::rollout::STORE_VOUCHED_FOR;
use crate::report::conditions::{find, is_true};

/// Touches the queues of one namespace.
#[derive(Clone)]
pub(super) struct Triggers(Arc<Context>);

impl Triggers {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self(context)
    }

    pub(super) fn network(&self, change: &Change<Parsed<TesseraNetwork>>) {
        self.forget_deleted(change);
        let Some(object) = change.after.as_ref().or(change.before.as_ref()) else { return };
        let version = object.metadata.resource_version.as_deref();
        if !self.0.network_statuses.is_own_write(object.uid(), version) {
            self.0.queues.networks.touch(&object.name().to_owned());
        }
        if change.after.is_none() {
            self.0.metrics.checklist(&self.0.namespace, object.name(), &[]);
            self.0.metrics.certificates(&self.0.namespace, object.name(), None);
        }
        let (before, after) = (readable(change.before.as_ref()), readable(change.after.as_ref()));
        if before.map(taken_by_nodes) != after.map(taken_by_nodes) {
            self.nodes_of(object.name());
        }
        let generation = |network: &TesseraNetwork| network.metadata.generation;
        if before.map(generation) != after.map(generation) {
            self.0.queues.stores.touch(&object.name().to_owned());
            self.strangers_of(object.name());
            self.0.queues.cluster.touch(&object.name().to_owned());
            self.0.queues.machines.touch(&object.name().to_owned());
        }
    }

    pub(super) fn node(&self, change: &Change<Parsed<TesseraNode>>) {
        self.forget_deleted(change);
        let Some(object) = change.after.as_ref().or(change.before.as_ref()) else { return };
        let version = object.metadata.resource_version.as_deref();
        if !self.0.node_statuses.is_own_write(object.uid(), version) {
            self.0.queues.nodes.touch(&object.name().to_owned());
        }
        self.0.queues.backups.touch(&object.name().to_owned());
        let (before, after) = (readable(change.before.as_ref()), readable(change.after.as_ref()));
        if before.map(taken_by_network) != after.map(taken_by_network) {
            for node in [before, after].into_iter().flatten() {
                self.0.queues.networks.touch(&node.spec.network_ref.name.to_string());
            }
        }
    }

    pub(super) fn attestation(&self, change: &Change<Parsed<TesseraAttestation>>) {
        for attestation in [&change.before, &change.after].into_iter().flatten() {
            if let Some(network) = attestation.index() {
                self.0.queues.networks.touch(&network.to_owned());
                self.nodes_of(network);
            }
        }
    }

    /// What a custodian sent concerns the node that must judge it.
    pub(super) fn sent(&self, change: &Change<KeptSent>) {
        self.forget_deleted(change);
        if let Some(node) = change.after.as_ref().and_then(|sent| sent.pending_for()) {
            self.0.queues.backups.touch(&node.to_owned());
        }
    }

    pub(super) fn owned(&self, change: &Change<Text>) {
        self.forget_deleted(change);
        if let Some(after) = change.after.as_ref().filter(|after| self.0.writer.is_own_write(&after.metadata))
        {
            after.forget_content();
        }
        if let Some(object) = change.after.as_ref().or(change.before.as_ref()) {
            self.owner_of(&object.metadata);
        }
    }

    pub(super) fn secret(&self, change: &Change<KeptSecret>) {
        self.forget_deleted(change);
        if let Some(secret) = change.after.as_ref().or(change.before.as_ref()) {
            self.owner_of(&secret.0);
        }
    }

    /// The kubelet writes a pod's status often; what concerns the node is little of it.
    pub(super) fn pod(&self, change: &Change<KeptPod>) {
        self.forget_deleted(change);
        let Some(pod) = change.after.as_ref().or(change.before.as_ref()) else { return };
        if let Some(network) = image_check::network_of(pod) {
            self.0.queues.networks.touch(&network.to_owned());
            self.0.rollouts.wake_waiting(&self.0.namespace, network, &self.0.queues.nodes);
            return;
        }
        self.labelled(&pod.metadata);
        self.0.queues.pods.touch(&pod.name().to_owned());
        self.0.queues.strangers.touch(&pod.name().to_owned());
    }

    /// Of what pods it opens, each node looks itself.
    pub(super) fn policy(&self, change: &Change<KeptPolicy>) {
        if [&change.before, &change.after].into_iter().flatten().any(|policy| policy.opens_pods()) {
            for node in self.0.caches.nodes.objects() {
                self.0.queues.nodes.touch(&node.name().to_owned());
            }
        }
    }

    pub(super) fn claim(&self, change: &Change<KeptClaim>) {
        self.forget_deleted(change);
        if let Some(claim) = change.after.as_ref().or(change.before.as_ref()) {
            self.labelled(&claim.metadata);
        }
    }

    fn owner_of(&self, metadata: &ObjectMeta) {
        if self.0.writer.is_own_write(metadata) {
            return;
        }
        let Some(owner) = controller_of(metadata.owner_references.as_deref()) else {
            // Without an owner the object is not ours, but it may have been in our way.
            self.labelled(metadata);
            return;
        };
        match owner.kind.as_str() {
            "TesseraNode" => self.0.queues.nodes.touch(&owner.name),
            "TesseraNetwork" => self.0.queues.networks.touch(&owner.name),
            _ => {}
        }
    }

    /// A pod or a claim is controlled by others, but labelled with its node.
    fn labelled(&self, metadata: &ObjectMeta) {
        if let Some(node) = metadata.labels.as_ref().and_then(|labels| labels.get(label::NODE)) {
            self.0.queues.nodes.touch(node);
        }
    }

    /// What was found in the namespace concerns each of its networks.
    pub(super) fn all_networks(&self) {
        for network in self.0.caches.networks.objects() {
            self.0.queues.networks.touch(&network.name().to_owned());
        }
    }

    /// Its pods may be due sooner than before.
    fn strangers_of(&self, network: &str) {
        let is_of = |pod: &KeptPod| {
            let labels = pod.metadata.labels.as_ref();
            labels.is_some_and(|labels| {
                labels.contains_key(label::NODE) && labels.get(label::NETWORK).is_some_and(|it| it == network)
            })
        };
        for pod in self.0.caches.pods.objects().iter().filter(|pod| is_of(pod)) {
            self.0.queues.strangers.touch(&pod.name().to_owned());
        }
    }

    fn nodes_of(&self, network: &str) {
        for node in self.0.caches.nodes_of(network) {
            self.0.queues.nodes.touch(&name_of(&*node).to_owned());
            self.0.queues.backups.touch(&name_of(&*node).to_owned());
        }
    }

    /// An object that is gone, or that another of its name replaced, is remembered no longer.
    fn forget_deleted<T: Cached>(&self, change: &Change<T>) {
        let Some(before) = &change.before else { return };
        if change.after.as_ref().is_none_or(|after| after.uid() != before.uid()) {
            self.0.registry.forget(before.uid());
        }
    }
}

/// Touches the queues of all managed namespaces.
#[derive(Clone)]
pub(super) struct ClientTriggers(Arc<Vec<Triggers>>);

impl ClientTriggers {
    pub(super) fn new(managed: &[Arc<Context>]) -> Self {
        Self(Arc::new(managed.iter().map(|context| Triggers::new(Arc::clone(context))).collect()))
    }

    /// A Secret in a namespace of clients concerns the node that it is made for.
    pub(super) fn secret(&self, change: &Change<KeptSecret>) {
        for secret in [&change.before, &change.after].into_iter().flatten() {
            let path = node_path_of(secret.0.annotations.as_ref()).and_then(names::node::of_path);
            let Some((namespace, node)) = path else { continue };
            let owner = self.0.iter().find(|triggers| triggers.0.namespace == namespace);
            if let Some(owner) = owner.filter(|owner| !owner.0.writer.is_own_write(&secret.0)) {
                owner.0.queues.nodes.touch(&node.to_owned());
            }
        }
        if let Some(any) = self.0.first() {
            any.forget_deleted(change);
        }
    }
}

/// Touches the queues of the namespace whose node's backup changed.
#[derive(Clone)]
pub(super) struct BackupTriggers(Arc<Vec<Arc<Context>>>);

impl BackupTriggers {
    pub(super) fn new(managed: &[Arc<Context>]) -> Self {
        Self(Arc::new(managed.to_vec()))
    }

    /// A backup changed, by another writer or by ours, and the node's status must show it.
    pub(super) fn stored(&self, change: &Change<KeptBackup>) {
        let Some(stored) = change.after.as_ref().or(change.before.as_ref()) else { return };
        let Some((namespace, node)) = names::node::of_key_backup(stored.name()) else { return };
        if let Some(context) = self.0.iter().find(|context| context.namespace == namespace) {
            context.queues.nodes.touch(&node.to_owned());
            context.queues.backups.touch(&node.to_owned());
        }
    }
}

fn readable<K>(object: Option<&Arc<Parsed<K>>>) -> Option<&K> {
    object.and_then(|object| object.object.as_deref().ok())
}

/// What nodes take from their network: spec, CA, whether the store is ready or vouched for, an enforced checklist.
fn taken_by_nodes(network: &TesseraNetwork) -> impl PartialEq + use<> {
    let metadata = &network.metadata;
    let status = network.status.clone().unwrap_or_default();
    let store = find(&status.conditions, ConditionType::SecretStoreReady)
        .map(|condition| (condition.status.clone(), condition.reason.clone(), condition.observed_generation));
    let is_deleted = metadata.deletion_timestamp.is_some();
    let vouched = metadata.annotations.as_ref().and_then(|all| all.get(STORE_VOUCHED_FOR)).cloned();
    let enforced = (network.spec.checklist.mode == Mode::Enforce).then(|| enforced(status.checklist));
    let held: Vec<_> = status.held.into_iter().map(|held| held.field).collect();
    (metadata.generation, is_deleted, vouched, status.cas, store, enforced, held)
}

/// What holds changes of nodes back where the checklist is enforced.
fn enforced(checklist: Option<ChecklistStatus>) -> impl PartialEq + use<> {
    let lines = checklist.map(|checklist| checklist.lines.into_iter());
    lines.map(|lines| lines.map(|line| (line.id, line.result, line.reason, line.remedy)).collect::<Vec<_>>())
}

/// What a network takes from a node: which network it is of, whether it counts, whether it is ready, whether it is a peer,
/// what partners know it by, what its spec says of its image.
fn taken_by_network(node: &TesseraNode) -> impl PartialEq + use<> {
    let conditions = node.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    (
        node.spec.network_ref.name.to_string(),
        node.metadata.deletion_timestamp.is_some(),
        is_true(conditions, ConditionType::Ready),
        crate::node::resolve::is_stalled_without_key(node),
        crate::node::hold::is_held_as_new(node),
        crate::node::resolve::exposure::exposed_host(node),
        node.metadata.generation,
        checklist_of(node),
        backup_of(node),
    )
}

/// What the line `OfflineKeyBackup` is made of.
fn backup_of(node: &TesseraNode) -> impl PartialEq + use<> {
    let status = node.status.as_ref();
    let keys = status.map(|status| status.keys.as_slice()).unwrap_or_default();
    let stored: Vec<_> = keys.iter().map(|key| (key.name.clone(), key.version, key.backup.clone())).collect();
    let custodians = status.and_then(|status| status.key_backup.as_ref()).map(|it| it.custodians.clone());
    let conditions = status.map(|status| status.conditions.as_slice()).unwrap_or_default();
    let current = find(conditions, ConditionType::BackupCurrent).map(|current| current.status.clone());
    (stored, custodians, current)
}

/// What the network's checklist is made of; not until when the evidence counts, which each node renews twice an hour.
fn checklist_of(node: &TesseraNode) -> Vec<(LineResult, String)> {
    let lines =
        node.status.iter().flat_map(|status| &status.checklist).flat_map(|checklist| &checklist.lines);
    lines.map(|line| (line.result, line.observed.clone())).collect()
}
