//! At most one pod at a time may be evicted. With one replica that is the pod: a drain goes through.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tessera_crds::names;

use crate::kube::meta::node_selector;
use crate::kube::planned::Planned;
use crate::node::resolve::Resolved;

pub(super) fn build(node: &Resolved) -> Planned {
    Planned::new(&PodDisruptionBudget {
        metadata: node.owner.metadata(names::node::disruption_budget(&node.name)),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            // A pod that is not ready serves nobody: it must not keep a machine from being drained.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            selector: Some(node_selector(&node.name)),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    })
}
