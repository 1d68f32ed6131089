//! What was read of the cluster around the networks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use kube::core::ApiResource;
use tessera_crds::TesseraNetwork;
use tessera_crds::api::secret_store::VaultStore;
use tokio::sync::Mutex;

use super::ssh::SshTrials;
use crate::checklist::cluster::{ClusterFacts, Reading, Unread};
use crate::checklist::machines::Machine;
use crate::checklist::nodes_proxy::Holder;
use crate::checklist::store_paths::{ServiceName, StoreNamespace, StorePod};
use crate::kube::meta::uid_of;
use crate::memory::per_object::{PerObject, Registry};

/// The longest wait after a failure.
const AFTER_FAILURE: Duration = Duration::from_mins(1);
/// What nobody read for so long is read for no network any longer: more than two of the longest periods.
pub(super) const KEPT: Duration = Duration::from_hours(13);

/// What was read, by the UID of the network that it was read for.
pub struct ClusterReports {
    pub(super) reports: Arc<PerObject<Report>>,
    pub(super) shared: Mutex<Shared>,
    pub(super) managed: BTreeSet<String>,
    pub(super) ssh: SshTrials,
}

/// What was read for one network.
#[derive(Clone, Default)]
pub(super) struct Report {
    /// The store that it was read for.
    pub(super) store: Option<VaultStore>,
    pub(super) own: OwnReadings,
    pub(super) facts: Arc<ClusterFacts>,
}

/// What no other network needs.
#[derive(Clone, Default)]
pub(super) struct OwnReadings {
    pub(super) exec: Kept<crate::checklist::cluster::ExecProbe>,
    pub(super) pod_security: Kept<Option<String>>,
    pub(super) addresses: Kept<Vec<std::net::IpAddr>>,
}

/// What all networks share, so that it is read once.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) holders: Kept<Vec<Holder>>,
    pub(super) routes: Kept<Vec<ApiResource>>,
    pub(super) namespaces: BTreeMap<String, Kept<Arc<StoreNamespace>>>,
    pub(super) store_pods: BTreeMap<ServiceName, Kept<Vec<StorePod>>>,
    pub(super) machines: BTreeMap<String, Kept<Machine>>,
}

/// A reading, and when it was tried last.
#[derive(Clone)]
pub(super) struct Kept<T> {
    pub(super) reading: Reading<T>,
    tried: Option<Instant>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { reading: Reading::default(), tried: None }
    }
}

impl<T> Kept<T> {
    /// Reads anew if `every` is over since the last attempt, or a minute since one that failed.
    pub(super) async fn refresh(
        &mut self,
        every: Duration,
        read: impl Future<Output = Result<T, Unread>>,
    ) -> &Reading<T> {
        let wait = if self.reading.failure.is_some() { every.min(AFTER_FAILURE) } else { every };
        if self.tried.is_none_or(|tried| tried.elapsed() >= wait) {
            match read.await {
                Ok(found) => self.reading = Reading { last: Some((found, Timestamp::now())), failure: None },
                Err(why) => self.reading.failure = Some(why),
            }
            self.tried = Some(Instant::now());
        }
        &self.reading
    }

    fn is_used(&self) -> bool {
        self.tried.is_some_and(|tried| tried.elapsed() < KEPT)
    }
}

impl Shared {
    /// Drops what no network has asked for since long.
    pub(super) fn forget_unused(&mut self) {
        self.namespaces.retain(|_, kept| kept.is_used());
        self.store_pods.retain(|_, kept| kept.is_used());
        self.machines.retain(|_, kept| kept.is_used());
    }
}

impl ClusterReports {
    /// Nothing was read yet. Nodes run in the namespaces `managed`.
    pub fn new(registry: &Registry, managed: impl IntoIterator<Item = String>) -> Self {
        Self {
            reports: registry.per_object(),
            shared: Mutex::default(),
            managed: managed.into_iter().collect(),
            ssh: SshTrials::default(),
        }
    }

    /// What was read for `network` and the store that its spec says now.
    pub fn of(&self, network: &TesseraNetwork) -> Arc<ClusterFacts> {
        let is_current = |report: &Report| report.store == network.spec.secret_store.vault;
        let report = self.reports.get(uid_of(network)).filter(is_current);
        report.map_or_else(|| Arc::new(unread(network)), |report| report.facts)
    }
}

/// The facts of a network for which nothing was read yet.
pub(super) fn unread(network: &TesseraNetwork) -> ClusterFacts {
    let every = network.spec.checklist.probe_every.as_std();
    let probe_every = SignedDuration::try_from(every).unwrap_or(SignedDuration::MAX);
    ClusterFacts { probe_every, ..ClusterFacts::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_fails_keeps_the_last_reading_and_is_tried_again_sooner() {
        let mut kept = Kept::default();
        let long = Duration::from_hours(1);
        kept.refresh(long, async { Ok(1) }).await;
        kept.refresh(long, async { panic!("it is not due") }).await;
        kept.refresh(Duration::ZERO, async { Err(Unread::Failed("no".into())) }).await;
        assert_eq!(kept.reading.last.as_ref().map(|last| last.0), Some(1));
        assert!(kept.reading.failure.is_some());
        kept.tried = Instant::now().checked_sub(AFTER_FAILURE);
        kept.refresh(long, async { Ok(2) }).await;
        assert_eq!(kept.reading.last.as_ref().map(|last| last.0), Some(2));
        assert_eq!(kept.reading.failure, None);
    }
}
