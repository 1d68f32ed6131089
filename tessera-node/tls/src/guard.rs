//! How long a connection may live.

use std::time::Duration;

use jiff::Timestamp;
use rustls_pki_types::UnixTime;

use crate::certificate::not_after;
use crate::refusal::{ChainProblem, Refusal};
use crate::trust::Accepted;

/// The wall clock is read at least this often: a timer counts monotonic time, which a suspended or stepped clock leaves
/// behind.
const RECHECK: Duration = Duration::from_secs(2);

/// Watches one open connection. Drive [`Self::closed`] beside the connection and close it when that returns.
#[derive(Debug)]
pub struct ConnectionGuard {
    accepted: Accepted,
    /// When the first certificate of the chain ends; the peer's own, unless its CA ends before it.
    chain_end: Timestamp,
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
    pub(crate) fn new(accepted: Accepted) -> Self {
        let chain_end = earliest_end(&accepted, Timestamp::MIN);
        Self { accepted, chain_end }
    }

    /// When the peer's certificate ends.
    pub fn not_after(&self) -> Timestamp {
        self.accepted.peer.not_after
    }

    /// Returns when the connection must close: at the end of the peer's certificate, or at once when a change of roots or
    /// lists makes the peer one that would be refused. As long as nothing changes only times are compared.
    pub async fn closed(mut self) -> CloseReason {
        loop {
            let recheck = tokio::time::sleep(self.until_recheck());
            let changed = tokio::select! {
                () = self.accepted.trust.changed() => true,
                () = recheck => false,
            };
            if let Err(reason) = self.check(changed) {
                return reason;
            }
        }
    }

    fn check(&mut self, changed: bool) -> Result<(), CloseReason> {
        // Chains are judged by whole seconds, and a certificate is good in its last one: judged within it, a chain that ends would
        // pass, and its end would count no more.
        let now = whole_second(Timestamp::now());
        if now > self.not_after() {
            return Err(CloseReason::Expired);
        }
        if changed || now > self.chain_end {
            let Accepted { trust, chain, presented, .. } = &self.accepted;
            trust.judge(chain, presented, UnixTime::now()).map_err(|refusal| match refusal {
                Refusal::Chain(ChainProblem::Expired) => CloseReason::Expired,
                other => CloseReason::TrustLost(other),
            })?;
            // Another path is still good: the next end counts.
            self.chain_end = earliest_end(&self.accepted, now);
        }
        Ok(())
    }

    fn until_recheck(&self) -> Duration {
        // A certificate is still valid in its last second.
        let left = self
            .not_after()
            .duration_since(Timestamp::now())
            .saturating_add(jiff::SignedDuration::from_millis(1_001));
        Duration::try_from(left).unwrap_or(Duration::ZERO).clamp(Duration::from_millis(10), RECHECK)
    }
}

fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// The first end of a certificate of the chain that is not before `after`.
fn earliest_end(accepted: &Accepted, after: Timestamp) -> Timestamp {
    let ends = accepted.chain.iter().filter_map(|certificate| not_after(certificate).ok());
    ends.filter(|end| *end >= after).min().unwrap_or(accepted.peer.not_after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_has_not_ended_in_its_last_second() {
        let end = Timestamp::from_second(1_000).unwrap();
        let at = |millisecond| whole_second(Timestamp::from_millisecond(millisecond).unwrap());
        assert!(at(1_000_000) <= end && at(1_000_999) <= end, "a chain judged then would pass");
        assert!(at(1_001_000) > end);
    }
}
