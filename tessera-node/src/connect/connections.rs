//! The ledger's connections, bounded: at the bound the one that is idle for longest gives way, and one in use never does.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// All connections of the sidecar. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    slots: Arc<Semaphore>,
    idle: Mutex<Idle>,
    became_idle: Notify,
}

#[derive(Debug, Default)]
struct Idle {
    next: u64,
    /// The longest idle first.
    since: BTreeMap<u64, CancellationToken>,
}

/// One connection; it counts until it is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    shared: Arc<Shared>,
    superseded: CancellationToken,
    /// Its place among the idle; none while it is in use.
    place: Mutex<Option<u64>>,
    _slot: OwnedSemaphorePermit,
}

/// A request in progress.
#[derive(Debug)]
pub(super) struct InUse(Arc<Connection>);

impl Connections {
    pub(super) fn new(most: usize) -> Self {
        let slots = Arc::new(Semaphore::new(most));
        Self(Arc::new(Shared { slots, idle: Mutex::default(), became_idle: Notify::new() }))
    }

    /// A slot for one more. At the bound another connection closes for it, at once or as soon as one is idle.
    pub(super) async fn admit(&self) -> Connection {
        let slots = &self.0.slots;
        loop {
            if let Ok(slot) = Arc::clone(slots).try_acquire_owned() {
                return Connection::new(Arc::clone(&self.0), slot);
            }
            self.0.idle.lock().supersede_one();
            tokio::select! {
                Ok(slot) = Arc::clone(slots).acquire_owned() => {
                    return Connection::new(Arc::clone(&self.0), slot);
                }
                () = self.0.became_idle.notified() => {}
            }
        }
    }
}

impl Connection {
    fn new(shared: Arc<Shared>, slot: OwnedSemaphorePermit) -> Self {
        let superseded = CancellationToken::new();
        let place = shared.idle.lock().insert(superseded.clone());
        Self { shared, superseded, place: Mutex::new(Some(place)), _slot: slot }
    }

    /// A request begins.
    pub(super) fn begin(self: &Arc<Self>) -> InUse {
        self.leave();
        InUse(Arc::clone(self))
    }

    /// Whether a request is in progress.
    pub(super) fn is_in_use(&self) -> bool {
        self.place.lock().is_none()
    }

    /// Returns when this one has to give way.
    pub(super) async fn superseded(&self) {
        self.superseded.cancelled().await;
    }

    fn leave(&self) {
        if let Some(place) = self.place.lock().take() {
            self.shared.idle.lock().since.remove(&place);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let connection = &self.0;
        let place = connection.shared.idle.lock().insert(connection.superseded.clone());
        *connection.place.lock() = Some(place);
        connection.shared.became_idle.notify_one();
    }
}

impl Idle {
    fn insert(&mut self, superseded: CancellationToken) -> u64 {
        let place = self.next;
        self.next += 1;
        self.since.insert(place, superseded);
        place
    }

    fn supersede_one(&mut self) {
        if let Some((_, superseded)) = self.since.pop_first() {
            superseded.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn gives_way(connection: &Connection) -> bool {
        connection.superseded.is_cancelled()
    }

    #[tokio::test]
    async fn the_longest_idle_gives_way_and_one_in_use_never() {
        let connections = Connections::new(3);
        let [busy, second, third] = [(); 3].map(|()| Arc::new(connections.admit().now_or_never().unwrap()));
        let in_use = busy.begin();
        let mut waiting = Box::pin(connections.admit());
        assert!(waiting.as_mut().now_or_never().is_none(), "there is no slot yet");
        assert_eq!([&busy, &second, &third].map(|one| gives_way(one)), [false, true, false]);
        drop(second);
        let fourth = waiting.await;

        // All others are in use: the next waits for one to become idle.
        let fourth = Arc::new(fourth);
        let uses = [third.begin(), fourth.begin()];
        let mut waiting = Box::pin(connections.admit());
        assert!(waiting.as_mut().now_or_never().is_none());
        assert_eq!([&busy, &third, &fourth].map(|one| gives_way(one)), [false; 3]);
        drop(in_use);
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(gives_way(&busy));
        drop(busy);
        drop(waiting.await);
        drop((uses, third, fourth));
        assert!(connections.0.idle.lock().since.is_empty());
    }
}
