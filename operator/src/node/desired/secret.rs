//! The leaves: two for the node, one for each of its clients to mount, where the client is.

use crate::kube::planned::Planned;
use crate::node::resolve::Resolved;

/// Those that are not known to be stored already.
pub(super) fn build(node: &Resolved) -> Vec<Planned> {
    let secret = |leaf: &crate::issue::leaf::Leaf| {
        let secret = leaf.to_secret(node.owner.metadata_of(&leaf.secret))?;
        Some(Planned::new(&secret).upon(leaf.basis.clone()))
    };
    node.leaves().filter_map(secret).collect()
}
