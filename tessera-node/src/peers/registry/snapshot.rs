//! What readers see of the registry.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use tessera_enclave::PublicKey;

use super::{Node, Registry};
use crate::peers::NodeUrl;
use crate::peers::directory::{Directory, Peer, Target};
use crate::peers::endpoint::Endpoint;

impl Registry {
    /// What readers see. Linear in nodes and keys.
    pub(in crate::peers) fn snapshot(&self) -> Directory {
        let mut nodes: Vec<_> = self.nodes.values().collect();
        nodes.sort_unstable_by_key(|node| node.registered);
        let mut holders: HashMap<PublicKey, Vec<Arc<Peer>>> = HashMap::new();
        for node in &nodes {
            for key in &node.proven {
                holders.entry(*key).or_default().push(Arc::clone(&node.peer));
            }
        }
        Directory {
            own: self.own.clone(),
            own_keys: self.own_keys.clone(),
            holders,
            known: self.targets(&nodes),
            strangers: self.strangers.values().cloned().collect(),
            partners: Arc::clone(&self.partners),
            party_info: OnceLock::new(),
        }
    }

    fn targets(&self, nodes: &[&Node]) -> Vec<Target> {
        let target = |endpoint: &Arc<Endpoint>, configured| Target {
            endpoint: Arc::clone(endpoint),
            peers: Vec::new(),
            configured,
        };
        let mut targets: BTreeMap<&NodeUrl, Target> =
            self.configured.iter().map(|(url, endpoint)| (url, target(endpoint, true))).collect();
        for node in nodes {
            let endpoint = &node.peer.endpoint;
            let known = targets.entry(&endpoint.url).or_insert_with(|| target(endpoint, false));
            known.peers.push(Arc::clone(&node.peer));
        }
        targets.into_values().collect()
    }
}
