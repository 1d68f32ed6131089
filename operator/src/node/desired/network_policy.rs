//! Who may reach the node and whom it may reach: exactly the traffic that its work needs, both ways.
//!
//! ```text
//! peers    ── 9000 ──►┌──────┐── 9000 ──► peers
//! partners ── 9000 ──►│      │── … ─────► partners (the egress list of each)
//! clients  ── 8080 ──►│ node │── 53 ────► DNS
//! operator ── 9443 ──►│      │── … ─────► secret store (its egress list)
//! scrapers ── 9464 ──►└──────┘── … ─────► collector of logs, database (the egress list of each)
//! ```
//!
//! In a dedicated namespace everything is denied by default, also what clients send; a policy for each client lets those
//! of its pods that are in this namespace out to the node.

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tessera_crds::Cidr;
use tessera_crds::api::peer::{EgressRule, IngressPeer};
use tessera_crds::names::{self, FIELD_MANAGER, label};
use tessera_node_api::paths::{ADMIN_PORT, METRICS_PORT, P2P_PORT, Q2T_PORT};

use crate::kube::meta::{node_selector, selector};
use crate::kube::planned::Planned;
use crate::node::resolve::Resolved;
use crate::node::resolve::exposure::Exposed;

const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

pub(super) fn build(node: &Resolved) -> Vec<Planned> {
    let clients = if node.dedicated { client_policies(node) } else { Vec::new() };
    [own(node)].into_iter().chain(clients).collect()
}

/// The node's own policy.
pub fn own(node: &Resolved) -> Planned {
    policy(
        node,
        names::node::network_policy(&node.name),
        NetworkPolicySpec {
            pod_selector: Some(node_selector(&node.name)),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(ingress(node)),
            egress: Some(egress(node)),
        },
    )
}

fn ingress(node: &Resolved) -> Vec<NetworkPolicyIngressRule> {
    let rule = |from: Vec<NetworkPolicyPeer>, port| NetworkPolicyIngressRule {
        from: Some(from),
        ports: Some(vec![tcp(port)]),
    };
    let operator = NetworkPolicyPeer {
        namespace_selector: Some(selector([(NAMESPACE_NAME, &node.settings.operator_namespace)])),
        pod_selector: Some(selector([(label::NAME, FIELD_MANAGER)])),
        ip_block: None,
    };
    let clients: Vec<_> = node.clients.iter().flat_map(|client| &client.from).map(source).collect();
    let scrapers: Vec<_> = node.monitoring.iter().map(|scraper| source(&scraper.from)).collect();
    let partners = node.partners.iter().flat_map(|partner| &partner.from).map(source);
    let exposed = node.exposure.iter().flat_map(Exposed::sources).map(addresses);
    let p2p = [peer_nodes(node)].into_iter().chain(partners).chain(exposed).collect();
    let mut rules = vec![rule(p2p, P2P_PORT), rule(vec![operator], ADMIN_PORT)];
    // An empty `from` would let everybody in.
    if !clients.is_empty() {
        rules.push(rule(clients, Q2T_PORT));
    }
    if !scrapers.is_empty() {
        rules.push(rule(scrapers, METRICS_PORT));
    }
    rules
}

fn egress(node: &Resolved) -> Vec<NetworkPolicyEgressRule> {
    let peers =
        NetworkPolicyEgressRule { to: Some(vec![peer_nodes(node)]), ports: Some(vec![tcp(P2P_PORT)]) };
    let collector = node.collector.iter().flat_map(|collector| &collector.egress);
    let partners = node.partners.iter().flat_map(|partner| &partner.egress);
    let database = node.storage.postgres().into_iter().flat_map(|postgres| &postgres.egress);
    let outside = node.store_egress.iter().chain(collector).chain(partners).chain(database).map(|rule| {
        NetworkPolicyEgressRule { to: Some(vec![endpoint(rule)]), ports: Some(vec![port("TCP", rule.port)]) }
    });
    [peers, node.settings.dns.clone()].into_iter().chain(outside).collect()
}

fn peer_nodes(node: &Resolved) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        pod_selector: Some(selector([(label::NAME, label::NODE_APP), (label::NETWORK, &node.network)])),
        ..NetworkPolicyPeer::default()
    }
}

/// A client's or a scraper's source, as a policy says it.
pub fn source(peer: &IngressPeer) -> NetworkPolicyPeer {
    if let Some(block) = &peer.ip_block {
        return addresses(&block.cidr);
    }
    NetworkPolicyPeer {
        namespace_selector: peer.namespace_selector.clone(),
        // Absent means all pods of the namespaces; a peer with neither selector would be refused.
        pod_selector: Some(peer.pod_selector.clone().unwrap_or_default()),
        ip_block: None,
    }
}

/// Whom an egress rule leads to, as a policy says it.
pub fn endpoint(rule: &EgressRule) -> NetworkPolicyPeer {
    match &rule.cidr {
        Some(cidr) => addresses(cidr),
        None => NetworkPolicyPeer {
            namespace_selector: rule.namespace_selector.clone(),
            pod_selector: Some(rule.pod_selector.clone().unwrap_or_default()),
            ip_block: None,
        },
    }
}

/// A range of addresses, as a policy says it.
pub fn addresses(cidr: &Cidr) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        ip_block: Some(IPBlock { cidr: cidr.to_string(), except: None }),
        ..NetworkPolicyPeer::default()
    }
}

fn client_policies(node: &Resolved) -> Vec<Planned> {
    let mut policies = Vec::new();
    for client in &node.clients {
        for (index, pods) in client.from.iter().filter_map(pods_let_out).enumerate() {
            let name = names::node::client_secret(&node.name, &client.name);
            // A dot, which no client's name has: "a" and its second peer must not be called like a client "a-1".
            let name = if index == 0 { name } else { format!("{name}.{index}") };
            policies.push(policy(node, name, let_out(node, pods)));
        }
    }
    policies
}

/// The pods of this namespace that a peer may mean. Whether a namespace selector picks this namespace is not ours to know;
/// whom it does not pick gets no further than DNS, since the node's own policy keeps it out. One that names no pods at all
/// would let out everybody, so it lets out nobody.
pub fn pods_let_out(peer: &IngressPeer) -> Option<LabelSelector> {
    if peer.ip_block.is_some() {
        return None;
    }
    let pods = peer.pod_selector.clone().unwrap_or_default();
    (peer.namespace_selector.is_none() || pods != LabelSelector::default()).then_some(pods)
}

fn let_out(node: &Resolved, client: LabelSelector) -> NetworkPolicySpec {
    let to_node = NetworkPolicyEgressRule {
        to: Some(vec![NetworkPolicyPeer {
            pod_selector: Some(node_selector(&node.name)),
            ..NetworkPolicyPeer::default()
        }]),
        ports: Some(vec![tcp(Q2T_PORT)]),
    };
    NetworkPolicySpec {
        pod_selector: Some(client),
        policy_types: Some(vec!["Egress".to_owned()]),
        egress: Some(vec![to_node, node.settings.dns.clone()]),
        ingress: None,
    }
}

fn policy(node: &Resolved, name: String, spec: NetworkPolicySpec) -> Planned {
    Planned::new(&NetworkPolicy { metadata: node.owner.metadata(name), spec: Some(spec) })
}

fn tcp(number: u16) -> NetworkPolicyPort {
    port("TCP", number.into())
}

fn port(protocol: &str, number: i32) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(number)),
        end_port: None,
    }
}
