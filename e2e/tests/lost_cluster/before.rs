//! What must be there again, and the volumes' manifests that lie in Git beside the fleet's.

use std::collections::{BTreeMap, BTreeSet};

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tessera_e2e::cluster::{Cluster, Kind};
use tessera_e2e::fleet::{Fleet, NETWORK};
use tessera_e2e::wait;

/// A key that is older than the CA by less says nothing of the CA: the clocks of node and operator may differ. Two minutes, and
/// what certificates round.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(122);

/// A payload that was acknowledged.
pub(crate) struct Payload {
    pub(crate) hash: String,
    pub(crate) content: Vec<u8>,
    /// The nodes that have it, by their place in the list of nodes.
    pub(crate) holders: Vec<usize>,
}

pub(crate) struct Before {
    pub(crate) cluster_uid: String,
    /// Of every object in the namespace.
    pub(crate) names: BTreeSet<String>,
    pub(crate) ca_bundle: Value,
    /// Each bound to its claim's name, and to nothing that only etcd knew.
    volumes: Vec<Value>,
    nodes: BTreeMap<String, Node>,
}

/// What a node must not lose.
#[derive(Debug, PartialEq)]
struct Node {
    public_key: String,
    key_born_at: Timestamp,
    payload_store: Value,
    volume: String,
}

impl Before {
    pub(crate) async fn take(fleet: &Fleet, nodes: &[&str]) -> Result<Self> {
        let mut seen = BTreeMap::new();
        for name in nodes {
            seen.insert((*name).to_owned(), node(fleet, name).await?);
        }
        Ok(Self {
            cluster_uid: cluster_uid(&fleet.cluster).await?,
            names: names(fleet).await?,
            ca_bundle: ca_bundle(fleet).await?,
            volumes: volumes(fleet, &seen).await?,
            nodes: seen,
        })
    }

    /// A cluster is seldom lost within minutes of its keys' generation, and a CA that is made now would not count as another.
    pub(crate) async fn keys_are_older_than_the_clocks_tolerance(&self) -> Result<()> {
        let youngest = self.nodes.values().map(|node| node.key_born_at).max().context("no nodes")?;
        wait::until("keys older than the clocks' tolerance", Duration::from_mins(3), || async {
            let age = Timestamp::now().duration_since(youngest);
            ensure!(age > CLOCK_TOLERANCE, "the youngest is {age:#} old");
            Ok(())
        })
        .await
    }

    pub(crate) async fn bring_volumes_back(&self, cluster: &Cluster) -> Result<()> {
        for volume in &self.volumes {
            cluster.create(Kind::PersistentVolume, "", volume).await?;
        }
        Ok(())
    }

    pub(crate) fn public_key(&self, node: &str) -> &str {
        &self.nodes[node].public_key
    }

    /// Dates of keys are not compared: they were in the lost store.
    pub(crate) async fn public_keys_and_volumes_are_the_same(&self, fleet: &Fleet) -> Result<()> {
        for (name, before) in &self.nodes {
            let now = node(fleet, name).await?;
            let same = (&now.public_key, &now.volume, &now.payload_store)
                == (&before.public_key, &before.volume, &before.payload_store);
            ensure!(same, "{name} was {before:?} and is {now:?}");
            fleet.has_one_version_of_its_key(name).await?;
        }
        Ok(())
    }

    pub(crate) async fn keys_and_volumes_are_the_same(&self, fleet: &Fleet) -> Result<()> {
        for (name, before) in &self.nodes {
            let now = node(fleet, name).await?;
            ensure!(now == *before, "{name} was {before:?} and is {now:?}");
            fleet.has_one_version_of_its_key(name).await?;
            let stamp = format!("{}/{}/tessera-node-{name}/stamp", fleet.path_prefix, fleet.namespace);
            let (_, version) = fleet.vault.secret("secret", &stamp).await?;
            ensure!(version == 1, "the stamp of {name} was written {version} times");
        }
        Ok(())
    }
}

async fn node(fleet: &Fleet, name: &str) -> Result<Node> {
    let status = fleet.node(name).await?["status"].clone();
    let payload_store = status["payloadStore"].clone();
    ensure!(payload_store["id"].is_string(), "{name} reports no payload store: {payload_store}");
    let claim = format!("data-tessera-{name}-0");
    let claim = fleet.cluster.get(Kind::PersistentVolumeClaim, &fleet.namespace, &claim).await?;
    let volume = claim["spec"]["volumeName"].as_str().context("the claim is bound")?.to_owned();
    let key_born_at = status["keys"][0]["bornAt"].as_str().context("a key has a date")?.parse()?;
    Ok(Node { public_key: fleet.public_key(name).await?, key_born_at, payload_store, volume })
}

async fn volumes(fleet: &Fleet, nodes: &BTreeMap<String, Node>) -> Result<Vec<Value>> {
    let mut manifests = Vec::new();
    for (name, node) in nodes {
        let live = fleet.cluster.get(Kind::PersistentVolume, "", &node.volume).await?;
        let mut spec = live["spec"].clone();
        ensure!(spec["persistentVolumeReclaimPolicy"] == "Retain", "{spec}");
        spec["claimRef"] = json!({"namespace": fleet.namespace, "name": format!("data-tessera-{name}-0")});
        manifests.push(json!({"metadata": {"name": node.volume}, "spec": spec}));
    }
    Ok(manifests)
}

/// `Kind name` of everything in the namespace that is not a report of what happened.
pub(crate) async fn names(fleet: &Fleet) -> Result<BTreeSet<String>> {
    let kinds = [
        Kind::TesseraNetwork,
        Kind::TesseraNode,
        Kind::ConfigMap,
        Kind::Secret,
        Kind::Service,
        Kind::ServiceAccount,
        Kind::StatefulSet,
        Kind::Pod,
        Kind::PersistentVolumeClaim,
        Kind::NetworkPolicy,
        Kind::PodDisruptionBudget,
        Kind::Role,
    ];
    let mut names = BTreeSet::new();
    for kind in kinds {
        let found = fleet.cluster.list(kind, &fleet.namespace, "").await?;
        ensure!(!found.is_empty(), "no {kind:?} in {}", fleet.namespace);
        names.extend(found.iter().map(|object| format!("{kind:?} {}", object["metadata"]["name"])));
    }
    Ok(names)
}

/// What etcd alone knows of a cluster.
pub(crate) async fn cluster_uid(cluster: &Cluster) -> Result<String> {
    let system = cluster.get(Kind::Namespace, "", "kube-system").await?;
    Ok(system["metadata"]["uid"].as_str().context("a namespace has a UID")?.to_owned())
}

pub(crate) async fn ca_bundle(fleet: &Fleet) -> Result<Value> {
    let bundle = fleet.cluster.get(Kind::ConfigMap, &fleet.namespace, &format!("{NETWORK}-ca")).await?;
    Ok(bundle["data"].clone())
}
