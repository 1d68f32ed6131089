//! Other transaction managers: who they are, and how they are spoken with.
//!
//! ```text
//! discovery ──POST /partyinfo──► all peers, every few seconds        directory [pure]: who holds which key
//! push ───────POST /push──────► the holder of one key                    ▲
//!      └─── client: pooled connections over mutual TLS ──────────────────┘ up, down
//! ```
//!
//! A key is learned only from its holder's own announcement, and an address only from whoever has a certificate for it.

mod client;
pub mod directory;
mod discovery;
mod node_url;
mod push;
mod validate;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use tessera_enclave::codec::versions::ApiVersions;
use tessera_tls::ClientTls;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::metrics::Metrics;
use crate::tasks::Tasks;

pub use directory::Directory;
pub use node_url::{NodeUrl, NodeUrlError};
pub(crate) use push::{PushError, SEND_DEADLINE};

/// The version header, as HTTP libraries spell it.
pub(crate) const VERSIONS: HeaderName = HeaderName::from_static("tesserasupportedapiversions");

/// All peers of this node.
#[derive(Debug)]
pub struct Peers {
    directory: Mutex<Directory>,
    client: client::Client,
    reached: Mutex<BTreeMap<NodeUrl, bool>>,
    wake: Notify,
    interval: Duration,
    metrics: Arc<Metrics>,
}

impl Peers {
    /// Peers spoken with over `tls`; party info goes out every `interval`.
    pub fn new(
        directory: Directory,
        tls: ClientTls,
        interval: Duration,
        tasks: Tasks,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            directory: Mutex::new(directory),
            client: client::Client::new(tls, tasks),
            reached: Mutex::default(),
            wake: Notify::new(),
            interval,
            metrics,
        })
    }

    /// What is known of the network.
    pub fn directory(&self) -> MutexGuard<'_, Directory> {
        // Its operations leave it valid at every step: a panic elsewhere does not spoil it.
        self.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Announces ourselves now: our keys or our peers have changed.
    pub fn announce(&self) {
        self.wake.notify_one();
    }

    /// The addresses of the peers that answered our last announcement, sorted.
    pub fn reached(&self) -> Vec<String> {
        let reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        reached.iter().filter(|(_, up)| **up).map(|(url, _)| url.to_string()).collect()
    }

    /// For a call that is no push: three quarters of the interval, as Java, but time enough for two handshakes.
    fn call_deadline(&self) -> Instant {
        Instant::now() + (self.interval * 3 / 4).max(Duration::from_secs(2))
    }

    /// Remembers whether a peer answers; true if that is news.
    fn note(&self, url: &NodeUrl, up: bool) -> bool {
        let mut directory = self.directory();
        if up {
            directory.up(url);
        } else {
            directory.down(url);
        }
        drop(directory);
        self.remember(url, up)
    }

    fn remember(&self, url: &NodeUrl, up: bool) -> bool {
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        reached.insert(url.clone(), up) != Some(up)
    }
}

/// The header of a request between nodes.
fn versions_header(versions: &ApiVersions) -> HeaderValue {
    // Digits, dots, commas and letters only.
    HeaderValue::from_str(&versions.to_string()).unwrap_or(HeaderValue::from_static("v1"))
}
