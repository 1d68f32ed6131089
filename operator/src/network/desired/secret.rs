//! The scrapers' leaves.

use crate::kube::planned::Planned;
use crate::network::resolve::Resolved;

pub(super) fn build(network: &Resolved) -> Vec<Planned> {
    let plan = |leaf: &crate::issue::leaf::Leaf| {
        Planned::new(&leaf.to_secret(network.owner.metadata(leaf.secret.clone())))
    };
    network.monitoring.iter().map(plan).collect()
}
