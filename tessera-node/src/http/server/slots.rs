//! The connections of a listener, bounded as a whole and for each identity: one partner must not keep the others out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tessera_node_api::identity::Identity;
use tessera_tls::Peer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All slots of a listener. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Slots(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    all: Arc<Semaphore>,
    each: usize,
    by_identity: Mutex<HashMap<Identity, Arc<Semaphore>>>,
}

/// The slot of one connection; released on drop.
#[derive(Debug)]
pub(super) struct Slot {
    _all: OwnedSemaphorePermit,
    own: Option<OwnedSemaphorePermit>,
    identity: Identity,
    shared: Arc<Shared>,
}

/// Who has one bound for all connections: an identity of our own trust domain; of a partner, which makes as many identities as it
/// likes, the organisation.
pub(super) fn holder(peer: &Peer) -> Identity {
    let organisation = peer.partner.as_ref().map(|partner| Identity::node(partner.trust_domain(), "_all"));
    organisation.and_then(Result::ok).unwrap_or_else(|| peer.identity.clone())
}

impl Slots {
    /// `connections` in all, and half of them for one identity.
    pub(super) fn new(connections: usize) -> Self {
        let all = Arc::new(Semaphore::new(connections));
        Self(Arc::new(Shared { all, each: connections.div_ceil(2), by_identity: Mutex::default() }))
    }

    /// Waits for a slot; none when the listener has gone.
    pub(super) async fn take(&self, identity: &Identity) -> Option<Slot> {
        let own = {
            let mut identities = self.0.by_identity();
            let new = || Arc::new(Semaphore::new(self.0.each));
            Arc::clone(identities.entry(identity.clone()).or_insert_with(new))
        };
        // Its own bound first: an identity that is at its bound must not wait among all.
        let waiting = Waiting { shared: &self.0, identity };
        let own = own.acquire_owned().await.ok()?;
        let all = Arc::clone(&self.0.all).acquire_owned().await.ok()?;
        std::mem::forget(waiting);
        Some(Slot { _all: all, own: Some(own), identity: identity.clone(), shared: Arc::clone(&self.0) })
    }
}

/// Forgets an identity whose only connection gave up waiting.
struct Waiting<'a> {
    shared: &'a Shared,
    identity: &'a Identity,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.forget_idle(self.identity);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.own = None;
        self.shared.forget_idle(&self.identity);
    }
}

impl Shared {
    fn by_identity(&self) -> MutexGuard<'_, HashMap<Identity, Arc<Semaphore>>> {
        // One insert or remove at a time: a panic elsewhere does not spoil it.
        self.by_identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets an identity that has no connection and none that waits: each of these holds its semaphore.
    fn forget_idle(&self, identity: &Identity) {
        let mut identities = self.by_identity();
        if identities.get(identity).is_some_and(|own| Arc::strong_count(own) == 1) {
            identities.remove(identity);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn one_identity_takes_half_and_leaves_nothing_behind() {
        let slots = Slots::new(4);
        let [greedy, other] = ["a", "b"].map(|name| Identity::node("org.test", name).unwrap());
        let take = |identity| slots.take(identity).now_or_never().flatten();
        let mut taken: Vec<_> = (0..2).map(|_| take(&greedy).expect("a slot")).collect();
        assert!(take(&greedy).is_none(), "a third");
        taken.extend((0..2).map(|_| take(&other).expect("a slot for the other")));
        taken.remove(0);
        taken.push(take(&greedy).expect("a slot that was released"));
        drop(taken);
        assert!(slots.0.by_identity().is_empty());
    }

    #[test]
    fn a_partner_is_one_holder_whatever_identities_it_makes() {
        let scope = Arc::new(tessera_tls::Scope::new("b.test", &["*.b.test"]).unwrap());
        let peer = |domain: &str, name: &str, partner| Peer {
            identity: Identity::node(domain, name).unwrap(),
            not_after: jiff::Timestamp::MAX,
            fingerprint: String::new(),
            issuer: String::new(),
            partner,
        };
        let theirs = |name| holder(&peer("b.test", name, Some(Arc::clone(&scope))));
        let ours = |name| holder(&peer("org.test", name, None));
        assert_eq!(theirs("a"), theirs("b"));
        assert_ne!(ours("a"), ours("b"));
        assert_ne!(theirs("a"), ours("a"));
    }
}
