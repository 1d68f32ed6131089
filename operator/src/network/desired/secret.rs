//! The leaves of clients: scrapers, and the operator at the secret store.

use crate::kube::planned::Planned;
use crate::network::resolve::Resolved;

/// Those that are not known to be stored already.
pub(super) fn build(network: &Resolved) -> Vec<Planned> {
    let secret = |leaf: &crate::issue::leaf::Leaf| {
        let secret = leaf.to_secret(network.owner.metadata(leaf.secret.name.clone()))?;
        Some(Planned::new(&secret).upon(leaf.basis.clone()))
    };
    network.client_leaves.iter().filter_map(secret).collect()
}
