//! Who holds which key: an immutable snapshot. Readers never wait for a writer.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::HeaderValue;
use serde_json::json;
use tessera_enclave::codec::party_info::PartyInfo;
use tessera_enclave::codec::versions::ApiVersions;
use tessera_enclave::{PayloadCodec, PublicKey};
use tessera_node_api::identity::Identity;
use tessera_tls::{Partners, Scope};

use super::endpoint::Endpoint;
use super::node_url::NodeUrl;
use super::versions_header;

/// A node that announced itself, as requests to it need it.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(super) identity: Identity,
    /// The address that it announced.
    url: NodeUrl,
    /// Where requests to it go.
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) push_header: HeaderValue,
    versions: ApiVersions,
    codec: PayloadCodec,
    up: AtomicBool,
}

impl Peer {
    pub(super) fn new(
        identity: Identity,
        url: NodeUrl,
        endpoint: Arc<Endpoint>,
        versions: ApiVersions,
    ) -> Self {
        let codec = versions.preferred_codec();
        // The receiver chooses its decoder by the header of the request: header and body must agree.
        let push_header = versions_header(&ApiVersions::ours_for(codec));
        Self { identity, url, endpoint, push_header, versions, codec, up: AtomicBool::new(true) }
    }

    /// Its name in certificates.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) fn url(&self) -> &NodeUrl {
        &self.url
    }

    /// Host and port at which it is reached.
    pub(crate) fn authority(&self) -> &str {
        self.endpoint.url.authority()
    }

    /// What that node can do.
    pub(crate) fn versions(&self) -> &ApiVersions {
        &self.versions
    }

    /// The format of payloads for that node.
    pub(crate) fn codec(&self) -> PayloadCodec {
        self.codec
    }

    /// Whether it answered when last asked.
    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Notes whether it answered. True if that changes.
    pub(super) fn set_up(&self, up: bool) -> bool {
        self.up.swap(up, Ordering::Relaxed) != up
    }
}

/// A node that is polled.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) endpoint: Arc<Endpoint>,
    /// The nodes that are reached there.
    pub(super) peers: Vec<Arc<Peer>>,
    pub(super) configured: bool,
}

/// What this node knows of the network.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(super) own: NodeUrl,
    pub(super) own_keys: Vec<PublicKey>,
    /// The nodes that proved that they hold a key, the oldest claim first.
    pub(super) holders: HashMap<PublicKey, Vec<Arc<Peer>>>,
    /// Configured addresses and those of nodes that announced themselves.
    pub(super) known: Vec<Target>,
    /// Addresses that other nodes announced.
    pub(super) strangers: Vec<Arc<Endpoint>>,
    /// Other organisations.
    pub(super) partners: Arc<Partners>,
    pub(super) party_info: OnceLock<Bytes>,
}

impl Directory {
    /// The node's own address.
    pub(crate) fn own(&self) -> &NodeUrl {
        &self.own
    }

    /// The node to push to for a key: of those that proved it, one that is up, and of those the one that claimed first.
    pub(crate) fn holder(&self, key: &PublicKey) -> Option<Arc<Peer>> {
        let holders = self.holders.get(key)?;
        holders.iter().find(|peer| peer.is_up()).or(holders.first()).map(Arc::clone)
    }

    /// Whether the key counts as this node's: of the nodes that proved it, the one that claimed it first. A later proof may be one
    /// that the holder was made to give for another caller.
    pub(crate) fn is_holder(&self, node: &Identity, key: &PublicKey) -> bool {
        self.holders.get(key).and_then(|holders| holders.first()).is_some_and(|first| first.identity == *node)
    }

    /// The nodes that announced themselves, each once, and the configured addresses that no node announced. Those of the trust domain
    /// come first, and of them those that answered when last asked.
    pub(crate) fn all(&self, trust_domain: &str) -> (Vec<Arc<Peer>>, Vec<&str>) {
        let mut announced: Vec<_> =
            self.known.iter().flat_map(|target| target.peers.iter().map(Arc::clone)).collect();
        announced.sort_by_key(|peer| (peer.identity.trust_domain() != trust_domain, !peer.is_up()));
        let silent = self.known.iter().filter(|target| target.peers.is_empty());
        (announced, silent.map(|target| target.endpoint.url.authority()).collect())
    }

    /// What we announce: our keys, and the addresses of all nodes that live. What we have no proof of is not passed on:
    /// one key under two addresses stops a Java node's polling. What we announce to a `partner` leaves out the nodes of others, and
    /// has the public addresses of ours; among ourselves a node goes by the address that it is reached at.
    pub(super) fn announcement(&self, partner: Option<&Scope>) -> PartyInfo {
        let may_hear = |url: &NodeUrl| {
            partner.is_none_or(|partner| {
                self.partners.of_host(url.host()).is_none() || partner.holds_host(url.host())
            })
        };
        let live = self.known.iter().flat_map(|target| &target.peers).filter(|peer| peer.is_up());
        let is_ours = partner.is_none();
        let shown = live.map(|peer| if is_ours { &peer.endpoint.url } else { peer.url() });
        let live: BTreeSet<_> = shown.filter(|url| may_hear(url)).collect();
        let own = (!self.own_keys.is_empty()).then_some(&self.own);
        PartyInfo {
            url: self.own.to_string(),
            recipients: self.own_keys.iter().map(|key| (*key, self.own.to_string())).collect(),
            parties: live.into_iter().chain(own).map(ToString::to_string).collect(),
        }
    }

    /// Those to poll: the configured ones, and those that announced themselves and live.
    pub(super) fn targets(&self) -> impl Iterator<Item = &Target> {
        self.known.iter().filter(|target| {
            let wanted = target.configured || target.peers.iter().any(|peer| peer.is_up());
            wanted && target.endpoint.url.is_https()
        })
    }

    /// The hosts of configured peers.
    pub(crate) fn configured_hosts(&self) -> impl Iterator<Item = &str> {
        self.known.iter().filter(|target| target.configured).map(|target| target.endpoint.url.host())
    }

    /// `GET /partyinfo`: our own keys first. Written once for each snapshot.
    pub(crate) fn party_info(&self) -> Bytes {
        self.party_info.get_or_init(|| self.write_party_info()).clone()
    }

    fn write_party_info(&self) -> Bytes {
        let entry = |key: &PublicKey, url: &NodeUrl| json!({"key": key.to_string(), "url": url.as_str()});
        let own = self.own_keys.iter().map(|key| entry(key, &self.own));
        let others = self.holders.iter().filter_map(|(key, peers)| Some(entry(key, peers.first()?.url())));
        let keys: Vec<_> = own.chain(others).collect();
        let unheard = self.known.iter().filter(|target| target.peers.is_empty());
        let unheard = unheard.map(|target| &target.endpoint.url);
        let heard = self.known.iter().flat_map(|target| &target.peers).map(|peer| peer.url());
        let strangers = self.strangers.iter().map(|endpoint| &endpoint.url);
        let peers: BTreeSet<_> = heard.chain(unheard).chain(strangers).collect();
        let peers: Vec<_> = peers.into_iter().map(|url| json!({"url": url.as_str()})).collect();
        json!({"url": self.own.as_str(), "peers": peers, "keys": keys}).to_string().into()
    }
}
