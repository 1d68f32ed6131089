//! The leaves: two for the node, one for each of its clients to mount.

use crate::kube::planned::Planned;
use crate::node::resolve::Resolved;

pub(super) fn build(node: &Resolved) -> Vec<Planned> {
    let leaves = [&node.tls, &node.admin_tls].into_iter().chain(&node.client_tls);
    leaves.map(|leaf| Planned::new(&leaf.to_secret(node.owner.metadata(leaf.secret.clone())))).collect()
}
