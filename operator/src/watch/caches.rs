//! What the watches of one namespace last saw.
//!
//! Owned objects are cached whole, but for Secrets, of which only the metadata is: a Secret's content is read when it is
//! needed and dropped.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Resource;
use kube::core::ApiResource;
use tessera_crds::names::{self, label};
use tessera_crds::{TesseraAttestation, TesseraNetwork, TesseraNode};

use super::cache::Cache;
use super::clear_text::ClearTextScan;
use super::kept::{KeptClaim, KeptPod, KeptSecret, Parsed, Text};
use super::policies::KeptPolicy;
use crate::backup::sent::KeptSent;
use crate::kube::object_id::ObjectId;

/// The kinds of owned objects that are cached whole.
pub fn owned_kinds() -> [ApiResource; 6] {
    [
        ApiResource::erase::<ServiceAccount>(&()),
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<NetworkPolicy>(&()),
        ApiResource::erase::<PodDisruptionBudget>(&()),
        ApiResource::erase::<StatefulSet>(&()),
    ]
}

/// The caches of one namespace.
#[derive(Clone)]
pub struct Caches {
    /// Networks.
    pub networks: Cache<Parsed<TesseraNetwork>>,
    /// Nodes, by network.
    pub nodes: Cache<Parsed<TesseraNode>>,
    /// Statements of people, by network.
    pub attestations: Cache<Parsed<TesseraAttestation>>,
    /// Proofs of custodians that were not judged, by node. No reconcile waits for these.
    pub proofs: Cache<KeptSent>,
    /// Keys that custodians bring back and no node has judged, by node. No reconcile waits for these.
    pub restores: Cache<KeptSent>,
    /// Pods of nodes, by StatefulSet; and those that try an image, by network.
    pub pods: Cache<KeptPod>,
    /// Volume claims of nodes.
    pub claims: Cache<KeptClaim>,
    /// Secrets of ours, by owner.
    pub secrets: Cache<KeptSecret>,
    /// Objects of ours, by kind, each by owner.
    pub owned: Vec<(ApiResource, Cache<Text>)>,
    /// All NetworkPolicies; of each, whether it opens pods without being ours.
    pub policies: Cache<KeptPolicy>,
    /// Credentials that objects of the namespace hold in clear text. No reconcile waits for these.
    pub clear_text: Arc<ClearTextScan>,
}

impl Default for Caches {
    fn default() -> Self {
        Self {
            networks: Cache::default(),
            nodes: Cache::default(),
            attestations: Cache::default(),
            proofs: Cache::default(),
            restores: Cache::default(),
            pods: Cache::default(),
            claims: Cache::default(),
            secrets: Cache::default(),
            owned: owned_kinds().into_iter().map(|resource| (resource, Cache::default())).collect(),
            policies: Cache::default(),
            clear_text: Arc::default(),
        }
    }
}

impl Caches {
    /// Waits until each cache has been filled once: a peer list made of half the nodes would be wrong.
    pub async fn until_filled(&self) {
        self.networks.until_filled().await;
        self.nodes.until_filled().await;
        self.attestations.until_filled().await;
        self.pods.until_filled().await;
        self.claims.until_filled().await;
        self.secrets.until_filled().await;
        self.policies.until_filled().await;
        for (_, cache) in &self.owned {
            cache.until_filled().await;
        }
    }

    /// All nodes of a network that this version can read and that are not being deleted, by name.
    pub fn nodes_of(&self, network: &str) -> Vec<Arc<TesseraNode>> {
        let nodes = self.nodes.indexed(network);
        let readable = nodes.iter().filter_map(|node| node.readable().cloned());
        readable.filter(|node| node.metadata.deletion_timestamp.is_none()).collect()
    }

    /// All statements about a network that this version can read, by name.
    pub fn attestations_of(&self, network: &str) -> Vec<Arc<TesseraAttestation>> {
        let attestations = self.attestations.indexed(network);
        attestations.iter().filter_map(|attestation| attestation.readable().cloned()).collect()
    }

    /// What was last seen of an owned object. Never of a Secret.
    pub fn seen(&self, object: &ObjectId) -> Option<Arc<Text>> {
        self.of_kind(&object.kind)?.get(&object.name)
    }

    /// The workload of the node called `node`.
    pub fn stateful_set(&self, node: &str) -> Option<Arc<Text>> {
        self.of_kind(&StatefulSet::kind(&()))?.get(&names::node::stateful_set(node))
    }

    /// The workload of the node with this UID.
    pub fn workload_of(&self, node_uid: &str) -> Option<Arc<Text>> {
        self.of_kind(&StatefulSet::kind(&()))?.indexed(node_uid).into_iter().next()
    }

    /// Each NetworkPolicy that the object with this UID controls.
    pub fn network_policies_of(&self, owner_uid: &str) -> Vec<Arc<Text>> {
        let cache = self.of_kind(&NetworkPolicy::kind(&()));
        cache.map(|cache| cache.indexed(owner_uid)).unwrap_or_default()
    }

    /// Each Service that the object with this UID controls.
    pub fn services_of(&self, owner_uid: &str) -> Vec<Arc<Text>> {
        let cache = self.of_kind(&Service::kind(&()));
        cache.map(|cache| cache.indexed(owner_uid)).unwrap_or_default()
    }

    /// The node that `pod` belongs to: its label names the node, and the node's own StatefulSet controls it. The label alone
    /// anybody can write.
    pub fn node_of(&self, pod: &KeptPod) -> Option<Arc<TesseraNode>> {
        let name = pod.metadata.labels.as_ref()?.get(label::NODE)?;
        let node = self.nodes.get(name)?.readable()?.clone();
        let workload = self.stateful_set(name)?;
        let controls = |owner: &str, object: Option<&str>| object == Some(owner);
        let uid = workload.metadata.uid.as_deref()?;
        let is_ours = controls(uid, super::cache::Cached::index(pod))
            && controls(node.metadata.uid.as_deref()?, super::cache::Cached::index(&*workload));
        is_ours.then_some(node)
    }

    fn of_kind(&self, kind: &str) -> Option<&Cache<Text>> {
        self.owned.iter().find(|(resource, _)| resource.kind == kind).map(|(_, cache)| cache)
    }
}
