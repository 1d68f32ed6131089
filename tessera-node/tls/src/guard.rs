//! How long a connection may live.

use std::time::Duration;

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::refusal::Refusal;
use crate::trust::{Peer, Presented, Trust, is_expiry};

/// The wall clock is asked at least this often: a timer counts monotonic time, which a suspended or stepped clock leaves
/// behind.
const RECHECK: Duration = Duration::from_secs(2);

/// Watches one open connection. Drive [`Self::closed`] beside the connection and close it when that returns.
#[derive(Debug)]
pub struct ConnectionGuard {
    trust: Trust,
    chain: Vec<CertificateDer<'static>>,
    presented: Presented,
    not_after: Timestamp,
}

/// Why a connection must close.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The peer's certificate has ended.
    #[error("the peer's certificate has expired")]
    Expired,
    /// The peer would be refused now.
    #[error("the peer is trusted no more: {0}")]
    TrustLost(Refusal),
}

impl ConnectionGuard {
    pub(crate) fn new(
        trust: Trust,
        chain: Vec<CertificateDer<'static>>,
        presented: Presented,
        peer: &Peer,
    ) -> Self {
        Self { trust, chain, presented, not_after: peer.not_after }
    }

    /// When the peer's certificate ends.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Returns when the connection must close: at the end of the peer's certificate, or at once when a change of roots or
    /// lists makes the peer one that would be refused.
    pub async fn closed(mut self) -> CloseReason {
        loop {
            if let Err(reason) = self.judge() {
                return reason;
            }
            let recheck = tokio::time::sleep(self.until_recheck());
            tokio::select! {
                () = self.trust.changed() => {}
                () = recheck => {}
            }
        }
    }

    fn judge(&self) -> Result<(), CloseReason> {
        match self.trust.judge(&self.chain, &self.presented, UnixTime::now()) {
            Ok(_) if Timestamp::now() > self.not_after => Err(CloseReason::Expired),
            Ok(_) => Ok(()),
            Err(refusal) if is_expiry(&refusal) => Err(CloseReason::Expired),
            Err(refusal) => Err(CloseReason::TrustLost(refusal)),
        }
    }

    fn until_recheck(&self) -> Duration {
        // A certificate is still valid in its last second.
        let left = self
            .not_after
            .duration_since(Timestamp::now())
            .saturating_add(jiff::SignedDuration::from_millis(1_001));
        Duration::try_from(left).unwrap_or(Duration::ZERO).clamp(Duration::from_millis(10), RECHECK)
    }
}
