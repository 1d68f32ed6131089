//! What the watches of one namespace last saw.
//!
//! Owned objects are cached whole, but for Secrets, of which only the metadata is: a Secret's content is read when it is
//! needed and dropped.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::DynamicObject;
use kube::core::{ApiResource, PartialObjectMeta};
use kube::runtime::reflector::{ObjectRef, Store};
use tessera_crds::{TesseraNetwork, TesseraNode};

use crate::kube::meta::name_of;
use crate::kube::planned::{Planned, controller_of};

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
    pub networks: Store<TesseraNetwork>,
    /// Nodes.
    pub nodes: Store<TesseraNode>,
    /// Pods of nodes.
    pub pods: Store<Pod>,
    /// Volume claims of nodes.
    pub claims: Store<PersistentVolumeClaim>,
    /// Secrets of ours, metadata only.
    pub secrets: Store<PartialObjectMeta<Secret>>,
    /// Objects of ours, by kind.
    pub owned: Vec<(ApiResource, Store<DynamicObject>)>,
}

impl Caches {
    /// Waits until each cache has been filled once: a peer list made of half the nodes would be wrong.
    pub async fn wait_until_ready(&self) -> Result<(), kube::runtime::reflector::store::WriterDropped> {
        self.networks.wait_until_ready().await?;
        self.nodes.wait_until_ready().await?;
        self.pods.wait_until_ready().await?;
        self.claims.wait_until_ready().await?;
        self.secrets.wait_until_ready().await?;
        for (_, store) in &self.owned {
            store.wait_until_ready().await?;
        }
        Ok(())
    }

    /// The network called `name`.
    pub fn network(&self, namespace: &str, name: &str) -> Option<Arc<TesseraNetwork>> {
        self.networks.get(&ObjectRef::new(name).within(namespace))
    }

    /// All nodes of a network that are not being deleted, by name.
    pub fn nodes_of(&self, network: &str) -> Vec<Arc<TesseraNode>> {
        let belongs = |node: &TesseraNode| {
            *node.spec.network_ref.name == *network && node.metadata.deletion_timestamp.is_none()
        };
        let mut nodes: Vec<_> = self.nodes.state().into_iter().filter(|node| belongs(node)).collect();
        nodes.sort_by(|a, b| name_of(&**a).cmp(name_of(&**b)));
        nodes
    }

    /// What was last seen of a planned object. Never of a Secret.
    pub fn seen(&self, planned: &Planned) -> Option<Arc<DynamicObject>> {
        let store = self.store_of(&planned.resource.kind)?;
        store.get(&ObjectRef::new_with(&planned.name, planned.resource.clone()).within(&planned.namespace))
    }

    /// The owned object of kind `kind` called `name`.
    pub fn owned(&self, kind: &str, namespace: &str, name: &str) -> Option<Arc<DynamicObject>> {
        let (resource, store) = self.owned.iter().find(|(resource, _)| resource.kind == kind)?;
        store.get(&ObjectRef::new_with(name, resource.clone()).within(namespace))
    }

    /// Each NetworkPolicy that the object with this UID controls.
    pub fn network_policies_of(&self, owner_uid: &str) -> Vec<Arc<DynamicObject>> {
        let store = self.store_of("NetworkPolicy");
        let all = store.map(Store::state).unwrap_or_default();
        all.into_iter().filter(|object| is_controlled_by(&object.metadata, owner_uid)).collect()
    }

    /// The metadata of all Secrets that the object with this UID controls.
    pub fn secrets_of(&self, owner_uid: &str) -> Vec<Arc<PartialObjectMeta<Secret>>> {
        self.secrets
            .state()
            .into_iter()
            .filter(|object| is_controlled_by(&object.metadata, owner_uid))
            .collect()
    }

    /// The pods of the workload with this UID, by name. A label anybody can write.
    pub fn pods_of(&self, stateful_set_uid: &str) -> Vec<Arc<Pod>> {
        let is_of = |pod: &Pod| is_controlled_by(&pod.metadata, stateful_set_uid);
        let mut pods: Vec<_> = self.pods.state().into_iter().filter(|pod| is_of(pod)).collect();
        pods.sort_by(|a, b| name_of(&**a).cmp(name_of(&**b)));
        pods
    }

    /// The claim called `name`.
    pub fn claim(&self, namespace: &str, name: &str) -> Option<Arc<PersistentVolumeClaim>> {
        self.claims.get(&ObjectRef::new(name).within(namespace))
    }

    fn store_of(&self, kind: &str) -> Option<&Store<DynamicObject>> {
        self.owned.iter().find(|(resource, _)| resource.kind == kind).map(|(_, store)| store)
    }
}

fn is_controlled_by(metadata: &kube::api::ObjectMeta, uid: &str) -> bool {
    controller_of(metadata.owner_references.as_deref()).is_some_and(|owner| owner.uid == uid)
}
