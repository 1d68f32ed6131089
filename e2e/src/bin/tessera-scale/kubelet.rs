//! What a kubelet and a volume provisioner would do, as far as the operator can see it: every pod runs at an address of its
//! own, on loopback, and every claim gets a volume.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use futures::TryStreamExt as _;
use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::{Value, json};
use tessera_e2e::cluster::{Cluster, Kind};

use crate::load::{index_of, is_silent, node_of};
use crate::{Args, fake_node};

/// Pods that are started at once.
const PARALLEL: usize = 16;

/// Watches pods until the process ends.
pub(crate) fn start(cluster: &Cluster, args: &Args) {
    let kubelet = Arc::new(Kubelet {
        cluster: cluster.clone(),
        namespace: args.namespace.clone(),
        silent: args.silent,
        checklist: args.checklist,
    });
    let pods = watcher(cluster.api(Kind::Pod, &args.namespace), watcher::Config::default());
    tokio::spawn(async move {
        let pods = pods.default_backoff().applied_objects().map_err(anyhow::Error::from);
        let ended = pods
            .try_for_each_concurrent(PARALLEL, |pod| {
                let kubelet = Arc::clone(&kubelet);
                async move { kubelet.run(pod).await }
            })
            .await;
        eprintln!("error: the fake kubelet ended: {ended:?}");
    });
}

struct Kubelet {
    cluster: Cluster,
    namespace: String,
    silent: usize,
    checklist: bool,
}

impl Kubelet {
    /// Starts a pod that does not run yet.
    async fn run(&self, pod: DynamicObject) -> Result<()> {
        let pod = serde_json::to_value(pod)?;
        if pod["status"]["phase"] == "Running" || pod["metadata"]["deletionTimestamp"].is_string() {
            return Ok(());
        }
        let node = node_of(&pod)?;
        let index = index_of(&node).context("a node of this run")?;
        let address = address(index)?;
        if is_silent(index, self.silent) {
            fake_node::be_silent(address).await?;
        } else {
            fake_node::serve(&self.cluster, &self.namespace, &node, address, self.checklist).await?;
        }
        self.bind_claims(&pod).await?;
        let name = pod["metadata"]["name"].as_str().context("a pod has a name")?;
        self.report(name, &running(&pod, address)).await
    }

    async fn report(&self, pod: &str, status: &Value) -> Result<()> {
        let api = self.cluster.api(Kind::Pod, &self.namespace);
        api.patch_status(pod, &PatchParams::default(), &Patch::Merge(status)).await?;
        Ok(())
    }

    /// A volume for each claim, bound by the real controller, which finds the claim in it.
    async fn bind_claims(&self, pod: &Value) -> Result<()> {
        let volumes = pod["spec"]["volumes"].as_array().context("a pod has volumes")?;
        for claim in volumes.iter().filter_map(|volume| volume["persistentVolumeClaim"]["claimName"].as_str())
        {
            let live = self.cluster.get(Kind::PersistentVolumeClaim, &self.namespace, claim).await?;
            let volume = json!({
                "metadata": {"name": format!("pv-{claim}")},
                "spec": {
                    "capacity": live["spec"]["resources"]["requests"],
                    "accessModes": ["ReadWriteOnce"],
                    "persistentVolumeReclaimPolicy": "Retain",
                    "storageClassName": live["spec"]["storageClassName"].as_str().unwrap_or_default(),
                    "claimRef": {"namespace": self.namespace, "name": claim},
                    "hostPath": {"path": "/nowhere"},
                },
            });
            self.cluster.apply(Kind::PersistentVolume, "", &volume).await?;
        }
        Ok(())
    }
}

/// Every pod has an address of its own, so that the operator connects as it does in a cluster.
fn address(index: usize) -> Result<Ipv4Addr> {
    let (high, low) = (u8::try_from(index / 250)?, u8::try_from(index % 250)?);
    Ok(Ipv4Addr::new(127, 77, high, low + 1))
}

/// The status of a pod that runs and is ready.
fn running(pod: &Value, address: Ipv4Addr) -> Value {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let condition = |type_: &str| json!({"type": type_, "status": "True", "lastTransitionTime": now});
    let conditions = ["PodScheduled", "Initialized", "ContainersReady", "Ready"].map(condition);
    let container = &pod["spec"]["containers"][0];
    json!({"status": {
        "phase": "Running", "podIP": address.to_string(), "podIPs": [{"ip": address.to_string()}], "startTime": now,
        "conditions": conditions,
        "containerStatuses": [{
            "name": container["name"], "image": container["image"], "imageID": container["image"],
            "ready": true, "started": true, "restartCount": 0, "state": {"running": {"startedAt": now}},
        }],
    }})
}
