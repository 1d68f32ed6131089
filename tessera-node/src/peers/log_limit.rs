//! A peer decides how many requests it makes, not how many lines it writes into our log.

use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use parking_lot::Mutex;
use tessera_node_api::identity::Identity;
use tokio::time::Instant;

/// Between two lines that one peer causes.
const PAUSE: Duration = Duration::from_secs(10);
/// Peers that are remembered.
const PEERS: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

/// When each peer last caused a line.
#[derive(Debug)]
pub(super) struct LogLimits(Mutex<LruCache<Identity, Instant>>);

impl Default for LogLimits {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(PEERS)))
    }
}

impl LogLimits {
    pub(super) fn allow(&self, peer: &Identity) -> bool {
        self.allow_at(peer, Instant::now())
    }

    fn allow_at(&self, peer: &Identity, now: Instant) -> bool {
        let mut last = self.0.lock();
        if last.get(peer).is_some_and(|last| now.duration_since(*last) < PAUSE) {
            return false;
        }
        last.put(peer.clone(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_causes_one_line_in_each_pause() {
        let limits = LogLimits::default();
        let [a, b] = ["a", "b"].map(|name| Identity::node("org.test", name).unwrap());
        let now = Instant::now();
        assert!(limits.allow_at(&a, now) && limits.allow_at(&b, now));
        assert!(!limits.allow_at(&a, now) && !limits.allow_at(&b, now));
        assert!(limits.allow_at(&a, now + PAUSE));
    }
}
