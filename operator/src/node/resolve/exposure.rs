//! [pure] How a node is exposed to partners, and which address it announces.

use tessera_crds::api::exposure::LoadBalancer;
use tessera_crds::{Cidr, TesseraNetwork, TesseraNode, names};
use tessera_node_api::dns_scope::DnsScope;

use crate::kube::meta::{name_of, namespace_of};

/// The port of a URL that names none.
const HTTPS: u16 = 443;

/// A node that partners reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposed {
    /// The load balancer, as the spec has it.
    pub spec: LoadBalancer,
    /// The address that the node announces, with the slash of a P2P URL.
    pub url: String,
    /// The host of that address.
    pub host: String,
    /// The port of that address.
    pub port: u16,
}

impl Exposed {
    fn at(url: &str, spec: &LoadBalancer) -> Option<Self> {
        let url = url.trim_end_matches('/');
        let (host, port) = host_and_port(url)?;
        Some(Self { spec: spec.clone(), url: format!("{url}/"), host: host.to_owned(), port })
    }

    /// The addresses that the node's policy lets in.
    pub fn sources(&self) -> &[Cidr] {
        &self.spec.source_cidrs
    }

    fn is_at(&self, url: &str) -> bool {
        host_and_port(url.trim_end_matches('/')) == Some((&self.host, self.port))
    }
}

/// What the spec asks for; or what the node keeps, with the reason: a node that asks for an address that it cannot have keeps the one that
/// it announces. When two nodes ask for one address, or a partner's names hold it, the node that already announces it keeps it.
///
/// `is_live`: the node has a load balancer. A node that has lost its status has not lost its address.
pub fn settle<'a>(
    node: &TesseraNode,
    network: &TesseraNetwork,
    others: impl Iterator<Item = &'a TesseraNode>,
    is_live: bool,
) -> (Option<Exposed>, Option<String>) {
    let Some(spec) = node.spec.exposure.asked() else { return (None, None) };
    let before = exposed_url(node).and_then(|url| Exposed::at(&url, spec));
    let Some(wanted) = Exposed::at(&spec.advertised_url, spec) else {
        return (before, Some(refused(&format!("{} is not https://host:port", spec.advertised_url))));
    };
    let is_kept = before.as_ref().is_some_and(|before| before.url == wanted.url);
    if is_kept || announced(node).is_none() && is_live {
        return (Some(wanted), None);
    }
    match taken(node, &wanted, network, others) {
        Some(why) => (before, Some(refused(&why))),
        None => (Some(wanted), None),
    }
}

/// Who has the address that the node asks for.
fn taken<'a>(
    node: &TesseraNode,
    wanted: &Exposed,
    network: &TesseraNetwork,
    mut others: impl Iterator<Item = &'a TesseraNode>,
) -> Option<String> {
    let host = &wanted.host;
    let is_named = |names: &[_]| DnsScope::parse(names).is_ok_and(|scope| scope.holds(host));
    if let Some(partner) = network.spec.partners.iter().find(|partner| is_named(&partner.dns_names)) {
        return Some(format!("{host} is among the dnsNames of partner {}", partner.name));
    }
    let has_it = |other: &&TesseraNode| {
        let asks = other.spec.exposure.asked().is_some_and(|asked| wanted.is_at(&asked.advertised_url));
        exposed_url(other).is_some_and(|url| wanted.is_at(&url)) || asks && is_before(other, node)
    };
    let other = others.find(has_it)?;
    Some(format!("{} is that of node {}", wanted.spec.advertised_url, name_of(other)))
}

fn refused(why: &str) -> String {
    format!(
        "the node is not exposed as its spec says: {why}: correct spec.exposure.loadBalancer.advertisedURL"
    )
}

/// Of two nodes that ask for one address and do not have it yet, the older one gets it.
fn is_before(other: &TesseraNode, node: &TesseraNode) -> bool {
    let age = |node: &TesseraNode| (node.metadata.creation_timestamp.clone(), name_of(node).to_owned());
    age(other) < age(node)
}

/// The address that the node announces now, as its status has it.
pub fn announced(node: &TesseraNode) -> Option<String> {
    Some(node.status.as_ref()?.endpoints.as_ref()?.p2p.clone())
}

/// The same, if that is no address of the cluster.
fn exposed_url(node: &TesseraNode) -> Option<String> {
    let of_cluster = names::node::p2p_url(name_of(node), namespace_of(node));
    announced(node).filter(|url| *url != of_cluster)
}

/// The host under which partners know the node, if it is exposed.
pub fn exposed_host(node: &TesseraNode) -> Option<String> {
    let url = exposed_url(node)?;
    host_and_port(url.trim_end_matches('/')).map(|(host, _)| host.to_owned())
}

/// Those of a network's nodes whose certificates a partner's server can accept: outside of the cluster the exposed ones, since the
/// others hold no name that a partner there knows. While no node is exposed, or for a partner in the cluster, all of them.
pub fn known_to<'a, T>(url: &str, all: &'a [T], is_exposed: impl Fn(&T) -> bool) -> Vec<&'a T> {
    let host = host_and_port(url.trim_end_matches('/')).map(|(host, _)| host).unwrap_or_default();
    let is_in_cluster = [".svc", ".svc.cluster.local"].iter().any(|end| host.ends_with(end));
    let exposed: Vec<_> = all.iter().filter(|one| is_exposed(one)).collect();
    if is_in_cluster || exposed.is_empty() { all.iter().collect() } else { exposed }
}

/// As admission lets them through.
fn host_and_port(url: &str) -> Option<(&str, u16)> {
    let authority = url.strip_prefix("https://")?;
    match authority.split_once(':') {
        Some((host, port)) => Some((host, port.parse().ok().filter(|port| *port > 0)?)),
        None => Some((authority, HTTPS)),
    }
}

#[cfg(test)]
mod tests;
