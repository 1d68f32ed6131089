//! Connections to peers: bounded for each peer and in all. A request beyond the bound waits for a connection; it never
//! opens one.
//!
//! ```text
//! slot(peer) ── waits in turn ─► idle connection, or permission to open one ─► request ─► idle again, or closed
//! ```
//!
//! (hyper-util's pool has no bound on open connections and nobody waits for one: a burst of sends opens as many
//! connections as there are sends, and each costs a handshake.)

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use parking_lot::Mutex;
use tessera_node_api::identity::Identity;
use tessera_tls::{Credentials, Peer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Shorter than any server's idle timeout that we know of (Jetty: 30 s).
const IDLE: Duration = Duration::from_secs(15);
/// Connections to one peer. Its disk syncs what they bring together, so more of them bring no more.
const MAX_PER_PEER: usize = 64;

/// Where a connection leads: host and port.
pub(super) type Authority = (String, u16);
pub(super) type Sender = SendRequest<Full<Bytes>>;

/// All connections to peers.
#[derive(Debug)]
pub(super) struct Pool {
    peers: Mutex<HashMap<Authority, Arc<Slots>>>,
    open: Arc<Semaphore>,
    /// Requests that wait until a connection to another peer closes.
    waiting: AtomicUsize,
}

#[derive(Debug)]
struct Slots {
    free: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

/// An open connection. It counts until it is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: Sender,
    /// The node at the other end.
    pub(super) peer: Peer,
    /// The certificate that it was opened with.
    pub(super) shown: Arc<Credentials>,
    /// Cancelled when it may take no further request.
    pub(super) retired: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

/// The right to use one connection to a peer.
#[derive(Debug)]
pub(super) struct Slot<'p> {
    pool: &'p Pool,
    slots: Arc<Slots>,
    _permit: OwnedSemaphorePermit,
}

/// The pool is closed.
#[derive(Debug)]
pub(super) struct Closed;

impl Pool {
    /// At most `connections` to all peers.
    pub(super) fn new(connections: usize) -> Self {
        Self {
            peers: Mutex::default(),
            open: Arc::new(Semaphore::new(connections)),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Waits for the right to use a connection. First come, first served.
    pub(super) async fn slot(&self, authority: &Authority) -> Result<Slot<'_>, Closed> {
        let slots = {
            let mut peers = self.peers.lock();
            match peers.get(authority) {
                Some(slots) => Arc::clone(slots),
                None => Arc::clone(peers.entry(authority.clone()).or_insert_with(Slots::new)),
            }
        };
        let permit = Arc::clone(&slots.free).acquire_owned().await.map_err(|_| Closed)?;
        Ok(Slot { pool: self, slots, _permit: permit })
    }

    /// Closes idle connections that take no further request, and forgets peers without a connection.
    pub(super) fn prune(&self, current: Option<&Arc<Credentials>>) {
        self.peers.lock().retain(|_, slots| {
            slots.idle.lock().retain(|idle| idle.is_usable(current));
            Arc::strong_count(slots) > 1 || !slots.idle.lock().is_empty()
        });
    }

    /// Closes all idle connections.
    pub(super) fn clear(&self) {
        for slots in self.peers.lock().values() {
            slots.idle.lock().clear();
        }
    }

    /// Permission to open a connection. Beyond the bound the longest idle connection closes for it.
    async fn permit(&self) -> Result<OwnedSemaphorePermit, Closed> {
        if let Ok(permit) = Arc::clone(&self.open).try_acquire_owned() {
            return Ok(permit);
        }
        let _waiting = Waiting::new(&self.waiting);
        self.close_longest_idle();
        Arc::clone(&self.open).acquire_owned().await.map_err(|_| Closed)
    }

    fn close_longest_idle(&self) {
        let peers = self.peers.lock();
        let oldest = |slots: &Arc<Slots>| slots.idle.lock().first().map(|idle| idle.since);
        let longest =
            peers.values().filter_map(|slots| Some((oldest(slots)?, slots))).min_by_key(|(since, _)| *since);
        if let Some((_, slots)) = longest {
            let mut idle = slots.idle.lock();
            if !idle.is_empty() {
                idle.remove(0);
            }
        }
    }
}

impl Slots {
    fn new() -> Arc<Self> {
        Arc::new(Self { free: Arc::new(Semaphore::new(MAX_PER_PEER)), idle: Mutex::default() })
    }
}

impl Idle {
    /// One that was opened with another certificate than the `current` one takes no further request: its peer will not trust that
    /// certificate much longer.
    fn is_usable(&self, current: Option<&Arc<Credentials>>) -> bool {
        let connection = &self.connection;
        self.since.elapsed() < IDLE
            && !connection.sender.is_closed()
            && !connection.retired.is_cancelled()
            && current.is_some_and(|current| Arc::ptr_eq(current, &connection.shown))
    }
}

impl Slot<'_> {
    /// The connection that was used last, if it leads to the node that is wanted and was opened with the `current` certificate.
    pub(super) fn take(
        &self,
        wanted: Option<&Identity>,
        current: Option<&Arc<Credentials>>,
    ) -> Option<Connection> {
        let mut idle = self.slots.idle.lock();
        while let Some(found) = idle.pop() {
            let wanted = wanted.is_none_or(|wanted| found.connection.peer.may_be(wanted));
            if wanted && found.is_usable(current) && found.connection.sender.is_ready() {
                return Some(found.connection);
            }
        }
        None
    }

    /// Permission to open a connection, for the caller to open it with.
    pub(super) async fn permit(&self) -> Result<Permit, Closed> {
        Ok(Permit(self.pool.permit().await?))
    }

    /// Keeps a connection for the next request.
    pub(super) fn give_back(self, connection: Connection) {
        // A request to another peer waits for a connection to close: this one.
        let is_usable = !connection.sender.is_closed() && !connection.retired.is_cancelled();
        if self.pool.waiting.load(Ordering::Relaxed) > 0 || !is_usable {
            return;
        }
        self.slots.idle.lock().push(Idle { connection, since: Instant::now() });
    }
}

/// Permission to open one connection.
#[derive(Debug)]
pub(super) struct Permit(OwnedSemaphorePermit);

impl Permit {
    pub(super) fn used_for(
        self,
        sender: Sender,
        peer: Peer,
        shown: Arc<Credentials>,
        retired: CancellationToken,
    ) -> Connection {
        Connection { sender, peer, shown, retired, _permit: self.0 }
    }
}

/// Counts a request that waits, as long as it does.
struct Waiting<'p>(&'p AtomicUsize);

impl<'p> Waiting<'p> {
    fn new(count: &'p AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn authority(port: u16) -> Authority {
        ("h".to_owned(), port)
    }

    #[tokio::test]
    async fn a_request_beyond_the_bound_of_a_peer_waits_for_a_slot() {
        let (pool, peer) = (Pool::new(1), authority(1));
        let mut held = Vec::new();
        for _ in 0..MAX_PER_PEER {
            held.push(pool.slot(&peer).await.unwrap());
        }
        assert!(pool.slot(&peer).now_or_never().is_none(), "it does not wait");
        assert!(pool.slot(&authority(2)).now_or_never().is_some(), "another peer has slots of its own");
        held.pop();
        assert!(pool.slot(&peer).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_connection_beyond_the_bound_of_all_peers_waits_for_another_to_close() {
        let pool = Pool::new(2);
        let mut open = vec![pool.permit().await.unwrap(), pool.permit().await.unwrap()];
        let mut waiting = Box::pin(pool.permit());
        assert!(waiting.as_mut().now_or_never().is_none(), "it does not wait");
        assert_eq!(pool.waiting.load(Ordering::Relaxed), 1);
        open.pop();
        drop(waiting.await.unwrap());
        assert_eq!(pool.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_peer_without_a_connection_is_forgotten() {
        let pool = Pool::new(1);
        let slot = pool.slot(&authority(1)).await.unwrap();
        pool.prune(None);
        assert_eq!(pool.peers.lock().len(), 1, "its slot is in use");
        drop(slot);
        pool.prune(None);
        assert!(pool.peers.lock().is_empty());
    }
}
