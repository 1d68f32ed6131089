//! What the cluster around the networks is like, as the command line says it. The operator looks nothing of it up: it has no
//! rights outside of its namespaces.

use k8s_openapi::api::networking::v1::NetworkPolicyEgressRule;

/// What the cluster around the networks is like.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Where CA states live and the operator's pods run.
    pub operator_namespace: String,
    /// How a pod reaches the cluster's DNS, as its `NetworkPolicy` must have it.
    pub dns: NetworkPolicyEgressRule,
}
