//! Who holds which key: pure, no IO.
//!
//! ```text
//! POST /partyinfo of B ── learn ──► nodes: B {keys, versions, up}    a key is known only from its holder's own mouth
//!                        └────────► parties: whom to poll
//! configuration ── configure ─────► parties
//! failed push or poll ── down ────► its keys stay known, so that a send is 410 (try again) and never 404
//! ```
//!
//! A node leaves only when the configuration drops it, or when another takes its place at the same address. What we
//! advertise is our own keys under our own address, and nothing else: one key under two addresses stops a Java node's
//! polling.

use std::collections::{BTreeMap, BTreeSet};

use tessera_enclave::PublicKey;
use tessera_enclave::codec::party_info::PartyInfo;
use tessera_enclave::codec::versions::ApiVersions;

use super::node_url::{NodeUrl, NodeUrlError};

/// A peer may tell us of others; it may not fill our memory.
pub(super) const MAX_NODES: usize = 4096;
/// Keys of one node that are kept.
const MAX_KEYS: usize = 1024;

/// What this node knows of the network.
#[derive(Debug)]
pub struct Directory {
    own: NodeUrl,
    own_keys: Vec<PublicKey>,
    nodes: BTreeMap<NodeUrl, Node>,
    configured: BTreeSet<NodeUrl>,
    parties: BTreeSet<NodeUrl>,
    only_configured: bool,
    /// Counts registrations: of two nodes that claim one key, the older claim holds.
    registrations: u64,
}

#[derive(Debug, Default)]
struct Node {
    keys: BTreeSet<PublicKey>,
    versions: ApiVersions,
    up: bool,
    registered: u64,
}

/// Where a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The address of the node that holds it.
    pub url: NodeUrl,
    /// What that node can do.
    pub versions: ApiVersions,
}

/// Why a node's word is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LearnError {
    /// Discovery is off, and this peer is not configured.
    #[error("{0} is not a known peer")]
    UnknownPeer(NodeUrl),
    /// Its own address cannot be that of a node.
    #[error(transparent)]
    Url(#[from] NodeUrlError),
}

impl Directory {
    /// Knows nobody. `only_configured`: nobody else may register.
    pub fn new(own: NodeUrl, only_configured: bool) -> Self {
        Self {
            own,
            own_keys: Vec::new(),
            nodes: BTreeMap::new(),
            configured: BTreeSet::new(),
            parties: BTreeSet::new(),
            only_configured,
            registrations: 0,
        }
    }

    /// The node's own address.
    pub fn own(&self) -> &NodeUrl {
        &self.own
    }

    /// Replaces our own keys.
    pub fn set_own_keys(&mut self, keys: Vec<PublicKey>) {
        self.own_keys = keys;
    }

    /// Replaces the configured peers. One that is no longer configured is forgotten with its keys; if it lives, it
    /// announces itself again.
    pub fn configure(&mut self, peers: impl IntoIterator<Item = NodeUrl>) {
        let own = &self.own;
        let peers: BTreeSet<_> = peers.into_iter().filter(|peer| peer != own).collect();
        for gone in self.configured.difference(&peers) {
            self.parties.remove(gone);
            self.nodes.remove(gone);
        }
        self.parties.extend(peers.iter().cloned());
        self.configured = peers;
    }

    /// Whom to poll.
    pub fn targets(&self) -> Vec<NodeUrl> {
        self.parties
            .union(&self.configured)
            .filter(|url| **url != self.own && url.is_https())
            .cloned()
            .collect()
    }

    /// Takes a node at its word about its own keys, and hears of others. True: we did not know this node, or not as
    /// living.
    pub fn learn(&mut self, said: &PartyInfo, versions: ApiVersions) -> Result<bool, LearnError> {
        let url: NodeUrl = said.url.parse()?;
        if self.only_configured && !self.configured.contains(&url) {
            return Err(LearnError::UnknownPeer(url));
        }
        self.hear_of(&said.parties);
        let full = self.nodes.len() >= MAX_NODES && !self.nodes.contains_key(&url);
        if url == self.own || full {
            return Ok(false);
        }
        let theirs = |(key, at): &(PublicKey, String)| {
            let own_address = at.parse::<NodeUrl>().is_ok_and(|at| at == url);
            (own_address && !self.own_keys.contains(key)).then(|| key.clone())
        };
        let keys: BTreeSet<_> = said.recipients.iter().filter_map(theirs).take(MAX_KEYS).collect();
        self.registrations += 1;
        let registered = self.registrations;
        let node = self.nodes.entry(url.clone()).or_insert(Node { registered, ..Node::default() });
        let news = !std::mem::replace(&mut node.up, true);
        (node.keys, node.versions) = (keys, versions);
        self.parties.insert(url);
        Ok(news)
    }

    /// A connection to that node failed. Its keys stay known; unless configured it is not polled again, since Java
    /// nodes gossip about the dead until everybody has forgotten them.
    pub fn down(&mut self, url: &NodeUrl) {
        if let Some(node) = self.nodes.get_mut(url) {
            node.up = false;
        }
        if !self.configured.contains(url) {
            self.parties.remove(url);
        }
    }

    /// That node answered.
    pub fn up(&mut self, url: &NodeUrl) {
        if let Some(node) = self.nodes.get_mut(url) {
            node.up = true;
        }
    }

    /// Who holds a key. Of several claimants one that is up, and of those the one that claimed first.
    pub fn holder(&self, key: &PublicKey) -> Option<Holder> {
        self.nodes
            .iter()
            .filter(|(_, node)| node.keys.contains(key))
            .min_by_key(|(_, node)| (!node.up, node.registered))
            .map(|(url, node)| Holder { url: url.clone(), versions: node.versions.clone() })
    }

    /// What we announce: our keys, and the addresses of all nodes that live and have keys.
    pub fn announcement(&self) -> PartyInfo {
        let live = self.nodes.iter().filter(|(_, node)| node.up && !node.keys.is_empty()).map(|(url, _)| url);
        let own = (!self.own_keys.is_empty()).then_some(&self.own);
        let parties: BTreeSet<_> = live.chain(own).map(ToString::to_string).collect();
        PartyInfo {
            url: self.own.to_string(),
            recipients: self.own_keys.iter().map(|key| (key.clone(), self.own.to_string())).collect(),
            parties: parties.into_iter().collect(),
        }
    }

    /// Every key that is known, once, with its holder's address; our own first.
    pub fn keys(&self) -> Vec<(PublicKey, NodeUrl)> {
        let others: BTreeSet<&PublicKey> = self.nodes.values().flat_map(|node| &node.keys).collect();
        let own = self.own_keys.iter().map(|key| (key.clone(), self.own.clone()));
        let found = others.into_iter().filter_map(|key| Some((key.clone(), self.holder(key)?.url)));
        own.chain(found).collect()
    }

    /// Everybody whom we poll, and ourselves.
    pub fn parties(&self) -> Vec<NodeUrl> {
        self.parties.iter().cloned().collect()
    }

    /// The hosts of configured peers.
    pub fn configured_hosts(&self) -> BTreeSet<String> {
        self.configured.iter().map(|url| url.host().to_owned()).collect()
    }

    fn hear_of(&mut self, parties: &[String]) {
        let room = MAX_NODES.saturating_sub(self.parties.len());
        // An address that cannot be parsed, or is not https, can never be reached: it is not worth a place.
        let valid =
            parties.iter().filter_map(|party| party.parse::<NodeUrl>().ok()).filter(NodeUrl::is_https);
        self.parties.extend(valid.take(room).filter(|party| *party != self.own));
    }
}

#[cfg(test)]
mod tests;
