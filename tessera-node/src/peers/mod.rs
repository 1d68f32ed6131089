//! Other transaction managers: who they are, and how they are spoken with.
//!
//! ```text
//! POST /partyinfo ─► announcement ─► registry ──publish──► directory ◄── readers: sends, GET /partyinfo
//!                    [parsed, bounded] [one writer]        [immutable snapshot]
//!                                        ▲ proven
//! proof ──────── POST /partyinfo/validate ┘ only the holder of a key opens what is sealed for it
//! discovery ──── POST /partyinfo ─► all peers, every few seconds
//! push ───────── POST /push ──────► the holder of one key
//! heard ──────── database ──────► the other replicas of this node, if there are any
//! resend ─────── POST /resend ────► any node, for a payload that is damaged here
//!                └── client ── pool: bounded connections over mutual TLS
//! ```
//!
//! A key is learned only from its holder's own announcement, an address only from a node whose certificate is for it,
//! and nothing is sent to a node before it proved that it holds the key.

mod announcement;
mod challenge;
mod client;
pub(crate) mod directory;
mod discovery;
mod endpoint;
mod heard;
mod log_limit;
mod node_url;
mod pool;
mod proof;
mod push;
mod registry;
mod resend;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use http::{HeaderName, HeaderValue};
use parking_lot::Mutex;
use tessera_enclave::codec::versions::ApiVersions;
use tessera_enclave::{KeyRing, PublicKey};
use tessera_node_api::identity::Identity;
use tessera_tls::{ClientTls, Partners};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::metrics::Metrics;
use crate::tasks::Tasks;

pub(crate) use announcement::{Announcement, MAX_KEYS};
pub(crate) use challenge::is_for as challenge_is_for;
use directory::Directory;
pub(crate) use heard::{Heard, ago};
use log_limit::LogLimits;
pub use node_url::{NodeUrl, NodeUrlError};
pub(crate) use push::PushError;
pub(crate) use registry::LearnError;
use registry::Registry;
pub(crate) use resend::{ResendError, printable};

/// The version header, as HTTP libraries spell it.
pub(crate) const VERSIONS: HeaderName = HeaderName::from_static("tesserasupportedapiversions");
/// Announcements whose keys are being proven at one time.
const PROOFS: usize = 8;

/// This node among its peers.
#[derive(Debug, Clone)]
pub struct Own {
    /// Its name in certificates.
    pub identity: Identity,
    /// Its address.
    pub url: NodeUrl,
    /// Only configured peers may register.
    pub only_configured: bool,
}

/// All peers of this node.
#[derive(Debug)]
pub struct Peers {
    identity: Identity,
    registry: Mutex<Registry>,
    directory: ArcSwap<Directory>,
    client: client::Client,
    reached: Mutex<BTreeMap<NodeUrl, bool>>,
    wake: Notify,
    /// A peer announced something new.
    learned: Notify,
    proofs: Semaphore,
    interval: Duration,
    tasks: Tasks,
    metrics: Arc<Metrics>,
    log: LogLimits,
}

impl Peers {
    /// Peers spoken with over `tls`, at most `connections` at a time; party info goes out every `interval`.
    pub fn new(
        own: Own,
        tls: ClientTls,
        connections: usize,
        interval: Duration,
        tasks: Tasks,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let registry = Registry::new(own.identity.trust_domain(), own.url, own.only_configured);
        Arc::new(Self {
            identity: own.identity,
            directory: ArcSwap::from_pointee(registry.snapshot()),
            registry: Mutex::new(registry),
            client: client::Client::new(tls, connections, tasks.clone()),
            reached: Mutex::default(),
            wake: Notify::new(),
            learned: Notify::new(),
            proofs: Semaphore::new(PROOFS),
            interval,
            tasks,
            metrics,
            log: LogLimits::default(),
        })
    }

    /// This node's own name.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What is known of the network. Never waits.
    pub(crate) fn directory(&self) -> Guard<Arc<Directory>> {
        self.directory.load()
    }

    /// Replaces our own keys, the configured peers and the partners, and announces ourselves.
    pub fn configure(
        &self,
        own_keys: Vec<PublicKey>,
        peers: impl IntoIterator<Item = NodeUrl>,
        partners: Arc<Partners>,
    ) {
        self.change(|registry| {
            registry.set_own_keys(own_keys);
            registry.set_partners(partners);
            registry.configure(peers);
        });
        self.announce();
    }

    /// Takes note of an announcement of `caller`. Keys that it has not proven yet are asked for in the background.
    pub(crate) fn learn(
        self: &Arc<Self>,
        ring: &Arc<KeyRing>,
        caller: &Identity,
        announcement: Announcement,
    ) -> Result<(), LearnError> {
        if let Some(claim) = self.register(caller, announcement)?.claim {
            let (peers, ring) = (Arc::clone(self), Arc::clone(ring));
            self.tasks.job(async move { peers.prove(&ring, claim).await });
        }
        Ok(())
    }

    /// As [`Self::learn`], but keeps only keys that are proven, and waits for the proofs. False: there is none.
    pub(crate) async fn learn_proven(
        &self,
        ring: &KeyRing,
        caller: &Identity,
        mut announcement: Announcement,
    ) -> Result<bool, LearnError> {
        let claim = self.registry.lock().claim(caller, &announcement)?;
        announcement.keys.retain(|key| !claim.keys.contains(key));
        let proven = self.ask(ring, &claim.peer, claim.keys).await;
        announcement.keys.extend(proven.iter().copied());
        if announcement.keys.is_empty() {
            return Ok(false);
        }
        self.register(caller, announcement)?;
        self.change(|registry| registry.proven(&claim.peer, proven));
        Ok(true)
    }

    fn register(
        &self,
        caller: &Identity,
        announcement: Announcement,
    ) -> Result<registry::Learned, LearnError> {
        let mut registry = self.registry.lock();
        let learned = registry.learn(caller, announcement, Instant::now())?;
        if learned.changed {
            self.directory.store(Arc::new(registry.snapshot()));
            self.learned.notify_one();
        }
        drop(registry);
        if learned.came_up {
            if self.may_log(caller) {
                tracing::info!(peer = %caller, "peer announced itself");
            }
            self.announce();
        }
        Ok(learned)
    }

    /// Announces ourselves soon: our keys or our peers have changed.
    fn announce(&self) {
        self.wake.notify_one();
    }

    /// Changes the registry and publishes it. Readers go on with the snapshot that they have.
    fn change<T>(&self, change: impl FnOnce(&mut Registry) -> T) -> T {
        let mut registry = self.registry.lock();
        let result = change(&mut registry);
        self.directory.store(Arc::new(registry.snapshot()));
        result
    }

    /// Whether a line that `peer` caused may be logged now.
    pub(crate) fn may_log(&self, peer: &Identity) -> bool {
        self.log.allow(peer)
    }

    /// The addresses of the peers that answered our last announcement, sorted.
    pub fn reached(&self) -> Vec<String> {
        self.reached.lock().iter().filter(|(_, up)| **up).map(|(url, _)| url.to_string()).collect()
    }

    /// For a call that is no push: three quarters of the interval, as Java, but time enough for two handshakes.
    fn call_deadline(&self) -> Instant {
        Instant::now() + (self.interval * 3 / 4).max(Duration::from_secs(2))
    }
}

/// The header of a request between nodes.
fn versions_header(versions: &ApiVersions) -> HeaderValue {
    // Digits, dots, commas and letters only.
    HeaderValue::from_str(&versions.to_string()).unwrap_or(HeaderValue::from_static("v1"))
}
