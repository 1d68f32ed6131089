//! What every reconcile of one namespace has at hand.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tessera_crds::{TesseraNetworkStatus, TesseraNodeStatus};
use tessera_log_shipping::Reports;

use super::queue::Queue;
use crate::backup::memory::Backups;
use crate::issue::authorities::Authorities;
use crate::issue::leaf::KnownLeaf;
use crate::kube::events::Events;
use crate::kube::open_reports::OpenReports;
use crate::kube::writer::Writer;
use crate::memory::backoff::Backoff;
use crate::memory::per_object::{PerObject, Registry};
use crate::memory::status_memo::StatusMemo;
use crate::node::observe::known_volume::KnownVolume;
use crate::node::rollout::Rollouts;
use crate::probe::answers::NodeAnswers;
use crate::probe::cluster_reports::ClusterReports;
use crate::probe::event_reports::EventReports;
use crate::probe::store_reports::StoreReports;
use crate::probe::strangers::StrangerReports;
use crate::process::metrics::Metrics;
use crate::settings::ClusterSettings;
use crate::watch::caches::Caches;
use crate::watch::client_namespaces::ClientNamespaces;

/// Reads, writes and remembers. Pure stages receive none of it.
pub struct Context {
    /// The namespace.
    pub namespace: String,
    /// For reads that no cache answers.
    pub client: Client,
    /// For what probes read.
    pub probes: Client,
    /// For writes.
    pub writer: Arc<Writer>,
    /// For what a person wants to know.
    pub events: Events,
    /// For dashboards of policy reports.
    pub open_reports: Arc<OpenReports>,
    /// What the watches of this namespace last saw.
    pub caches: Caches,
    /// Where else its nodes' clients may have their certificates, shared by all namespaces.
    pub client_namespaces: ClientNamespaces,
    /// What is to be worked on.
    pub queues: Queues,
    /// Releases the memory of deleted objects.
    pub registry: Arc<Registry>,
    /// The CA states.
    pub authorities: Arc<Authorities>,
    /// Leaves by the UID of their Secret.
    pub leaves: Arc<PerObject<KnownLeaf>>,
    /// Volumes by the UID of their claim.
    pub volumes: Arc<PerObject<KnownVolume>>,
    /// Waits of objects that failed.
    pub backoff: Arc<Backoff>,
    /// Counts reconciles.
    pub metrics: Arc<Metrics>,
    /// Statuses of nodes that the watch has not shown yet.
    pub node_statuses: Arc<StatusMemo<TesseraNodeStatus>>,
    /// Statuses of networks that the watch has not shown yet.
    pub network_statuses: Arc<StatusMemo<TesseraNetworkStatus>>,
    /// What the pods' own answers were.
    pub answers: Arc<NodeAnswers>,
    /// What Events say of pods that do not come up.
    pub event_reports: Arc<EventReports>,
    /// Backups of keys.
    pub backups: Arc<Backups>,
    /// What came of the operator's connects to nodes that must not let it in.
    pub strangers: Arc<StrangerReports>,
    /// What the probes of secret stores found.
    pub stores: Arc<StoreReports>,
    /// What was read of the cluster around the networks.
    pub cluster: Arc<ClusterReports>,
    /// What comes of shipping the operator's own log; `None`: it is not shipped.
    pub own_log: Option<Reports>,
    /// Which nodes may change their pods now.
    pub rollouts: Arc<Rollouts>,
    /// Facts about the cluster.
    pub settings: ClusterSettings,
}

/// What is to be worked on in one namespace, by name.
pub struct Queues {
    /// Networks to reconcile.
    pub networks: Arc<Queue<String>>,
    /// Nodes to reconcile.
    pub nodes: Arc<Queue<String>>,
    /// Pods to ask how they are.
    pub pods: Arc<Queue<String>>,
    /// Pods to try to connect to, as a stranger.
    pub strangers: Arc<Queue<String>>,
    /// Networks whose secret store is to be probed.
    pub stores: Arc<Queue<String>>,
    /// Networks for whose checklist the cluster is to be read.
    pub cluster: Arc<Queue<String>>,
    /// Networks whose machines are to be tried.
    pub machines: Arc<Queue<String>>,
    /// Nodes whose backups are to be worked on.
    pub backups: Arc<Queue<String>>,
    /// Nodes whose pod does not come up, whose Events are to be read.
    pub events: Arc<Queue<String>>,
}

impl Default for Queues {
    fn default() -> Self {
        let queue = |pause| Arc::new(Queue::new(Duration::from_millis(pause)));
        // A network counts all its nodes in each reconcile, so it waits for more of a burst.
        let (networks, nodes) = (queue(1000), queue(200));
        Self {
            networks,
            nodes,
            pods: queue(1000),
            strangers: queue(1000),
            stores: queue(1000),
            cluster: queue(1000),
            machines: queue(1000),
            backups: queue(500),
            events: queue(1000),
        }
    }
}
