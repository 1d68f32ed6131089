//! What a node says of itself: parsed and bounded before anything else sees it.

use std::collections::BTreeSet;

use tessera_enclave::PublicKey;
use tessera_enclave::codec::party_info::PartyInfo;
use tessera_enclave::codec::versions::ApiVersions;

use super::node_url::{NodeUrl, NodeUrlError};

/// Keys of one node that are kept.
pub(crate) const MAX_KEYS: usize = 1024;
/// Addresses of others that are read from one announcement.
const MAX_PARTIES: usize = 1024;

/// A node's announcement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Announcement {
    /// Its address.
    pub(crate) url: NodeUrl,
    /// The keys that it claims for that address.
    pub(super) keys: BTreeSet<PublicKey>,
    /// Others that it has heard of.
    pub(super) parties: Vec<NodeUrl>,
    /// What it understands.
    pub(super) versions: ApiVersions,
    /// The hosts that the certificate of a node of ours names.
    pub(super) hosts: Vec<String>,
}

impl Announcement {
    /// Keys at another address than the node's own are not its to announce. Addresses that cannot be connected to are left
    /// out.
    pub(crate) fn new(said: &PartyInfo, versions: ApiVersions) -> Result<Self, NodeUrlError> {
        let url: NodeUrl = said.url.parse()?;
        let theirs = |at: &str| at == said.url || at.parse::<NodeUrl>().is_ok_and(|at| at == url);
        let claimed = said.recipients.iter().take(MAX_KEYS).filter(|(_, at)| theirs(at));
        let keys = claimed.map(|(key, _)| *key).collect();
        let parties = said.parties.iter().take(MAX_PARTIES).filter_map(|party| party.parse::<NodeUrl>().ok());
        let parties = parties.filter(NodeUrl::is_https).collect();
        Ok(Self { url, keys, parties, versions, hosts: Vec::new() })
    }

    /// With the hosts that the certificate of its node names, exactly.
    pub(crate) fn of_hosts(self, hosts: Vec<String>) -> Self {
        Self { hosts, ..self }
    }

    /// Forgets the others. A partner names its own nodes to whom it likes, and must not make us connect to what it chooses.
    pub(crate) fn introduce_nobody(&mut self) {
        self.parties.clear();
    }
}
