//! What all nodes share: the public CA bundle, for ledger nodes to mount; the list of peers, and beside it the collector of logs,
//! the partners, and what no node may reach.

use k8s_openapi::api::core::v1::ConfigMap;
use serde::Serialize;
use tessera_crds::names;
use tessera_node_api::dynamic_config::{Peer, PeerList, VERSION};
use tessera_node_api::paths::{CA_FILE, EGRESS_FILE, LOGGING_FILE, PARTNERS_FILE, PEERS_FILE};

use crate::kube::planned::Planned;
use crate::network::partners;
use crate::network::resolve::Resolved;

pub(super) fn build(network: &Resolved) -> [Planned; 2] {
    let bundle = network.authorities.network.roots_pem();
    let logging = network.logging.as_ref().map(|logging| (LOGGING_FILE, pretty(logging)));
    let egress = (EGRESS_FILE, pretty(&network.egress));
    let partners = partners::of_nodes(&network.partners).map(|partners| (PARTNERS_FILE, pretty(&partners)));
    let for_nodes = [(PEERS_FILE, peers(network)), egress].into_iter().chain(logging).chain(partners);
    [
        config_map(network, names::network::ca_bundle(&network.name), [(CA_FILE, bundle)]),
        config_map(network, names::network::peers(&network.name), for_nodes),
    ]
}

fn peers(network: &Resolved) -> String {
    let peers = network.peers.iter().map(|url| Peer { url: url.clone() }).collect();
    pretty(&PeerList { version: VERSION, peers })
}

fn pretty(document: &impl Serialize) -> String {
    serde_json::to_string_pretty(document).expect("documents with string keys serialise") + "\n"
}

fn config_map(
    network: &Resolved,
    name: String,
    files: impl IntoIterator<Item = (&'static str, String)>,
) -> Planned {
    let files = files.into_iter().map(|(file, content)| (file.to_owned(), content));
    Planned::new(&ConfigMap {
        metadata: network.owner.metadata(name),
        data: Some(files.collect()),
        ..ConfigMap::default()
    })
}
