//! What a user may add to the pods of nodes: where they run, how their image is pulled, what marks them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, LocalObjectReference, Toleration, TopologySpreadConstraint};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::name::ObjectName;
use super::schema;

/// What a user may add to the pods of nodes. A field of a node that is set replaces the whole field of the network's
/// nodeDefaults, also with an empty list or map.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodSettings {
    /// The Secrets of this namespace with the credentials of the image's registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub image_pull_secrets: Option<Vec<PullSecret>>,
    /// The labels that a machine must have to run a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::labels")]
    pub node_selector: Option<BTreeMap<String, String>>,
    /// The taints that nodes tolerate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::tolerations")]
    pub tolerations: Option<Vec<Toleration>>,
    /// Rules about machines and other pods that decide where a node runs; after them the operator prefers machines without pods of
    /// the node's clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::affinity")]
    pub affinity: Option<Affinity>,
    /// How the pods spread over machines and zones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::topology_spread_constraints")]
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
    /// The PriorityClass of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<ObjectName>,
    /// Annotations of the pods. Keys that sidecar injectors, networks or the operator read are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::pod_annotations")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Labels of the pods. Keys that sidecar injectors, networks or the operator read are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::pod_labels")]
    pub labels: Option<BTreeMap<String, String>>,
}

/// A Secret of this namespace with the credentials of a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PullSecret {
    /// The Secret's name.
    pub name: ObjectName,
}

impl From<&PullSecret> for LocalObjectReference {
    fn from(secret: &PullSecret) -> Self {
        Self { name: secret.name.to_string() }
    }
}

impl PodSettings {
    /// `self`, with each field that it lacks from `defaults`.
    #[must_use]
    pub fn or(self, defaults: Self) -> Self {
        Self {
            image_pull_secrets: self.image_pull_secrets.or(defaults.image_pull_secrets),
            node_selector: self.node_selector.or(defaults.node_selector),
            tolerations: self.tolerations.or(defaults.tolerations),
            affinity: self.affinity.or(defaults.affinity),
            topology_spread_constraints: self
                .topology_spread_constraints
                .or(defaults.topology_spread_constraints),
            priority_class_name: self.priority_class_name.or(defaults.priority_class_name),
            annotations: self.annotations.or(defaults.annotations),
            labels: self.labels.or(defaults.labels),
        }
    }
}
