//! Handshakes in progress, bounded without closing the port: a caller without a certificate can begin as many as it
//! likes, so the oldest handshake of the address that has most gives way to a new one.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// All handshakes of a listener. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Handshakes(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    total: usize,
    /// The oldest first.
    by_origin: HashMap<IpAddr, VecDeque<(u64, CancellationToken)>>,
}

/// One handshake; it ends on drop.
#[derive(Debug)]
pub(super) struct Handshake {
    shared: Arc<Shared>,
    origin: IpAddr,
    number: u64,
    superseded: CancellationToken,
}

impl Handshakes {
    pub(super) fn new(most: usize) -> Self {
        Self(Arc::new(Shared { most, state: Mutex::default() }))
    }

    /// Begins one. At the bound another gives way.
    pub(super) fn begin(&self, address: IpAddr) -> Handshake {
        let origin = origin(address);
        let superseded = CancellationToken::new();
        let mut state = self.0.state();
        if state.total >= self.0.most {
            state.supersede_one();
        }
        let number = state.next;
        state.next += 1;
        state.total += 1;
        state.by_origin.entry(origin).or_default().push_back((number, superseded.clone()));
        drop(state);
        Handshake { shared: Arc::clone(&self.0), origin, number, superseded }
    }
}

impl Handshake {
    /// Returns when this one has to give way.
    pub(super) async fn superseded(&self) {
        self.superseded.cancelled().await;
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.shared.state().remove(self.origin, self.number);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Consistent after each of its steps: a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn supersede_one(&mut self) {
        let crowded = self.by_origin.iter().max_by_key(|(_, handshakes)| handshakes.len());
        let Some((origin, number, token)) =
            crowded.and_then(|(origin, list)| list.front().map(|(n, token)| (*origin, *n, token.clone())))
        else {
            return;
        };
        self.remove(origin, number);
        token.cancel();
    }

    fn remove(&mut self, origin: IpAddr, number: u64) {
        let Some(list) = self.by_origin.get_mut(&origin) else { return };
        let Some(place) = list.iter().position(|(known, _)| *known == number) else { return };
        list.remove(place);
        self.total -= 1;
        if list.is_empty() {
            self.by_origin.remove(&origin);
        }
    }
}

/// A holder of one IPv6 address has all 2^64 of its network.
fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let mut octets = address.octets();
            octets[8..].fill(0);
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn gives_way(handshake: &Handshake) -> bool {
        handshake.superseded().now_or_never().is_some()
    }

    #[test]
    fn the_oldest_of_the_busiest_address_gives_way() {
        let (flooder, other): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let handshakes = Handshakes::new(4);
        let genuine = handshakes.begin(other);
        let flood: Vec<_> = (0..100).map(|_| handshakes.begin(flooder)).collect();
        assert!(!gives_way(&genuine));
        assert_eq!(flood.iter().filter(|handshake| !gives_way(handshake)).count(), 3);
        assert!(!gives_way(flood.last().unwrap()), "the newest stays");
        drop(flood);
        drop(genuine);
        let state = handshakes.0.state();
        assert_eq!((state.total, state.by_origin.len()), (0, 0));
    }

    #[test]
    fn one_ipv6_network_is_one_origin() {
        let of = |text: &str| origin(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
