//! Metadata that owned objects have in common.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference};
use kube::Resource;
use kube::api::ObjectMeta;
use tessera_crds::names::{self, FIELD_MANAGER, label};

use super::object_id::ObjectId;

/// The labels of what belongs to a network.
pub fn network_labels(network: &str) -> BTreeMap<String, String> {
    labels([(label::NAME, label::NETWORK_APP), (label::MANAGED_BY, FIELD_MANAGER), (label::NETWORK, network)])
}

/// The labels of what belongs to a node.
pub fn node_labels(network: &str, node: &str) -> BTreeMap<String, String> {
    labels([
        (label::NAME, label::NODE_APP),
        (label::MANAGED_BY, FIELD_MANAGER),
        (label::NETWORK, network),
        (label::NODE, node),
    ])
}

/// What selects a node's pods.
pub fn node_selector(node: &str) -> LabelSelector {
    selector([(label::NODE, node)])
}

/// A selector of exactly these labels.
pub fn selector<const N: usize>(pairs: [(&str, &str); N]) -> LabelSelector {
    LabelSelector { match_labels: Some(labels(pairs)), ..LabelSelector::default() }
}

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// The owner of what is made for an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Owner {
    /// Goes into each owned object.
    pub reference: OwnerReference,
    /// Where the owner and all that it owns live.
    pub namespace: String,
    /// The labels of what it owns.
    pub labels: BTreeMap<String, String>,
}

impl Owner {
    /// `object` as an owner. It was read from the API server, so it has a UID.
    pub fn new<K: Resource<DynamicType = ()>>(object: &K, labels: BTreeMap<String, String>) -> Self {
        let meta = object.meta();
        Self {
            reference: OwnerReference {
                api_version: K::api_version(&()).into_owned(),
                kind: K::kind(&()).into_owned(),
                name: meta.name.clone().unwrap_or_default(),
                uid: meta.uid.clone().unwrap_or_default(),
                controller: Some(true),
                block_owner_deletion: Some(true),
            },
            namespace: meta.namespace.clone().unwrap_or_default(),
            labels,
        }
    }

    /// The metadata of an owned object called `name`.
    pub fn metadata(&self, name: String) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: Some(self.namespace.clone()),
            labels: Some(self.labels.clone()),
            owner_references: Some(vec![self.reference.clone()]),
            ..ObjectMeta::default()
        }
    }

    /// The metadata of a node's object that may be in another namespace: there an owner is not possible, and an annotation
    /// says whose it is.
    pub fn metadata_of(&self, object: &ObjectId) -> ObjectMeta {
        let owned = self.metadata(object.name.clone());
        if object.namespace == self.namespace {
            return owned;
        }
        ObjectMeta {
            namespace: Some(object.namespace.clone()),
            annotations: Some([(label::OF_NODE.to_owned(), self.node_path())].into()),
            owner_references: None,
            ..owned
        }
    }

    /// Namespace and name of this node in one.
    pub fn node_path(&self) -> String {
        names::node::path(&self.namespace, &self.reference.name)
    }
}

/// What an Event speaks of.
pub fn reference_to<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    object.object_ref(&())
}

/// The UID, which only an object that was never stored lacks.
pub fn uid_of<K: Resource>(object: &K) -> &str {
    object.meta().uid.as_deref().unwrap_or_default()
}

/// The name, which only an object that was never stored lacks.
pub fn name_of<K: Resource>(object: &K) -> &str {
    object.meta().name.as_deref().unwrap_or_default()
}

/// The namespace, which only an object that was never stored lacks.
pub fn namespace_of<K: Resource>(object: &K) -> &str {
    object.meta().namespace.as_deref().unwrap_or_default()
}

/// What an Event about an object of kind `K` with this metadata refers to.
pub fn reference_of<K: Resource<DynamicType = ()>>(metadata: &ObjectMeta) -> ObjectReference {
    ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        name: metadata.name.clone(),
        namespace: metadata.namespace.clone(),
        uid: metadata.uid.clone(),
        ..ObjectReference::default()
    }
}
