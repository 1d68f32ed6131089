//! Facts about the cluster that the command line gives. The operator looks none of them up: it has no rights outside of its
//! namespaces.

use k8s_openapi::api::networking::v1::NetworkPolicyEgressRule;

/// Facts about the cluster around the networks.
#[derive(Debug, Clone)]
pub struct ClusterSettings {
    /// The name that stands on the keys of the cluster's nodes in the secret store.
    pub cluster_name: String,
    /// Where CA states live and the operator's pods run.
    pub operator_namespace: String,
    /// The group that owns a node's volume and Secrets; `None` where the platform assigns one to each namespace.
    pub node_fs_group: Option<i64>,
    /// How a pod reaches the cluster's DNS, as its `NetworkPolicy` must have it.
    pub dns: NetworkPolicyEgressRule,
}
