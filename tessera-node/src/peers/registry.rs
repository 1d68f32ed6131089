//! What peers announced and proved: the one writer behind the [`Directory`]'s snapshots. Pure, no IO.
//!
//! ```text
//! announcement of a node ── learn ──► its address, the keys that it claims       one node per certificate identity
//! proof ─────────────────── proven ─► the keys that it holds
//! configuration ─────────── configure
//! an hour of silence ────── forget ─► a node that nobody configured
//!                                └── snapshot ─► what readers see
//! ```
//!
//! Who may hold what, beside the proof of [`super::proof`]:
//!
//! - An address is taken only from a caller whose certificate is for it (`http/peer_api.rs`); a partner's certificate is for names
//!   inside of its scope alone (`tessera_tls::Partner`).
//! - A key that a node of one organisation has proven is not given to a node of another, with or without a proof, as long as the
//!   first is known: a proof that a Java node can be made to give for somebody else takes no key away ([`Registry::proven`]).
//! - A node of ours that announces one address and is configured under another is reached where it is configured ([`Registry::endpoint_of`]).
//! - The nodes and keys of one partner are bounded ([`MAX_PARTNER_NODES`], [`MAX_PARTNER_KEYS`]), since it makes as many identities
//!   as it likes. A partner that goes takes its nodes and their keys with it ([`Registry::set_partners`]).
//!
//! A failed push or poll takes nothing away: the node's keys stay its own, so that a send is 410 (try again), never 404,
//! and never goes to another node without proof.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tessera_enclave::PublicKey;
use tessera_node_api::identity::Identity;
use tessera_node_api::paths::p2p_service;
use tessera_tls::Partners;
use tokio::time::Instant;

use super::announcement::Announcement;
use super::directory::Peer;
use super::endpoint::Endpoint;
use super::heard::Heard;
use super::node_url::NodeUrl;

mod snapshot;

/// Nodes that are known at one time.
const MAX_NODES: usize = 4096;
/// Keys of all nodes together.
const MAX_KEYS: usize = 1 << 16;
/// Nodes of one partner.
const MAX_PARTNER_NODES: usize = 256;
/// Keys of all nodes of one partner together.
const MAX_PARTNER_KEYS: usize = 4096;
/// Addresses of strangers that wait to be polled.
const MAX_STRANGERS: usize = 1024;
/// Silence after which a node is forgotten that nobody configured.
const FORGET_AFTER: Duration = Duration::from_hours(1);
/// Until keys that a node did not prove are asked for again.
const PROOF_PAUSE: Duration = Duration::from_secs(5);
/// Keys that are asked for at one time.
pub(super) const PROOFS_AT_ONCE: usize = 64;

/// Nodes, claims and proofs.
#[derive(Debug)]
pub(super) struct Registry {
    /// Our trust domain.
    domain: String,
    partners: Arc<Partners>,
    own: NodeUrl,
    own_keys: Vec<PublicKey>,
    nodes: BTreeMap<Identity, Node>,
    configured: BTreeMap<NodeUrl, Arc<Endpoint>>,
    strangers: BTreeMap<NodeUrl, Arc<Endpoint>>,
    only_configured: bool,
    /// Counts registrations: of two nodes that hold one key, the older comes first.
    registrations: u64,
    /// The addresses of all nodes.
    addresses: BTreeSet<NodeUrl>,
    /// The claims of all nodes.
    claims: usize,
}

#[derive(Debug)]
struct Node {
    peer: Arc<Peer>,
    claimed: BTreeSet<PublicKey>,
    proven: BTreeSet<PublicKey>,
    /// The hosts that its certificate names, of a node of ours.
    hosts: Vec<String>,
    heard: Instant,
    asked: Option<Instant>,
    registered: u64,
}

/// What an announcement changed.
#[derive(Debug)]
pub(super) struct Learned {
    /// The directory must be published again.
    pub(super) changed: bool,
    /// The node was not known, or not as living.
    pub(super) came_up: bool,
    /// Keys to be proven now.
    pub(super) claim: Option<Claim>,
}

/// Keys that a node claims and has not proven.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) peer: Arc<Peer>,
    pub(super) keys: Vec<PublicKey>,
}

/// Why a node's announcement is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LearnError {
    /// Discovery is off, and this peer is not configured.
    #[error("{0} is not a known peer")]
    UnknownPeer(NodeUrl),
}

impl Registry {
    /// Knows no node. `only_configured`: no other may register.
    pub(super) fn new(domain: &str, own: NodeUrl, only_configured: bool) -> Self {
        Self {
            domain: domain.to_owned(),
            partners: Arc::default(),
            own,
            own_keys: Vec::new(),
            nodes: BTreeMap::new(),
            configured: BTreeMap::new(),
            strangers: BTreeMap::new(),
            only_configured,
            registrations: 0,
            addresses: BTreeSet::new(),
            claims: 0,
        }
    }

    /// Replaces our own keys.
    pub(super) fn set_own_keys(&mut self, keys: Vec<PublicKey>) {
        self.own_keys = keys;
    }

    /// Replaces the configured peers. One that is no longer configured is forgotten with its keys; if it lives, it
    /// announces itself again.
    pub(super) fn configure(&mut self, peers: impl IntoIterator<Item = NodeUrl>) {
        let mut before = std::mem::take(&mut self.configured);
        for url in peers.into_iter().filter(|url| *url != self.own) {
            let known = before.remove(&url).or_else(|| self.strangers.remove(&url));
            let endpoint = known.unwrap_or_else(|| Arc::new(Endpoint::new(url.clone())));
            self.configured.insert(url, endpoint);
        }
        let configured = &self.configured;
        before.retain(|url, _| !configured.contains_key(url));
        self.nodes.retain(|_, node| !before.contains_key(&node.peer.endpoint.url));
        self.index();
    }

    /// Replaces the partners. A node is forgotten with its keys if its partner is none any more or may not speak for its address.
    pub(super) fn set_partners(&mut self, partners: Arc<Partners>) {
        let domain = &self.domain;
        self.nodes.retain(|identity, node| {
            let organisation = identity.trust_domain();
            let holds_address = |of: &tessera_tls::Partner| {
                of.scope().trust_domain() == organisation && of.scope().holds_host(node.peer.url().host())
            };
            organisation == domain || partners.iter().any(holds_address)
        });
        self.partners = partners;
        self.index();
    }

    /// Takes a node's announcement of its own keys, and hears of others.
    pub(super) fn learn(
        &mut self,
        caller: &Identity,
        announcement: Announcement,
        now: Instant,
    ) -> Result<Learned, LearnError> {
        let endpoint = self.endpoint_of(caller, &announcement);
        let Announcement { url, mut keys, parties, versions, hosts } = announcement;
        if self.only_configured && !self.configured.contains_key(&endpoint.url) {
            return Err(LearnError::UnknownPeer(url));
        }
        let heard = self.hear_of(parties);
        let full = self.is_full_for(caller) && !self.nodes.contains_key(caller);
        if url == self.own || full {
            return Ok(Learned { changed: heard, came_up: false, claim: None });
        }
        keys.retain(|key| !self.own_keys.contains(key));
        self.bound(caller, &mut keys);
        let same = self.nodes.get(caller).is_some_and(|node| {
            *node.peer.url() == url
                && node.peer.endpoint.url == endpoint.url
                && *node.peer.versions() == versions
                && node.claimed == keys
        });
        if !same {
            let peer = Arc::new(Peer::new(caller.clone(), url, endpoint, versions));
            self.replace(caller, peer, keys, now);
        }
        let Some(node) = self.nodes.get_mut(caller) else {
            return Ok(Learned { changed: heard, came_up: false, claim: None });
        };
        node.heard = now;
        node.hosts = hosts;
        let came_up = node.peer.set_up(true);
        let claim = node.claim(now);
        Ok(Learned { changed: heard || !same, came_up, claim })
    }

    /// Takes what another replica heard of a node, if this one knows nothing as new. Keys to be proven now.
    pub(super) fn learn_of(&mut self, heard: &Heard, now: Instant) -> Option<Claim> {
        let is_news = self
            .nodes
            .get(&heard.identity)
            .is_none_or(|node| node.heard < heard.at && !node.heard_of(&heard.identity).says_what(heard));
        if is_news {
            // Of a node that may not register nothing is kept.
            let learned = self.learn(&heard.identity, heard.announcement(), now).ok()?;
            if let Some(node) = self.nodes.get_mut(&heard.identity) {
                node.heard = heard.at;
            }
            return learned.claim;
        }
        self.nodes.get_mut(&heard.identity)?.claim(now)
    }

    /// All nodes as they last announced themselves.
    pub(super) fn heard(&self) -> Vec<Heard> {
        self.nodes.iter().map(|(identity, node)| node.heard_of(identity)).collect()
    }

    /// The node proved these keys. None of them is taken that a node of another organisation has proven.
    pub(super) fn proven(&mut self, peer: &Arc<Peer>, mut keys: Vec<PublicKey>) {
        let organisation = peer.identity.trust_domain();
        let others = || self.nodes.iter().filter(|(identity, _)| identity.trust_domain() != organisation);
        keys.retain(|key| !others().any(|(_, node)| node.proven.contains(key)));
        if let Some(node) = self.nodes.get_mut(&peer.identity)
            // A proof is for the address at which it was given.
            && node.peer.url() == peer.url()
        {
            let claimed = &node.claimed;
            node.proven.extend(keys.into_iter().filter(|key| claimed.contains(key)));
        }
    }

    /// The keys of an announcement that its node has not proven at this address.
    pub(super) fn claim(&self, caller: &Identity, announcement: &Announcement) -> Result<Claim, LearnError> {
        let url = &announcement.url;
        let endpoint = self.endpoint_of(caller, announcement);
        if self.only_configured && !self.configured.contains_key(&endpoint.url) {
            return Err(LearnError::UnknownPeer(url.clone()));
        }
        let node = self.nodes.get(caller).filter(|node| node.peer.url() == url);
        let unproven = |key: &&PublicKey| node.is_none_or(|node| !node.proven.contains(*key));
        let keys = announcement.keys.iter().filter(unproven).copied().collect();
        let peer = Arc::new(Peer::new(caller.clone(), url.clone(), endpoint, announcement.versions.clone()));
        Ok(Claim { peer, keys })
    }

    /// Forgets silent nodes that nobody configured, and strangers that were polled. True if there were any.
    pub(super) fn forget(&mut self, polled: &[Arc<Endpoint>], now: Instant) -> bool {
        let before = (self.nodes.len(), self.strangers.len());
        let configured = &self.configured;
        self.nodes.retain(|_, node| {
            configured.contains_key(&node.peer.endpoint.url)
                || node.peer.is_up()
                || now.duration_since(node.heard) < FORGET_AFTER
        });
        for endpoint in polled {
            self.strangers.remove(&endpoint.url);
        }
        self.index();
        before != (self.nodes.len(), self.strangers.len())
    }

    /// Keeps what is known of a node as long as it says the same.
    fn replace(&mut self, caller: &Identity, peer: Arc<Peer>, claimed: BTreeSet<PublicKey>, now: Instant) {
        self.strangers.remove(peer.url());
        let before = self.nodes.remove(caller);
        let registered = before.as_ref().map_or_else(
            || {
                self.registrations += 1;
                self.registrations
            },
            |node| node.registered,
        );
        // A node that moves, however often, is asked no more often than another.
        let asked = before.as_ref().and_then(|node| node.asked);
        // A node that moved proves its keys again at its new address.
        let before = before.filter(|node| node.peer.url() == peer.url());
        peer.set_up(before.as_ref().is_some_and(|node| node.peer.is_up()));
        let proven =
            before.map(|node| node.proven.intersection(&claimed).copied().collect()).unwrap_or_default();
        let node = Node { peer, claimed, proven, hosts: Vec::new(), heard: now, asked, registered };
        self.nodes.insert(caller.clone(), node);
        self.index();
    }

    /// Brings what is derived from the nodes up to date.
    fn index(&mut self) {
        self.addresses = self.nodes.values().map(|node| node.peer.url().clone()).collect();
        self.claims = self.nodes.values().map(|node| node.claimed.len()).sum();
    }

    fn is_full_for(&self, caller: &Identity) -> bool {
        self.nodes.len() >= MAX_NODES
            || self.bounded(caller).is_some_and(|of| of.count() >= MAX_PARTNER_NODES)
    }

    /// The nodes of the caller's organisation, if that is a partner.
    fn bounded<'a>(&'a self, caller: &'a Identity) -> Option<impl Iterator<Item = &'a Node>> {
        let organisation = caller.trust_domain();
        let of = self.nodes.iter().filter(move |(identity, _)| identity.trust_domain() == organisation);
        (organisation != self.domain).then(|| of.map(|(_, node)| node))
    }

    /// Drops keys beyond the bound of all nodes, and of all nodes of one partner.
    fn bound(&self, caller: &Identity, keys: &mut BTreeSet<PublicKey>) {
        let own = self.nodes.get(caller).map_or(0, |node| node.claimed.len());
        let mut left = MAX_KEYS.saturating_sub(self.claims - own);
        if let Some(nodes) = self.bounded(caller) {
            let claims: usize = nodes.map(|node| node.claimed.len()).sum();
            left = left.min(MAX_PARTNER_KEYS.saturating_sub(claims - own));
        }
        while keys.len() > left {
            keys.pop_last();
        }
    }

    /// Where requests to a node go: to the address that it announces, or to the one that it is configured under. A node that the
    /// operator exposes to partners announces a public address, and is configured under that of its Service, which has the node's
    /// name and stands in its certificate.
    fn endpoint_of(&self, caller: &Identity, announcement: &Announcement) -> Arc<Endpoint> {
        let url = &announcement.url;
        if self.configured.contains_key(url) {
            return self.endpoint(url.clone());
        }
        let service = format!("{}.", p2p_service(caller.name()));
        let is_service = |other: &NodeUrl| {
            other.host().starts_with(&service) && announcement.hosts.iter().any(|host| host == other.host())
        };
        let found = self.configured.iter().find(|(other, _)| is_service(other));
        found.map_or_else(|| self.endpoint(url.clone()), |(_, endpoint)| Arc::clone(endpoint))
    }

    fn endpoint(&self, url: NodeUrl) -> Arc<Endpoint> {
        let known = self.configured.get(&url).or_else(|| self.strangers.get(&url));
        known.cloned().unwrap_or_else(|| Arc::new(Endpoint::new(url)))
    }

    fn hear_of(&mut self, parties: Vec<NodeUrl>) -> bool {
        if self.only_configured {
            return false;
        }
        let before = self.strangers.len();
        for url in parties {
            if self.strangers.len() >= MAX_STRANGERS {
                break;
            }
            if url != self.own && !self.addresses.contains(&url) && !self.configured.contains_key(&url) {
                self.strangers.entry(url.clone()).or_insert_with(|| Arc::new(Endpoint::new(url)));
            }
        }
        before != self.strangers.len()
    }
}

impl Node {
    fn heard_of(&self, identity: &Identity) -> Heard {
        Heard {
            identity: identity.clone(),
            url: self.peer.url().clone(),
            hosts: self.hosts.clone(),
            versions: self.peer.versions().clone(),
            keys: self.claimed.clone(),
            at: self.heard,
        }
    }

    /// The keys to ask for now, if it is time.
    fn claim(&mut self, now: Instant) -> Option<Claim> {
        if self.asked.is_some_and(|asked| now.duration_since(asked) < PROOF_PAUSE) {
            return None;
        }
        let keys: Vec<_> = self.claimed.difference(&self.proven).take(PROOFS_AT_ONCE).copied().collect();
        if keys.is_empty() {
            return None;
        }
        self.asked = Some(now);
        Some(Claim { peer: Arc::clone(&self.peer), keys })
    }
}

#[cfg(test)]
mod tests;
