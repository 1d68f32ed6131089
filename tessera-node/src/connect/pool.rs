//! Connections to the node: so many requests at once, and the connections that wait for the next one.

use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http1::SendRequest;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tessera_tls::Credentials;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::upload::Upload;

/// Requests at once, each on a connection of its own: half of what a node with 128 MiB gives one identity.
const MAX_REQUESTS: usize = 64;
/// Shorter than the node's (one minute): who closes a connection first must not be a race with a request.
pub(super) const IDLE: Duration = Duration::from_secs(15);
/// A connection whose certificates end this soon takes no further request: the node or we would close it in the middle.
const MARGIN: SignedDuration = SignedDuration::from_secs(30);

/// All connections to the node.
#[derive(Debug)]
pub(super) struct Pool {
    idle: Mutex<Vec<Idle>>,
    slots: Arc<Semaphore>,
}

#[derive(Debug)]
struct Idle {
    link: Link,
    since: Instant,
}

/// An open connection to the node.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) sender: SendRequest<Upload>,
    /// The certificate that it was opened with, and the roots by which the node's was accepted.
    pub(super) shown: Arc<Credentials>,
    /// When the first of both certificates ends.
    pub(super) until: Timestamp,
    /// Cancelled when it may take no further request.
    pub(super) retired: CancellationToken,
}

/// The right to have one request in progress.
#[derive(Debug)]
pub(super) struct Slot {
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

/// A connection whose answer is being read; after that it waits for the next request.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) link: Link,
    pub(super) slot: Slot,
}

impl Pool {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { idle: Mutex::default(), slots: Arc::new(Semaphore::new(MAX_REQUESTS)) })
    }

    /// Waits in turn.
    pub(super) async fn slot(self: &Arc<Self>) -> Option<Slot> {
        let permit = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        Some(Slot { pool: Arc::clone(self), _permit: permit })
    }

    /// Closes idle connections that would take no further request.
    pub(super) fn prune(&self, current: Option<&Arc<Credentials>>) {
        self.idle.lock().retain(|idle| idle.is_usable(current));
    }

    /// Closes all idle connections.
    pub(super) fn clear(&self) {
        self.idle.lock().clear();
    }
}

impl Slot {
    /// The connection that was used last, if it was opened with the `current` certificate.
    pub(super) fn take(&self, current: &Arc<Credentials>) -> Option<Link> {
        let mut idle = self.pool.idle.lock();
        while let Some(found) = idle.pop() {
            if found.is_usable(Some(current)) && found.link.sender.is_ready() {
                return Some(found.link);
            }
        }
        None
    }
}

impl Lease {
    /// Keeps the connection for the next request.
    pub(super) fn give_back(self) {
        let Self { link, slot } = self;
        if !link.sender.is_closed() && !link.retired.is_cancelled() {
            slot.pool.idle.lock().push(Idle { link, since: Instant::now() });
        }
    }
}

impl Idle {
    fn is_usable(&self, current: Option<&Arc<Credentials>>) -> bool {
        let link = &self.link;
        self.since.elapsed() < IDLE
            && !link.sender.is_closed()
            && !link.retired.is_cancelled()
            && current.is_some_and(|current| Arc::ptr_eq(current, &link.shown))
            && Timestamp::now() + MARGIN < link.until
    }
}
