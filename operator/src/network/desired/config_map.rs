//! What all nodes share: the public CA bundle, for ledger nodes to mount, and the list of peers.

use k8s_openapi::api::core::v1::ConfigMap;
use tessera_crds::names;
use tessera_node_api::dynamic_config::{Peer, PeerList, VERSION};
use tessera_node_api::paths::{CA_FILE, PEERS_FILE};

use crate::kube::planned::Planned;
use crate::network::resolve::Resolved;

pub(super) fn build(network: &Resolved) -> [Planned; 2] {
    let bundle = network.authorities.network.certificate_pem().to_owned();
    [
        config_map(network, names::network::ca_bundle(&network.name), CA_FILE, bundle),
        config_map(network, names::network::peers(&network.name), PEERS_FILE, peers(network)),
    ]
}

fn peers(network: &Resolved) -> String {
    let peers = network.peers.iter().map(|url| Peer { url: url.clone() }).collect();
    let list = PeerList { version: VERSION, peers };
    serde_json::to_string_pretty(&list).expect("documents with string keys serialise") + "\n"
}

fn config_map(network: &Resolved, name: String, file: &str, content: String) -> Planned {
    Planned::new(&ConfigMap {
        metadata: network.owner.metadata(name),
        data: Some([(file.to_owned(), content)].into()),
        ..ConfigMap::default()
    })
}
