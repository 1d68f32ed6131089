//! Where the node is found: one Service for clients and scrapers, one headless for peers and the operator, and one for partners if it
//! is exposed.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tessera_crds::names::{self, label};
use tessera_node_api::paths::{ADMIN_PORT, METRICS_PORT, P2P_PORT, Q2T_PORT};

use super::pod::port;
use crate::kube::meta::node_selector;
use crate::kube::planned::Planned;
use crate::node::resolve::Resolved;
use crate::node::resolve::exposure::Exposed;

pub(super) fn build(node: &Resolved) -> Vec<Planned> {
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
    let own =
        [(names::node::client_service(&node.name), client), (names::node::p2p_service(&node.name), p2p)];
    let own = own.map(|(name, spec)| (node.owner.metadata(name), spec));
    let all = own.into_iter().chain(node.exposure.as_ref().map(|exposed| load_balancer(node, exposed)));
    let service =
        |(metadata, spec)| Planned::new(&Service { metadata, spec: Some(spec), ..Service::default() });
    all.map(service).collect()
}

fn load_balancer(node: &Resolved, exposed: &Exposed) -> (ObjectMeta, ServiceSpec) {
    let spec = ServiceSpec {
        type_: Some("LoadBalancer".to_owned()),
        load_balancer_class: exposed.spec.class.as_ref().map(ToString::to_string),
        // The node's policy goes by the address that a partner connects from, so no machine may put its own in its place.
        external_traffic_policy: Some("Local".to_owned()),
        load_balancer_source_ranges: Some(exposed.sources().iter().map(ToString::to_string).collect()),
        ports: Some(vec![ServicePort { port: exposed.port.into(), ..port_of(port::P2P, P2P_PORT) }]),
        selector: node_selector(&node.name).match_labels,
        ..families(exposed)
    };
    let mut metadata = node.owner.metadata(names::node::exposed_service(&node.name));
    let given: Vec<_> = exposed.spec.annotations.keys().map(String::as_str).collect();
    let annotations = metadata.annotations.get_or_insert_default();
    if !given.is_empty() {
        annotations.insert(label::GIVEN_ANNOTATIONS.to_owned(), given.join(","));
    }
    annotations.extend(exposed.spec.annotations.clone());
    (metadata, spec)
}

/// The families of the sources alone: of another one no source range would count, and the load balancer would take everybody.
fn families(exposed: &Exposed) -> ServiceSpec {
    let of_v6 = exposed.sources().iter().filter(|cidr| cidr.contains(':')).count();
    let family = match of_v6 {
        0 => Some("IPv4"),
        all if all == exposed.sources().len() => Some("IPv6"),
        _ => None,
    };
    ServiceSpec {
        ip_family_policy: Some(if family.is_some() { "SingleStack" } else { "PreferDualStack" }.to_owned()),
        ip_families: family.map(|family| vec![family.to_owned()]),
        ..ServiceSpec::default()
    }
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
