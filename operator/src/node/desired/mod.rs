//! [pure, infallible] Every object that a node owns, in the order in which they are applied.

mod config_map;
mod database;
mod imports;
mod network_policy;
mod placement;
mod pod;
mod pod_disruption_budget;
mod secret;
mod service;
mod service_account;
mod stateful_set;

pub use network_policy::{addresses, endpoint, own as own_policy, pods_let_out, source};

use std::collections::BTreeSet;

use super::inputs::client_secret;
use super::resolve::Resolved;
use crate::kube::object_id::ObjectId;
use crate::kube::planned::Planned;

/// All objects of one node.
#[derive(Debug, Clone)]
pub struct Desired {
    /// What the workload needs: policies before pods, so that a new pod is policed as early as can be; what is mounted
    /// before what mounts it.
    pub supports: Vec<Planned>,
    /// The StatefulSet, last.
    pub workload: Planned,
}

impl Desired {
    /// Every object by its identity, with the Secrets that are known to be as they should, or that could not be read.
    pub fn names(&self, node: &Resolved) -> BTreeSet<ObjectId> {
        let planned = self.supports.iter().chain([&self.workload]).map(|planned| planned.id.clone());
        let leaves = node.leaves().map(|leaf| leaf.secret.clone());
        let clients = node.clients.iter();
        let clients = clients.map(|client| client_secret(&node.owner.namespace, &node.name, client));
        planned.chain(leaves).chain(clients).collect()
    }
}

/// Every object of `node`.
pub fn desired(node: &Resolved) -> Desired {
    let mut supports = network_policy::build(node);
    supports.push(service_account::build(node));
    supports.extend(config_map::build(node));
    supports.extend(secret::build(node));
    supports.extend(service::build(node));
    supports.push(pod_disruption_budget::build(node));
    Desired { supports, workload: stateful_set::build(node) }
}

#[cfg(test)]
mod tests;
