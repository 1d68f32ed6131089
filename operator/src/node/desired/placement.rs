//! Where the scheduler had better not put a node: on a machine that runs a pod of its ledgers.
//!
//! A preference, so that a cluster with few machines runs nodes all the same. A change of `clients` alone changes no pod: the
//! workload keeps the terms that it has until its template changes for another reason (`stateful_set.rs`).

use k8s_openapi::api::core::v1::{Affinity, PodAffinityTerm, WeightedPodAffinityTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use tessera_crds::api::peer::IngressPeer;

use crate::node::resolve::Resolved;

/// Of 100: a user's own preference can weigh more, and less.
const WEIGHT: i32 = 50;
/// A scheduler compares each term with each pod.
const MAX_TERMS: usize = 16;

/// One term for each source of a client that names pods, each once.
pub(super) fn away_from_ledgers(node: &Resolved) -> Vec<WeightedPodAffinityTerm> {
    let mut terms = Vec::new();
    for term in node.clients.iter().flat_map(|client| &client.from).filter_map(term) {
        if terms.len() < MAX_TERMS && !terms.contains(&term) {
            terms.push(term);
        }
    }
    terms
}

/// Absent selectors mean the same here as in a policy. A source without any says nothing of ledgers: it names all pods of the
/// node's namespace, or of the cluster.
fn term(peer: &IngressPeer) -> Option<WeightedPodAffinityTerm> {
    let is_named = |selector: &Option<LabelSelector>| {
        selector.as_ref().is_some_and(|it| *it != LabelSelector::default())
    };
    let names_pods = is_named(&peer.pod_selector) || is_named(&peer.namespace_selector);
    (peer.ip_block.is_none() && names_pods).then(|| WeightedPodAffinityTerm {
        weight: WEIGHT,
        pod_affinity_term: PodAffinityTerm {
            label_selector: Some(peer.pod_selector.clone().unwrap_or_default()),
            namespace_selector: peer.namespace_selector.clone(),
            topology_key: "kubernetes.io/hostname".to_owned(),
            ..PodAffinityTerm::default()
        },
    })
}

/// What the user says, and `terms` after it.
pub(super) fn affinity(node: &Resolved, terms: &[WeightedPodAffinityTerm]) -> Option<Affinity> {
    let own = node.pod.affinity.clone();
    if terms.is_empty() {
        return own;
    }
    let mut affinity = own.unwrap_or_default();
    let anti_affinity = affinity.pod_anti_affinity.get_or_insert_default();
    let preferred = &mut anti_affinity.preferred_during_scheduling_ignored_during_execution;
    preferred.get_or_insert_default().extend_from_slice(terms);
    Some(affinity)
}

#[cfg(test)]
mod tests;
