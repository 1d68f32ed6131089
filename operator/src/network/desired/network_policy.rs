//! Node pods have no traffic but what their own policies allow. In a dedicated namespace, also: nothing goes in or out but what policies allow, and scrapers that are in this namespace are
//! let out to the nodes' metrics.

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tessera_crds::names::{self, label};
use tessera_node_api::paths::METRICS_PORT;

use crate::kube::meta::selector;
use crate::kube::planned::Planned;
use crate::network::resolve::Resolved;
use crate::node::desired::pods_let_out;

pub(super) fn build(network: &Resolved, dns: &NetworkPolicyEgressRule) -> Vec<Planned> {
    // Beside the policies of the nodes, which allow: a node that is deleted loses its own while its pod still has its keys.
    let nodes = selector([(label::NAME, label::NODE_APP), (label::NETWORK, &network.name)]);
    let nodes_deny = policy(network, names::network::nodes_deny(&network.name), deny(nodes));
    if !network.dedicated {
        return vec![nodes_deny];
    }
    let everything = LabelSelector::default();
    let default_deny = policy(network, names::network::default_deny(&network.name), deny(everything));
    let scrapers = network.scrapers.iter().filter_map(|scraper| {
        let name = names::network::monitoring_secret(&network.name, &scraper.name);
        let pods = pods_let_out(&scraper.from)?;
        Some(policy(network, name, let_out(network, pods, dns.clone())))
    });
    [nodes_deny, default_deny].into_iter().chain(scrapers).collect()
}

fn deny(pods: LabelSelector) -> NetworkPolicySpec {
    NetworkPolicySpec {
        pod_selector: Some(pods),
        policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
        ..NetworkPolicySpec::default()
    }
}

fn let_out(network: &Resolved, scraper: LabelSelector, dns: NetworkPolicyEgressRule) -> NetworkPolicySpec {
    let nodes = NetworkPolicyPeer {
        pod_selector: Some(selector([(label::NAME, label::NODE_APP), (label::NETWORK, &network.name)])),
        ..NetworkPolicyPeer::default()
    };
    let port = NetworkPolicyPort {
        protocol: Some("TCP".to_owned()),
        port: Some(IntOrString::Int(METRICS_PORT.into())),
        end_port: None,
    };
    let to_nodes = NetworkPolicyEgressRule { to: Some(vec![nodes]), ports: Some(vec![port]) };
    NetworkPolicySpec {
        pod_selector: Some(scraper),
        policy_types: Some(vec!["Egress".to_owned()]),
        egress: Some(vec![to_nodes, dns]),
        ingress: None,
    }
}

fn policy(network: &Resolved, name: String, spec: NetworkPolicySpec) -> Planned {
    Planned::new(&NetworkPolicy { metadata: network.owner.metadata(name), spec: Some(spec) })
}
