//! What a user does: many nodes in one network, and deleted objects that must come back.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::ResourceExt as _;
use serde_json::{Value, json};
use tessera_e2e::cluster::{Cluster, Kind, condition};

use crate::bounds::Peers;
use crate::{Args, TICK, checklist, say};

/// Requests under way at once.
const PARALLEL: usize = 16;
/// How long anything may take before the run is given up; longer than every bound.
const PATIENCE: Duration = Duration::from_mins(10);
/// Budgets that are deleted in each round, and how many rounds.
const BUDGETS: usize = 32;
const ROUNDS: usize = 5;

pub(crate) struct Load {
    cluster: Cluster,
    namespace: String,
    nodes: usize,
    silent: usize,
}

/// The `index`th node's name.
fn name(index: usize) -> String {
    format!("n{index:04}")
}

/// Which index a node's name has.
pub(crate) fn index_of(node: &str) -> Option<usize> {
    node.strip_prefix('n')?.parse().ok()
}

impl Load {
    pub(crate) fn new(cluster: Cluster, args: &Args) -> Self {
        let Args { nodes, silent, namespace, .. } = args;
        Self { cluster, namespace: namespace.clone(), nodes: *nodes, silent: *silent }
    }

    /// Creates all nodes; gives the moment of the first.
    pub(crate) async fn create_nodes(&self) -> Result<Instant> {
        let began = Instant::now();
        stream::iter(0..self.nodes)
            .map(|index| self.create_node(index))
            .buffer_unordered(PARALLEL)
            .try_for_each(|()| async { Ok(()) })
            .await?;
        say(began, &format!("{} TesseraNodes created", self.nodes));
        Ok(began)
    }

    async fn create_node(&self, index: usize) -> Result<()> {
        let node = json!({
            "metadata": {"name": name(index)},
            "spec": {
                "networkRef": {"name": "net"},
                "storage": {"type": "Embedded", "embedded": {"size": "1Gi"}},
                "keys": [{"name": "main", "default": true, "type": "Vault"}],
                "clients": [{"name": "ledger", "from": [{"podSelector": {"matchLabels": {"app": "ledger"}}}]}],
            },
        });
        self.cluster.create(Kind::TesseraNode, &self.namespace, &node).await.map(drop)
    }

    /// How long it took until every node had a status of its newest generation.
    pub(crate) async fn every_node_has_a_status(&self, began: Instant) -> Result<Duration> {
        self.until(began, "have a status", |node| {
            node["status"]["observedGeneration"] == node["metadata"]["generation"]
                && condition(node, "Ready").is_some()
        })
        .await
    }

    /// How long it took until every node that answers was Ready, and no silent one was.
    pub(crate) async fn every_node_is_settled(&self, began: Instant) -> Result<Duration> {
        let silent = self.silent;
        self.until(began, "are settled", |node| {
            let index = node["metadata"]["name"].as_str().and_then(index_of).unwrap_or_default();
            let ready = condition(node, "Ready").is_some_and(|(status, ..)| status == "True");
            ready != is_silent(index, silent)
        })
        .await
    }

    /// Waits until the checklist of every node that answers says what [`crate::checklist`] leads to, and that of no silent one.
    pub(crate) async fn every_node_is_judged(&self, began: Instant) -> Result<()> {
        let silent = self.silent;
        let judged = self.until(began, "are judged by all lines", |node| {
            let index = node["metadata"]["name"].as_str().and_then(index_of).unwrap_or_default();
            checklist::holds(node) != is_silent(index, silent)
        });
        judged.await.map(drop)
    }

    async fn until(&self, began: Instant, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Duration> {
        let mut reported = 0;
        loop {
            let nodes = self.cluster.list(Kind::TesseraNode, &self.namespace, "").await?;
            let count = nodes.iter().filter(|node| holds(node)).count();
            if count == self.nodes {
                say(began, &format!("all {count} nodes {what}"));
                return Ok(began.elapsed());
            }
            if count >= reported + self.nodes.div_ceil(10) {
                say(began, &format!("{count} nodes {what}"));
                reported = count;
            }
            if began.elapsed() > PATIENCE {
                let other = nodes.iter().find(|node| !holds(node)).map(|node| node["status"].to_string());
                bail!(
                    "{count} of {} nodes {what}; another one's status: {}",
                    self.nodes,
                    other.unwrap_or_default()
                );
            }
            tokio::time::sleep(TICK.max(began.elapsed() / 50)).await;
        }
    }

    /// Deletes budgets round after round; gives the longest time until all were back.
    pub(crate) async fn repair_budgets(&self) -> Result<Duration> {
        let mut slowest = Duration::ZERO;
        for _ in 0..ROUNDS {
            slowest = slowest.max(self.repair_round().await?);
        }
        Ok(slowest)
    }

    async fn repair_round(&self) -> Result<Duration> {
        let api = self.cluster.api(Kind::PodDisruptionBudget, &self.namespace);
        let before = api.list(&kube::api::ListParams::default()).await?.items.len();
        ensure!(before > 0, "there is no PodDisruptionBudget to delete");
        let victims = api.list(&kube::api::ListParams::default().limit(u32::try_from(BUDGETS)?)).await?;
        let began = Instant::now();
        for victim in &victims {
            self.cluster.delete(Kind::PodDisruptionBudget, &self.namespace, &victim.name_any()).await?;
        }
        let deleted = Instant::now();
        loop {
            // Metadata only: the measurement must not be what slows the API server down.
            if api.list_metadata(&kube::api::ListParams::default()).await?.items.len() == before {
                return Ok(deleted.elapsed());
            }
            ensure!(
                began.elapsed() < PATIENCE,
                "deleted budgets are not back after {} s",
                PATIENCE.as_secs()
            );
            tokio::time::sleep(TICK / 4).await;
        }
    }

    /// The ConfigMaps of peers, and what they hold.
    pub(crate) async fn peers(&self) -> Result<Peers> {
        let all = self.cluster.list(Kind::ConfigMap, &self.namespace, "").await?;
        let peers: Vec<_> = all
            .iter()
            .filter(|map| map["metadata"]["name"].as_str().is_some_and(|name| name.ends_with("-peers")))
            .collect();
        let bytes = peers.iter().map(|map| map["data"].to_string().len()).sum();
        ensure!(!peers.is_empty(), "no ConfigMap of peers");
        Ok(Peers { objects: peers.len(), bytes })
    }
}

/// Whether the `index`th node's pod is one of those that never answer.
pub(crate) fn is_silent(index: usize, in_ten: usize) -> bool {
    index % 10 < in_ten
}

/// The node that a pod of ours belongs to.
pub(crate) fn node_of(pod: &Value) -> Result<String> {
    pod["metadata"]["labels"]["tessera.rs/node"].as_str().map(str::to_owned).context("a pod of a node")
}
