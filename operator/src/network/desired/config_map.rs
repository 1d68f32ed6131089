//! The public CA bundle, for ledger nodes to mount.

use k8s_openapi::api::core::v1::ConfigMap;
use tessera_crds::names;
use tessera_node_api::paths::CA_FILE;

use crate::kube::planned::Planned;
use crate::network::resolve::Resolved;

pub(super) fn build(network: &Resolved) -> Planned {
    let bundle = network.authorities.network.certificate_pem().to_owned();
    Planned::new(&ConfigMap {
        metadata: network.owner.metadata(names::network::ca_bundle(&network.name)),
        data: Some([(CA_FILE.to_owned(), bundle)].into()),
        ..ConfigMap::default()
    })
}
