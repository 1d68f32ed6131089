//! Tells all peers who we are, every few seconds: a node learns keys from the holder's own announcement only.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use tessera_enclave::codec::versions::ApiVersions;
use tokio::time::Instant;

use super::client::{Call, CallError};
use super::{NodeUrl, Peers, versions_header};

impl Peers {
    /// Announces ourselves now, at each interval, and when woken.
    pub async fn discover(self: Arc<Self>) -> Result<(), Infallible> {
        loop {
            let round = Instant::now();
            self.announce_to_all().await;
            tokio::select! {
                () = tokio::time::sleep_until(round + self.interval) => {}
                () = self.wake.notified() => {}
            }
        }
    }

    async fn announce_to_all(&self) {
        let (targets, announcement) = {
            let directory = self.directory();
            (directory.targets(), directory.announcement())
        };
        let call = Call {
            path: "partyinfo",
            versions: versions_header(&ApiVersions::ours()),
            body: Bytes::from(announcement.encode()),
        };
        let deadline = self.call_deadline();
        join_all(targets.iter().map(|peer| self.announce_to(peer, &call, deadline))).await;
        self.forget_unpolled(&targets);
    }

    async fn announce_to(&self, peer: &NodeUrl, call: &Call, deadline: Instant) {
        match self.client.call(peer, call, deadline).await {
            Ok(answer) if answer.status.is_success() => {
                if self.note(peer, true) {
                    tracing::info!(%peer, "peer reached");
                }
            }
            Ok(answer) => {
                // It lives, and does not want to hear of us: its keys are as good as ever.
                if self.remember(peer, false) {
                    tracing::warn!(%peer, status = %answer.status, "peer refuses our announcement");
                }
            }
            Err(error) => self.unreachable(peer, &error),
        }
    }

    fn unreachable(&self, peer: &NodeUrl, error: &CallError) {
        if self.note(peer, false) {
            tracing::warn!(%peer, error = crate::telemetry::chain(error), "peer not reached");
        }
    }

    /// The status tells of peers that are polled, not of those that once were. That one was not reached stays known, so
    /// that gossip about it is not news each time.
    fn forget_unpolled(&self, targets: &[NodeUrl]) {
        let mut reached = self.reached.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let crowded = reached.len() > super::directory::MAX_NODES;
        reached.retain(|url, up| targets.contains(url) || (!*up && !crowded));
    }
}
