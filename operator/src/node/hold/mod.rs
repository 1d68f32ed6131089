//! [pure] Which changes of a node `checklist.mode: Enforce` holds back, and the node without them.
//!
//! ```text
//! what the spec asks for ─┐
//!                         ├──► what would be wider than before ──► held by a violated line? ──► the node without it; status.held
//! what is live ───────────┘                                                no: nothing is held
//! ```
//!
//! *Before* is what the cluster holds, never the status alone: a restart of the operator or a lost status holds nothing that is
//! there. In doubt a change is no widening: what exists must be repaired and renewed whatever the checklist says.
//!
//! - A node is new while it has neither workload nor certificate nor key. A node that is made again after its deletion is new.
//! - A node that has run, and was stopped, starts again freely: it was there before.
//! - A client is new while it has neither Secret nor entry in the node's configuration nor policy.
//! - A source of a client is new if the node's live policy does not let it in. Sources that the spec drops go at once.
//! - An address that a node is exposed to is new if the live load balancer does not take it. Its URL and its annotations change freely.
//! - The same is true of the addresses of the network's partners and scrapers. They also wait until the network has judged its
//!   own spec ([`crate::network::hold`]): a node may be quicker.

pub mod live;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use tessera_crds::api::peer::{EgressRule, IngressPeer};
use tessera_crds::checklist::HeldChange;
use tessera_crds::condition::Reason;
use tessera_crds::{Cidr, TesseraNode};

use super::desired::{endpoint, source};
use super::inputs::client_secret;
use super::resolve::Resolved;
use super::resolve::exposure::Exposed;
use crate::checklist::enforce::{Gate, Gates, held_change};

/// The field of a new node, which is held as a whole.
const NEW_NODE: &str = "spec";

/// What of a node is there.
#[derive(Debug, Clone, Default)]
pub struct Live {
    /// Its workload, certificate or key is there.
    pub node: bool,
    /// How many pods its workload asks for; `None`: there is no workload.
    pub replicas: Option<i32>,
    /// It has run: it has a volume or a key.
    pub has_run: bool,
    /// Its clients that are there.
    pub clients: BTreeSet<String>,
    /// The addresses that it is exposed to.
    pub exposed_to: Vec<Cidr>,
    /// Whom its policy lets in and out; `None`: there is none to compare with, or it is as the whole spec says.
    pub policy: Option<LetThrough>,
}

/// Whom a node's policy lets through.
#[derive(Debug, Clone, Default)]
pub struct LetThrough {
    /// In to Q2T.
    pub clients: Vec<NetworkPolicyPeer>,
    /// In to P2P.
    pub peers: Vec<NetworkPolicyPeer>,
    /// In to metrics.
    pub scrapers: Vec<NetworkPolicyPeer>,
    /// Out, each with its port.
    pub out: Vec<(NetworkPolicyPeer, Option<i32>)>,
}

/// A change that widens what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Widening {
    /// The node is new.
    Node,
    /// The first pod of a node that has never run, or more pods than before.
    Replicas {
        /// How many there are.
        live: i32,
    },
    /// A new client.
    Client(String),
    /// New sources of a client that is there.
    Sources {
        /// Which.
        client: String,
        /// The new ones, by their place in the client's list.
        new: Vec<usize>,
    },
    /// New sources of a partner, by their place in its list.
    PartnerSources(String, Vec<usize>),
    /// New addresses of a partner to connect to, by their place in its list.
    PartnerEgress(String, Vec<usize>),
    /// The node is exposed to new addresses.
    Exposure {
        /// Which, by their place in the list.
        new: Vec<usize>,
        /// Those that it is exposed to.
        live: Vec<Cidr>,
    },
    /// A scraper's source is new.
    ScraperSource(String),
}

impl Widening {
    /// The field of the spec that asks for it.
    fn field(&self) -> String {
        match self {
            Self::Node => NEW_NODE.to_owned(),
            Self::Replicas { .. } => "spec.replicas".to_owned(),
            Self::Client(client) => format!("spec.clients[{client}]"),
            Self::Sources { client, .. } => format!("spec.clients[{client}].from"),
            Self::Exposure { .. } => "spec.exposure".to_owned(),
            Self::PartnerSources(partner, _) => format!("network spec.partners[{partner}].from"),
            Self::PartnerEgress(partner, _) => format!("network spec.partners[{partner}].egress"),
            Self::ScraperSource(scraper) => format!("network spec.monitoring[{scraper}].from"),
        }
    }

    /// Whether it widens the network, and not only the node.
    fn is_of_network(&self) -> bool {
        matches!(self, Self::Node | Self::Replicas { .. })
    }

    /// Whether the network's spec asks for it.
    fn is_asked_by_network(&self) -> bool {
        matches!(self, Self::PartnerSources(..) | Self::PartnerEgress(..) | Self::ScraperSource(_))
    }
}

/// Whether a node is held back as a whole: nothing of it is made, and it is nobody's peer.
pub fn is_held_as_new(node: &TesseraNode) -> bool {
    node.status.as_ref().is_some_and(|status| status.held.iter().any(|held| held.field == NEW_NODE))
}

/// All that `node` asks for beyond what is `live`.
pub fn widenings(node: &Resolved, live: &Live) -> Vec<Widening> {
    if !live.node {
        return vec![Widening::Node];
    }
    let replicas = live.replicas.filter(|live_replicas| {
        let starts_again = *live_replicas == 0 && live.has_run;
        node.replicas > *live_replicas && !starts_again
    });
    let clients = node.clients.iter().filter_map(|client| {
        let name = client.name.to_string();
        if !live.clients.contains(&name) {
            return Some(Widening::Client(name));
        }
        let new = new_sources(&client.from, &live.policy.as_ref()?.clients);
        (!new.is_empty()).then_some(Widening::Sources { client: name, new })
    });
    let replicas = replicas.map(|live| Widening::Replicas { live });
    let shared = live.policy.as_ref().map(|policy| of_network_spec(node, policy)).unwrap_or_default();
    let exposure = of_exposure(node, &live.exposed_to);
    replicas.into_iter().chain(clients).chain(exposure).chain(shared).collect()
}

fn of_exposure(node: &Resolved, live: &[Cidr]) -> Option<Widening> {
    let new = places(node.exposure.iter().flat_map(Exposed::sources).map(|cidr| !live.contains(cidr)));
    (!new.is_empty()).then(|| Widening::Exposure { new, live: live.to_vec() })
}

/// New addresses of partners and scrapers.
fn of_network_spec(node: &Resolved, live: &LetThrough) -> Vec<Widening> {
    let mut all = Vec::new();
    for partner in &node.partners {
        let name = partner.name.to_string();
        let sources = new_sources(&partner.from, &live.peers);
        if !sources.is_empty() {
            all.push(Widening::PartnerSources(name.clone(), sources));
        }
        let is_new = |rule: &EgressRule| {
            let (peer, port) = (endpoint(rule), Some(rule.port));
            !live.out.iter().any(|(known, at)| *at == port && same(known, &peer))
        };
        let egress = places(partner.egress.iter().map(is_new));
        if !egress.is_empty() {
            all.push(Widening::PartnerEgress(name, egress));
        }
    }
    let scrapers = node.monitoring.iter();
    let new = scrapers.filter(|scraper| !new_sources([&scraper.from], &live.scrapers).is_empty());
    all.extend(new.map(|scraper| Widening::ScraperSource(scraper.name.to_string())));
    all
}

/// The places of those that `known` does not let in.
fn new_sources<'p>(
    wanted: impl IntoIterator<Item = &'p IngressPeer>,
    known: &[NetworkPolicyPeer],
) -> Vec<usize> {
    places(wanted.into_iter().map(source).map(|peer| !known.iter().any(|known| same(known, &peer))))
}

fn places(are_new: impl Iterator<Item = bool>) -> Vec<usize> {
    are_new.enumerate().filter(|(_, is_new)| *is_new).map(|(place, _)| place).collect()
}

/// What is held back.
#[derive(Debug, Clone, Default)]
pub struct Holds(Vec<Hold>);

#[derive(Debug, Clone)]
struct Hold {
    widening: Widening,
    /// Never free.
    gate: Gate,
}

impl Holds {
    /// Those of `widenings` that the gates of the network and of the node do not let through. `is_judged`: the network has judged its
    /// spec as it is now.
    pub fn of(widenings: Vec<Widening>, on_network: &Gates, on_node: &Gates, is_judged: bool) -> Self {
        let holds = widenings.into_iter().map(|widening| {
            let gates = if widening.is_of_network() { on_network } else { on_node };
            let gate = match gates.of(&widening.field()) {
                Gate::Free if widening.is_asked_by_network() && !is_judged => Gate::NotJudged,
                gate => gate.clone(),
            };
            Hold { widening, gate }
        });
        Self(holds.filter(|hold| !hold.gate.is_free()).collect())
    }

    /// Whether nothing of the node may be made.
    pub fn is_whole(&self) -> bool {
        self.0.iter().any(|hold| hold.widening == Widening::Node)
    }

    /// Whether anything is held.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `node` without what is held.
    pub fn narrow(&self, mut node: Resolved) -> Resolved {
        for hold in &self.0 {
            match &hold.widening {
                Widening::Node => {}
                Widening::Replicas { live } => node.replicas = *live,
                Widening::Client(name) => drop_client(&mut node, name),
                Widening::Sources { client, new } => drop_sources(&mut node, client, new),
                Widening::PartnerSources(name, new) => {
                    let partners = node.partners.iter_mut().filter(|partner| *partner.name == **name);
                    partners.for_each(|partner| drop_places(&mut partner.from, new));
                }
                Widening::PartnerEgress(name, new) => {
                    let partners = node.partners.iter_mut().filter(|partner| *partner.name == **name);
                    partners.for_each(|partner| drop_places(&mut partner.egress, new));
                }
                Widening::Exposure { new, live } => node.exposure = narrow_exposure(node.exposure, new, live),
                Widening::ScraperSource(name) => node.monitoring.retain(|scraper| *scraper.name != **name),
            }
        }
        node
    }

    /// What the status says of it, upon `before`.
    pub fn status(&self, before: &[HeldChange], now: Timestamp) -> Vec<HeldChange> {
        let held = |hold: &Hold| held_change(hold.widening.field(), &hold.gate, before, now);
        self.0.iter().filter_map(held).collect()
    }

    /// Why a node that is held as a whole is not ready.
    pub fn new_node(&self) -> Option<(Reason, String)> {
        let hold = self.0.iter().find(|hold| hold.widening == Widening::Node)?;
        Some(match &hold.gate {
            Gate::Held(line) => (
                Reason::ChecklistHeld,
                format!("checklist.mode Enforce holds the new node back, and nothing of it is made: {line}"),
            ),
            Gate::NotJudged | Gate::Free => (
                Reason::NetworkNotReady,
                "the network's checklist was not judged yet, and checklist.mode Enforce lets no new node in before"
                    .to_owned(),
            ),
        })
    }

    /// What is held of a node that is there.
    fn parts(&self) -> impl Iterator<Item = &Hold> {
        self.0.iter().filter(|hold| hold.widening != Widening::Node)
    }

    /// Why a node that is there is not as its spec says.
    pub fn changes(&self) -> Option<(Reason, String)> {
        let held = self.parts().filter(|hold| matches!(hold.gate, Gate::Held(_)));
        let held: Vec<_> = held.collect();
        let Gate::Held(line) = &held.first()?.gate else { return None };
        let fields: Vec<_> = held.iter().map(|hold| hold.widening.field()).collect();
        let message = format!(
            "the node goes on as it was, and checklist.mode Enforce holds back {}: {line}",
            fields.join(", ")
        );
        Some((Reason::ChecklistHeld, message))
    }

    /// What waits until the checklist of a node that is there is judged.
    pub fn awaited(&self) -> Option<String> {
        let awaited = self.parts().filter(|hold| hold.gate == Gate::NotJudged);
        let fields: Vec<_> = awaited.map(|hold| hold.widening.field()).collect();
        (!fields.is_empty()).then(|| {
            format!("{} until the checklist was judged: checklist.mode is Enforce", fields.join(", "))
        })
    }
}

fn drop_client(node: &mut Resolved, name: &str) {
    let (held, kept) =
        std::mem::take(&mut node.clients).into_iter().partition(|client| *client.name == *name);
    node.clients = kept;
    for client in &held {
        let secret = client_secret(&node.owner.namespace, &node.name, client);
        node.client_tls.retain(|leaf| leaf.secret != secret);
    }
}

fn drop_sources(node: &mut Resolved, name: &str, new: &[usize]) {
    for client in node.clients.iter_mut().filter(|client| *client.name == *name) {
        drop_places(&mut client.from, new);
    }
}

/// The exposure without new sources. If no source is left, the node stays exposed to the live ones; without a live one it is not exposed.
fn narrow_exposure(exposure: Option<Exposed>, new: &[usize], live: &[Cidr]) -> Option<Exposed> {
    let mut exposed = exposure?;
    drop_places(&mut exposed.spec.source_cidrs, new);
    if exposed.spec.source_cidrs.is_empty() {
        exposed.spec.source_cidrs = live.to_vec();
    }
    (!exposed.sources().is_empty()).then_some(exposed)
}

fn drop_places<T>(list: &mut Vec<T>, places: &[usize]) {
    let mut place = 0..;
    list.retain(|_| place.next().is_none_or(|place| !places.contains(&place)));
}

/// Whether two peers are the same to a NetworkPolicy; the API server drops what is empty.
fn same(one: &NetworkPolicyPeer, other: &NetworkPolicyPeer) -> bool {
    type Selector = (BTreeMap<String, String>, Vec<LabelSelectorRequirement>);
    let selector = |selector: &Option<LabelSelector>| -> Option<Selector> {
        let selector = selector.clone()?;
        Some((selector.match_labels.unwrap_or_default(), selector.match_expressions.unwrap_or_default()))
    };
    let addresses = |peer: &NetworkPolicyPeer| {
        let block = peer.ip_block.clone()?;
        Some((block.cidr, block.except.unwrap_or_default()))
    };
    selector(&one.pod_selector) == selector(&other.pod_selector)
        && selector(&one.namespace_selector) == selector(&other.namespace_selector)
        && addresses(one) == addresses(other)
}

#[cfg(test)]
mod tests;
