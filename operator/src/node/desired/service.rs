//! Where the node is found: one Service for clients and scrapers, one headless for peers and the operator.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tessera_crds::names;
use tessera_node_api::paths::{ADMIN_PORT, METRICS_PORT, P2P_PORT, Q2T_PORT};

use super::pod::port;
use crate::kube::meta::node_selector;
use crate::kube::planned::Planned;
use crate::node::resolve::Resolved;

pub(super) fn build(node: &Resolved) -> [Planned; 2] {
    let client = ServiceSpec {
        type_: Some("ClusterIP".to_owned()),
        ports: Some(vec![port_of(port::Q2T, Q2T_PORT), port_of(port::METRICS, METRICS_PORT)]),
        ..common(node)
    };
    let p2p = ServiceSpec {
        cluster_ip: Some("None".to_owned()),
        // A peer that starts must find us before we are ready, and the operator asks a node why it is not ready.
        publish_not_ready_addresses: Some(true),
        ports: Some(vec![port_of(port::P2P, P2P_PORT), port_of(port::ADMIN, ADMIN_PORT)]),
        ..common(node)
    };
    [(names::node::client_service(&node.name), client), (names::node::p2p_service(&node.name), p2p)].map(
        |(name, spec)| {
            Planned::new(&Service {
                metadata: node.owner.metadata(name),
                spec: Some(spec),
                ..Service::default()
            })
        },
    )
}

fn common(node: &Resolved) -> ServiceSpec {
    ServiceSpec {
        selector: node_selector(&node.name).match_labels,
        // Both address families where the cluster has both.
        ip_family_policy: Some("PreferDualStack".to_owned()),
        ..ServiceSpec::default()
    }
}

fn port_of(name: &str, number: u16) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: number.into(),
        protocol: Some("TCP".to_owned()),
        target_port: Some(IntOrString::String(name.to_owned())),
        ..ServicePort::default()
    }
}
