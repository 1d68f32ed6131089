//! No key is fetched while the pod can still reach what policy keeps from it: a new pod is not policed for its first
//! second, and a key that was in memory then could have left.
//!
//! A forbidden connect that fails counts only beside an allowed one that succeeds at the same time: a node without any
//! network would otherwise call itself isolated.

use std::time::Duration;

use tessera_node_api::static_config::EgressGuard;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep_until, timeout};

use crate::clock;

/// A connect that takes longer is denied: a policy that drops packets answers nothing.
const CONNECT: Duration = Duration::from_secs(1);
/// Between two rounds of connects.
const PAUSE: Duration = Duration::from_millis(250);

/// What the guard found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Egress {
    /// Closed since then (RFC 3339).
    Closed {
        /// When it was first seen closed.
        since: String,
    },
    /// Not seen closed in time, for this reason.
    Open(&'static str),
}

/// Waits until the egress is closed, or until the guard's time is up.
pub async fn wait(guard: &EgressGuard) -> Egress {
    let deadline = Instant::now() + Duration::from_secs(guard.timeout_seconds.into());
    loop {
        let (forbidden, allowed) = tokio::join!(connect(&guard.forbidden), connect(&guard.allowed));
        let open = match (forbidden, allowed) {
            (Connect::Denied, Connect::Made) => return Egress::Closed { since: clock::now_rfc3339() },
            (Connect::Made, _) => "the forbidden address was reached",
            (Connect::Unresolved, _) => "the forbidden address has no IP address, so nothing was tried",
            (Connect::Denied, _) => "the allowed address was not reached, so a failed connect proves nothing",
        };
        if Instant::now() >= deadline {
            return Egress::Open(open);
        }
        sleep_until((Instant::now() + PAUSE).min(deadline)).await;
    }
}

/// How a connect ended.
enum Connect {
    Made,
    /// A refusal and a timeout both count: a policy rejects or drops.
    Denied,
    /// A name without an address is no finding about policy.
    Unresolved,
}

async fn connect(address: &str) -> Connect {
    let Ok(Ok(addresses)) = timeout(CONNECT, lookup_host(address)).await else { return Connect::Unresolved };
    let addresses: Vec<_> = addresses.collect();
    match timeout(CONNECT, TcpStream::connect(addresses.as_slice())).await {
        Ok(Ok(_)) => Connect::Made,
        Ok(Err(_)) | Err(_) => Connect::Denied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpSocket};

    async fn listening() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (listener, address)
    }

    /// Bound, so that nobody else is given its port, and not listening.
    fn refusing() -> (TcpSocket, String) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap().to_string();
        (socket, address)
    }

    fn guard(forbidden: String, allowed: String, timeout_seconds: u32) -> EgressGuard {
        EgressGuard { forbidden, allowed, timeout_seconds }
    }

    #[tokio::test]
    async fn closed_needs_both_findings() {
        let (_open, allowed) = listening().await;
        let (_bound, forbidden) = refusing();
        let found = wait(&guard(forbidden, allowed, 5)).await;
        assert!(matches!(found, Egress::Closed { .. }));
    }

    #[tokio::test]
    async fn an_open_egress_is_reported_after_the_bound() {
        let (_a, forbidden) = listening().await;
        let (_b, allowed) = listening().await;
        assert_eq!(
            wait(&guard(forbidden, allowed, 0)).await,
            Egress::Open("the forbidden address was reached")
        );
    }

    #[tokio::test]
    async fn no_network_is_no_isolation() {
        let ((_a, forbidden), (_b, allowed)) = (refusing(), refusing());
        let found = wait(&guard(forbidden, allowed, 0)).await;
        assert!(matches!(found, Egress::Open(reason) if reason.contains("proves nothing")));
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_proves_nothing() {
        let (_open, allowed) = listening().await;
        // A label of more than 63 bytes fits in no DNS query, so that no resolver can answer with a wildcard.
        let found = wait(&guard(format!("{}.test:443", "x".repeat(64)), allowed, 0)).await;
        assert!(matches!(found, Egress::Open(reason) if reason.contains("no IP address")));
    }
}
