//! What replicas of this node show each other of peers: each peer announces itself to one of them, and is known to all.
//!
//! A replica's row proves nothing: the peer itself is asked for a proof of each key, at an address that its certificate is for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use tessera_enclave::codec::versions::ApiVersions;
use tessera_enclave::{KeyRing, PublicKey};
use tessera_node_api::identity::{Identity, Role};
use tokio::time::Instant;

use super::announcement::Announcement;
use super::{NodeUrl, Peers};

/// Peers that are asked for proofs at one time, of those that another replica heard.
const AT_ONCE: usize = 8;

/// What a peer last announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Its name in certificates.
    pub(crate) identity: Identity,
    /// The address that it announced.
    pub(crate) url: NodeUrl,
    /// The hosts that the certificate of a node of ours names.
    pub(crate) hosts: Vec<String>,
    /// What it understands.
    pub(crate) versions: ApiVersions,
    /// The keys that it claims.
    pub(crate) keys: BTreeSet<PublicKey>,
    /// When it announced itself.
    pub(crate) at: Instant,
}

impl Heard {
    /// Whether it announced the same.
    pub(crate) fn says_what(&self, other: &Self) -> bool {
        let said = |heard: &Self| Self { at: self.at, ..heard.clone() };
        *self == said(other)
    }

    pub(super) fn announcement(&self) -> Announcement {
        Announcement {
            url: self.url.clone(),
            keys: self.keys.clone(),
            parties: Vec::new(),
            versions: self.versions.clone(),
            hosts: self.hosts.clone(),
        }
    }
}

impl Peers {
    /// All peers as they last announced themselves.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.registry.lock().heard()
    }

    /// Resolves when a peer has announced something new.
    pub(crate) async fn learned(&self) {
        self.learned.notified().await;
    }

    /// Takes what another replica heard, if it is newer than what this one did, and asks those peers for proofs. Ends when each of
    /// them has proven its keys, or did not.
    pub(crate) async fn take_heard(&self, ring: &KeyRing, heard: Vec<Heard>) {
        let asked: Vec<_> = heard.into_iter().map(|heard| self.take_one(ring, heard)).collect();
        stream::iter(asked).buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    async fn take_one(&self, ring: &KeyRing, heard: Heard) {
        if !self.may_speak_for(&heard.identity, &heard.url) {
            return;
        }
        let claim = {
            let mut registry = self.registry.lock();
            let claim = registry.learn_of(&heard, Instant::now());
            self.directory.store(Arc::new(registry.snapshot()));
            claim
        };
        if let Some(claim) = claim {
            self.prove(ring, claim).await;
        }
    }

    /// Whether a node of that name may have that address, as far as its name says so.
    fn may_speak_for(&self, identity: &Identity, url: &NodeUrl) -> bool {
        let organisation = identity.trust_domain();
        let is_ours = || organisation == self.identity.trust_domain() && *identity != self.identity;
        let is_partner = || {
            let partners = &self.directory().partners;
            let of_host = partners.of_host(url.host());
            of_host.is_some_and(|partner| partner.scope().trust_domain() == organisation)
        };
        identity.role() == Role::Node && url.is_https() && (is_ours() || is_partner())
    }
}

/// The time that was `age` ago; now, where the clock does not go back so far.
pub(crate) fn ago(age: Duration) -> Instant {
    let now = Instant::now();
    now.checked_sub(age).unwrap_or(now)
}
