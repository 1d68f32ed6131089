//! Tells all peers who we are, every few seconds: a node learns keys from the holder's own announcement only.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use tessera_enclave::codec::versions::ApiVersions;
use tessera_tls::Scope;
use tokio::time::Instant;

use super::client::{ANSWER_BYTES, Call, CallError};
use super::directory::{Directory, Target};
use super::endpoint::{Endpoint, Resource};
use super::{NodeUrl, Peers, versions_header};

/// Between two rounds, even when peers announce changes all the time.
const FLOOR: Duration = Duration::from_secs(1);
/// Polls at one time: of nodes that are known, and of addresses that other nodes announced.
const KNOWN_AT_ONCE: usize = 12;
const STRANGERS_AT_ONCE: usize = 4;
/// Strangers polled in one round: a peer that names many must not delay the others.
const STRANGERS: usize = 8;

impl Peers {
    /// Announces ourselves now, at each interval, and when woken.
    pub async fn discover(self: Arc<Self>) -> Result<(), Infallible> {
        loop {
            let round = Instant::now();
            self.announce_to_all().await;
            tokio::select! {
                () = tokio::time::sleep_until(round + self.interval) => {}
                () = self.wake.notified() => tokio::time::sleep_until(round + FLOOR.min(self.interval)).await,
            }
        }
    }

    async fn announce_to_all(&self) {
        let directory = Arc::clone(&self.directory());
        // Without keys it would take from this node those that its peers know: they may be another replica's, or its own of before.
        if directory.own_keys.is_empty() {
            return;
        }
        let call = announcement(&directory, None);
        // Each partner hears of our nodes and its own, and of no other partner's.
        let to_partners: HashMap<_, _> = directory
            .partners
            .iter()
            .map(|partner| (partner.scope().trust_domain(), announcement(&directory, Some(partner.scope()))))
            .collect();
        let call_to = |url: &NodeUrl| {
            let partner = directory.partners.of_host(url.host());
            partner.and_then(|partner| to_partners.get(partner.scope().trust_domain())).unwrap_or(&call)
        };
        // The living first: the dead take all of their deadline.
        let (up, down): (Vec<_>, Vec<_>) = directory.targets().partition(|target| self.was_reached(target));
        let known: Vec<_> = up
            .into_iter()
            .chain(down)
            .map(|target| self.announce_to(target, call_to(&target.endpoint.url)))
            .collect();
        let strangers: Vec<_> = directory.strangers.iter().take(STRANGERS).cloned().collect();
        let introductions: Vec<_> =
            strangers.iter().map(|stranger| self.introduce(stranger, call_to(&stranger.url))).collect();
        tokio::join!(
            stream::iter(known).buffer_unordered(KNOWN_AT_ONCE).collect::<()>(),
            stream::iter(introductions).buffer_unordered(STRANGERS_AT_ONCE).collect::<()>(),
        );
        self.finish_round(&strangers);
    }

    async fn announce_to(&self, target: &Target, call: &Call) {
        let peer = &target.endpoint.url;
        match self.client.call(&target.endpoint, None, call, self.call_deadline()).await {
            Ok(answer) if answer.status.is_success() => {
                set_up(target, true);
                if self.remember(peer, true) {
                    tracing::info!(peer = peer.authority(), "peer reached");
                }
            }
            Ok(answer) => {
                // It lives, and does not want to hear of us: its keys are as good as ever.
                if self.remember(peer, false) {
                    tracing::warn!(peer = peer.authority(), status = %answer.status, "peer refuses our announcement");
                }
            }
            Err(error) => {
                set_up(target, false);
                if self.remember(peer, false) {
                    let error: &CallError = &error;
                    tracing::warn!(
                        peer = peer.authority(),
                        error = crate::telemetry::chain(error),
                        "peer not reached"
                    );
                }
            }
        }
    }

    /// A stranger that hears of us and wants to know us announces itself.
    async fn introduce(&self, stranger: &Endpoint, call: &Call) {
        let outcome = self.client.call(stranger, None, call, self.call_deadline()).await;
        tracing::debug!(peer = stranger.url.authority(), reached = outcome.is_ok(), "introduced ourselves");
    }

    fn was_reached(&self, target: &Target) -> bool {
        self.reached.lock().get(&target.endpoint.url).is_none_or(|up| *up)
    }

    fn remember(&self, url: &NodeUrl, up: bool) -> bool {
        self.reached.lock().insert(url.clone(), up) != Some(up)
    }

    /// The status tells of peers that are polled, not of those that once were.
    fn finish_round(&self, strangers: &[Arc<Endpoint>]) {
        let mut registry = self.registry.lock();
        if registry.forget(strangers, Instant::now()) {
            self.directory.store(Arc::new(registry.snapshot()));
        }
        drop(registry);
        let directory = self.directory();
        let known: BTreeSet<_> = directory.known.iter().map(|target| &target.endpoint.url).collect();
        self.reached.lock().retain(|url, _| known.contains(url));
        self.client.prune();
    }
}

fn announcement(directory: &Directory, partner: Option<&Scope>) -> Call {
    Call {
        resource: Resource::PartyInfo,
        versions: versions_header(&ApiVersions::ours()),
        body: Bytes::from(directory.announcement(partner).encode()),
        largest_answer: ANSWER_BYTES,
    }
}

fn set_up(target: &Target, up: bool) {
    for peer in &target.peers {
        peer.set_up(up);
    }
}
