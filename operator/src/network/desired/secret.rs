//! The leaves of clients: scrapers, and the operator at the secret store.

use crate::kube::planned::Planned;
use crate::network::resolve::Resolved;

/// Those that are not known to be stored already.
pub(super) fn build(network: &Resolved) -> Vec<Planned> {
    let secret = |leaf: &crate::issue::leaf::Leaf| {
        leaf.to_secret(network.owner.metadata(leaf.secret.name.clone())).as_ref().map(Planned::new)
    };
    network.client_leaves.iter().filter_map(secret).collect()
}
