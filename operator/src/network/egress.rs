//! What no node of a network may reach, beside the API server, which each node tries anyhow. Pure.

use tessera_crds::TesseraNetwork;
use tessera_node_api::dynamic_config::{Egress, VERSION};

/// Where clouds serve credentials of the machine to whatever runs on it. Elsewhere nothing answers there, and a connect that
/// fails proves little; one that is made proves that pods reach their machine's credentials.
const CLOUD_METADATA: &str = "169.254.169.254:80";

/// Addresses with ports: the built-in one, and those of `checklist.mustNotReach` in their order.
pub fn must_not_reach(network: &TesseraNetwork) -> Vec<String> {
    let named = network.spec.checklist.must_not_reach.iter().map(ToString::to_string);
    let mut all = vec![CLOUD_METADATA.to_owned()];
    all.extend(named.filter(|target| target != CLOUD_METADATA));
    all
}

/// What the nodes are given.
pub fn of_nodes(network: &TesseraNetwork) -> Egress {
    Egress { version: VERSION, must_not_reach: must_not_reach(network) }
}
