//! [pure] From the spec and what it refers to, to a value that cannot be wrong.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Secret;
use tessera_crds::api::network::{NamespaceIsolation, Scraper};
use tessera_crds::api::secret_store::VaultClientCertificateType;
use tessera_crds::{TesseraNetwork, names};
use tessera_node_api::dynamic_config::{Egress, Logging};
use tessera_node_api::identity::{Identity, IdentityError};
use tessera_pki::rollover::Awaited;
use tessera_pki::{CaError, CaState, LeafSpec};

use super::inputs::Inputs;
use super::partners::{self, Partner};
use super::{egress, logging};
use crate::issue::leaf::{self, Leaf, LeafError, Lifetimes};
use crate::kube::meta::{Owner, name_of, namespace_of, network_labels};
use crate::kube::object_id::ObjectId;
use crate::node::hold::is_held_as_new;
use crate::node::image_check::Untried;
use crate::node::resolve::exposure::exposed_host;
use crate::node::resolve::is_stalled_without_key;
use crate::report::error::chain;
use crate::report::unreadable::Unreadable;
use crate::rollover::{next, status};

/// A network with everything settled.
pub struct Resolved {
    /// The TesseraNetwork.
    pub owner: Owner,
    /// Its name.
    pub name: String,
    /// Both authorities.
    pub authorities: Arc<CaState>,
    /// The authorities were made just now and must be stored before anything is issued.
    pub authorities_are_new: bool,
    /// Their next state, which must be stored before anything is issued by it.
    pub authorities_next: Option<Arc<CaState>>,
    /// Whom their rollover waits for.
    pub awaited: Vec<Awaited>,
    /// The nodes that may still trust a CA that is distrusted.
    pub distrusting: BTreeSet<String>,
    /// Whether the whole namespace is denied by default.
    pub dedicated: bool,
    /// The scrapers.
    pub scrapers: Vec<Scraper>,
    /// A leaf for each scraper, and for the operator at the secret store, if that is the network's to issue; none before the
    /// authorities are stored.
    pub client_leaves: Vec<Leaf>,
    /// The P2P URLs of the nodes, sorted.
    pub peers: Vec<String>,
    /// The collector of the nodes' logs.
    pub logging: Option<Logging>,
    /// Other organisations.
    pub partners: Vec<Partner>,
    /// What the nodes must not reach.
    pub egress: Egress,
    /// Images to try.
    pub untried: Vec<Untried>,
    /// Nothing is written but status.
    pub paused: bool,
}

/// Why nothing can be made of a network.
#[derive(Debug, thiserror::Error)]
pub enum Unresolved {
    /// The CA state was there and is gone. A new one would silently change whom everybody trusts.
    #[error(
        "Secret {0} with the network's CA is gone: restore it from a backup, or accept a new CA by removing status.cas of this network"
    )]
    AuthoritiesLost(String),
    /// Authorities cannot be made.
    #[error("no certificate authority can be made for the network")]
    Generate(#[from] CaError),
    /// The API server failed in a way that may pass.
    #[error("{0}")]
    Transient(String),
    /// What it is made from may not be read, or cannot be used.
    #[error("{}", .0.message)]
    Unreadable(Unreadable),
    /// A name in the spec cannot be an identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// No certificate.
    #[error(transparent)]
    Leaf(#[from] LeafError),
}

/// Settles everything.
pub fn resolve(network: &TesseraNetwork, inputs: &Inputs) -> Result<Resolved, Unresolved> {
    let name = name_of(network).to_owned();
    let (authorities, authorities_are_new) = authorities(network, inputs)?;
    let mut scrapers = network.spec.monitoring.clone();
    scrapers.sort_by(|a, b| a.name.cmp(&b.name));
    let authorities_next = authorities_next(network, &authorities, authorities_are_new, inputs)?;
    let client_leaves = if authorities_are_new {
        Vec::new()
    } else {
        match client_leaves(network, &scrapers, &authorities, inputs) {
            // A CA that has ended issues nothing, and is replaced all the same.
            Err(Unresolved::Leaf(_)) if authorities_next.is_some() => Vec::new(),
            leaves => leaves?,
        }
    };
    Ok(Resolved {
        owner: Owner::new(network, network_labels(&name)),
        authorities_next,
        awaited: status::awaited(&authorities, &inputs.rollover, inputs.now),
        distrusting: status::distrusting(network, &inputs.rollover),
        authorities,
        authorities_are_new,
        dedicated: network.spec.namespace_isolation == NamespaceIsolation::Dedicated,
        scrapers,
        client_leaves,
        peers: peers(inputs),
        logging: logging::of_nodes(network, &inputs.collector_ca),
        partners: partners::settle(network, &inputs.partner_bundles, &exposed_hosts(inputs)),
        egress: egress::of_nodes(network),
        untried: inputs.untried.clone(),
        paused: network.spec.paused,
        name,
    })
}

fn peers(inputs: &Inputs) -> Vec<String> {
    let peers = inputs.nodes.iter().filter(|node| !is_stalled_without_key(node) && !is_held_as_new(node));
    let mut urls: Vec<_> =
        peers.map(|node| names::node::p2p_url(name_of(&**node), namespace_of(&**node))).collect();
    urls.sort();
    urls
}

fn exposed_hosts(inputs: &Inputs) -> BTreeSet<String> {
    inputs.nodes.iter().filter_map(|node| exposed_host(node)).collect()
}

fn authorities(network: &TesseraNetwork, inputs: &Inputs) -> Result<(Arc<CaState>, bool), Unresolved> {
    match &inputs.authorities {
        Ok(Some(state)) => Ok((Arc::clone(state), false)),
        Ok(None) if network.status.as_ref().is_some_and(|status| !status.cas.is_empty()) => Err(
            Unresolved::AuthoritiesLost(names::network::ca_state(namespace_of(network), name_of(network))),
        ),
        Ok(None) => {
            let longest = longest_leaf(network, inputs);
            Ok((Arc::new(next::first(network, longest, inputs.now)?), true))
        }
        Err(error) => Err(error
            .unreadable()
            .map_or_else(|| Unresolved::Transient(chain(error)), Unresolved::Unreadable)),
    }
}

fn longest_leaf(network: &TesseraNetwork, inputs: &Inputs) -> SignedDuration {
    next::longest_leaf(network, inputs.nodes.iter().map(|node| &**node))
}

fn authorities_next(
    network: &TesseraNetwork,
    authorities: &CaState,
    are_new: bool,
    inputs: &Inputs,
) -> Result<Option<Arc<CaState>>, CaError> {
    if are_new || network.spec.paused {
        return Ok(None);
    }
    let longest = longest_leaf(network, inputs);
    Ok(next::next(network, authorities, &inputs.rollover, longest, inputs.now)?.map(Arc::new))
}

fn client_leaves(
    network: &TesseraNetwork,
    scrapers: &[Scraper],
    authorities: &CaState,
    inputs: &Inputs,
) -> Result<Vec<Leaf>, Unresolved> {
    let Lifetimes { lifetime, renew_before } = Lifetimes::from(&network.spec.pki.leaf);
    let trust_domain = &network.spec.trust_domain;
    let leaf = |(name, identity): (String, Result<Identity, IdentityError>)| {
        let secret = ObjectId::of::<Secret>(namespace_of(network), &name);
        let stored = inputs.secrets.get(&secret);
        let spec = LeafSpec::client(identity?, lifetime);
        Ok(leaf::keep_or_issue(&authorities.network, &spec, renew_before, secret, stored, inputs.now)?)
    };
    let monitoring = scrapers.iter().map(|scraper| {
        let name = names::network::monitoring_secret(name_of(network), &scraper.name);
        (name, Identity::monitoring(trust_domain, &scraper.name))
    });
    let store_client = shows_issued(network)
        .then(|| (names::network::store_client_secret(name_of(network)), Identity::operator(trust_domain)));
    monitoring.chain(store_client).map(leaf).collect()
}

/// Whether the operator shows the secret store a certificate of the network's CA.
pub(super) fn shows_issued(network: &TesseraNetwork) -> bool {
    let store = network.spec.secret_store.vault.as_ref();
    let named = store.and_then(|store| store.client_certificate.as_ref());
    named.is_some_and(|named| named.r#type == VaultClientCertificateType::Issued)
}
