//! [pure] The certificates of a node and of its clients.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Secret;
use tessera_crds::{TesseraNetwork, TesseraNode, names};
use tessera_node_api::identity::Identity;
use tessera_pki::{CaState, LeafSpec};

use super::exposure::{self, Exposed};
use super::{Unresolved, sorted};
use crate::issue::leaf::{self, Leaf, Lifetimes};
use crate::kube::meta::{name_of, namespace_of};
use crate::kube::object_id::ObjectId;
use crate::node::inputs::{Inputs, client_secret};

/// The leaves of one node.
pub(super) struct Leaves {
    pub(super) node: Leaf,
    pub(super) admin: Leaf,
    /// Of each client whose Secret can be read, sorted by the client's name.
    pub(super) clients: Vec<Leaf>,
}

/// Those that the node has and keeps, and new ones for the others.
pub(super) fn leaves(
    node: &TesseraNode,
    network: &TesseraNetwork,
    authorities: &CaState,
    exposure: Option<&Exposed>,
    inputs: &Inputs,
) -> Result<Leaves, Unresolved> {
    let (name, namespace) = (name_of(node), namespace_of(node));
    let trust_domain = network.spec.trust_domain.as_str();
    let Lifetimes { lifetime, renew_before } = Lifetimes::from(&network.spec.pki.leaf);
    let identity = Identity::node(trust_domain, name)?;
    let dns_names = dns_names(name, namespace);
    let decide = |ca, spec: &LeafSpec, renew_before, secret: ObjectId| {
        let stored = inputs.secrets.get(&secret);
        leaf::keep_or_issue(ca, spec, renew_before, secret, stored, inputs.now)
    };
    let is_unread = |secret: &ObjectId| inputs.unread.iter().any(|failure| failure.object() == secret);
    let mut clients = Vec::with_capacity(node.spec.clients.len());
    for client in sorted(node.spec.clients.clone(), |client| client.name.to_string()) {
        let secret = client_secret(namespace, name, &client);
        // What lies there may be good: another would only end the client's connections.
        if is_unread(&secret) {
            continue;
        }
        let own = client.certificate.clone().unwrap_or_default();
        let own = Lifetimes::from(&own.policy(&network.spec.pki.leaf));
        // The network's next reconcile admits it, within a second or two, and wakes its nodes. One that is issued now would be short.
        if own.lifetime > authorities.network.longest_leaf && !network.spec.paused {
            continue;
        }
        let spec = LeafSpec::client(Identity::client(trust_domain, name, &client.name)?, own.lifetime);
        clients.push(decide(&authorities.network, &spec, own.renew_before, secret)?);
    }
    let own = |secret: String| ObjectId::of::<Secret>(namespace, &secret);
    // Before the node announces an address, and as long as it does; also while the exposure is held back, since a name lets nobody in.
    let wanted = exposure.map(|exposed| exposed.host.clone());
    let exposed: BTreeSet<_> = wanted.into_iter().chain(exposure::exposed_host(node)).collect();
    let names = dns_names.iter().cloned().chain(exposed).collect();
    let node_spec = LeafSpec::node(identity.clone(), names, lifetime);
    let admin_spec = LeafSpec::node_admin(identity, dns_names, lifetime);
    Ok(Leaves {
        node: decide(&authorities.network, &node_spec, renew_before, own(names::node::tls_secret(name)))?,
        admin: decide(
            &authorities.admin,
            &admin_spec,
            renew_before,
            own(names::node::admin_tls_secret(name)),
        )?,
        clients,
    })
}

/// Both Services in both spellings, and each pod behind the headless one.
pub(super) fn dns_names(node: &str, namespace: &str) -> Vec<String> {
    let services = [names::node::client_service(node), names::node::p2p_service(node)];
    let hosts = services.map(|service| names::node::service_host(&service, namespace));
    let pods = format!("*.{}", hosts[1]);
    let short = hosts.into_iter().chain([pods]);
    short.flat_map(|host| [format!("{host}.cluster.local"), host]).collect()
}
