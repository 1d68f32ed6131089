//! [IO, read] How the node is: its pods as the kubelet reports them, its volume, and what the node says of itself.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ContainerStatus, PersistentVolume, PersistentVolumeClaim, Pod};
use kube::Api;
use tessera_crds::names;
use tessera_node_api::admin;
use tessera_pki::CaState;

use super::apply::Applied;
use super::resolve::Resolved;
use crate::controller::context::Context;
use crate::kube::meta::name_of;

/// What was seen.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// The workload, if it exists.
    pub workload: Option<Workload>,
    /// Its pods.
    pub pods: Vec<ObservedPod>,
    /// Its volume.
    pub volume: ObservedVolume,
}

/// The StatefulSet's own account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Workload {
    /// Pods that exist.
    pub replicas: i32,
    /// Pods that are ready.
    pub ready_replicas: i32,
    /// Whether the newest template runs everywhere.
    pub up_to_date: bool,
}

/// One pod.
#[derive(Debug, Clone)]
pub struct ObservedPod {
    /// Its name.
    pub name: String,
    /// The image that runs, by digest.
    pub image_id: Option<String>,
    /// Whether the kubelet finds it ready.
    pub ready: bool,
    /// Why the image cannot be pulled, as the kubelet says.
    pub pull_failure: Option<String>,
    /// Why it is not running, as the kubelet or the scheduler say.
    pub waiting: Option<String>,
    /// What the node says; or why it says nothing.
    pub status: Result<admin::Status, String>,
}

/// The volume of payloads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ObservedVolume {
    /// Not claimed or bound yet.
    #[default]
    Pending,
    /// It cannot be seen now.
    Unknown(String),
    /// It was there and is no more.
    Lost(String),
    /// It is bound; its reclaim policy.
    Bound {
        /// `Retain` or something that loses data.
        reclaim_policy: String,
    },
}

/// Looks at everything.
pub async fn observe(
    node: &Resolved,
    applied: &Applied,
    authorities: &CaState,
    ctx: &Context,
    now: Timestamp,
) -> Observed {
    let mut pods = Vec::new();
    let uid = applied.stateful_set.as_ref().and_then(|set| set.metadata.uid.as_deref());
    for pod in uid.map(|uid| ctx.caches.pods_of(uid)).unwrap_or_default() {
        pods.push(observe_pod(&pod, node, authorities, ctx, now).await);
    }
    Observed { workload: workload(applied), pods, volume: volume(node, ctx).await }
}

fn workload(applied: &Applied) -> Option<Workload> {
    let object = applied.stateful_set.clone()?;
    let set: StatefulSet = object.try_parse().ok()?;
    let status = set.status.unwrap_or_default();
    let seen = status.observed_generation >= set.metadata.generation;
    Some(Workload {
        replicas: status.replicas,
        ready_replicas: status.ready_replicas.unwrap_or(0),
        up_to_date: seen && status.current_revision == status.update_revision,
    })
}

async fn observe_pod(
    pod: &Arc<Pod>,
    node: &Resolved,
    authorities: &CaState,
    ctx: &Context,
    now: Timestamp,
) -> ObservedPod {
    let status = pod.status.clone().unwrap_or_default();
    let container = status.container_statuses.as_deref().and_then(<[_]>::first);
    let ready = status
        .conditions
        .iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    ObservedPod {
        name: name_of(&**pod).to_owned(),
        image_id: container.map(|container| container.image_id.clone()).filter(|image| !image.is_empty()),
        ready,
        pull_failure: container.and_then(pull_failure),
        waiting: container.and_then(waiting).or_else(|| unschedulable(pod)),
        status: ask(pod, node, authorities, ctx, now).await,
    }
}

fn pull_failure(container: &ContainerStatus) -> Option<String> {
    const REASONS: [&str; 5] =
        ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"];
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().filter(|reason| REASONS.contains(reason))?;
    Some(waiting.message.clone().unwrap_or_else(|| reason.to_owned()))
}

fn waiting(container: &ContainerStatus) -> Option<String> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().unwrap_or("waiting");
    Some(match &waiting.message {
        Some(message) => format!("{reason}: {message}"),
        None => reason.to_owned(),
    })
}

fn unschedulable(pod: &Pod) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let scheduled = conditions.iter().find(|condition| condition.type_ == "PodScheduled")?;
    (scheduled.status == "False")
        .then(|| format!("not scheduled: {}", scheduled.message.as_deref().unwrap_or("")))
}

async fn ask(
    pod: &Pod,
    node: &Resolved,
    authorities: &CaState,
    ctx: &Context,
    now: Timestamp,
) -> Result<admin::Status, String> {
    let status = pod.status.as_ref();
    if status.and_then(|status| status.phase.as_deref()) != Some("Running") {
        return Err("the pod is not running".to_owned());
    }
    let address = status.and_then(|status| status.pod_ip.as_deref()?.parse::<IpAddr>().ok());
    let address = address.ok_or("the pod has no address")?;
    let client = ctx.admin.get(&node.network_uid, &node.trust_domain, authorities, now);
    let client = client.map_err(|error| error.to_string())?;
    let host = names::node::service_host(&names::node::p2p_service(&node.name), &node.owner.namespace);
    client.status(address, &host, &node.identity).await.map_err(|error| error.to_string())
}

async fn volume(node: &Resolved, ctx: &Context) -> ObservedVolume {
    let name = names::node::volume_claim(&node.name, 0);
    let Some(claim) = ctx.caches.claim(&node.owner.namespace, &name) else { return ObservedVolume::Pending };
    match judge_claim(&claim) {
        Ok(Some(volume)) => read_volume(&name, &volume, ctx).await,
        Ok(None) => ObservedVolume::Pending,
        Err(lost) => ObservedVolume::Lost(lost),
    }
}

/// The volume's name, if the claim is bound.
fn judge_claim(claim: &PersistentVolumeClaim) -> Result<Option<String>, String> {
    let name = name_of(claim);
    if claim.metadata.deletion_timestamp.is_some() {
        return Err(format!("volume claim {name} is being deleted"));
    }
    match claim.status.as_ref().and_then(|status| status.phase.as_deref()) {
        Some("Lost") => Err(format!("the volume behind claim {name} is gone")),
        Some("Bound") => Ok(claim.spec.as_ref().and_then(|spec| spec.volume_name.clone())),
        _ => Ok(None),
    }
}

async fn read_volume(claim: &str, volume: &str, ctx: &Context) -> ObservedVolume {
    match Api::<PersistentVolume>::all(ctx.client.clone()).get_opt(volume).await {
        Ok(Some(found)) => {
            let policy = found.spec.and_then(|spec| spec.persistent_volume_reclaim_policy);
            ObservedVolume::Bound { reclaim_policy: policy.unwrap_or_else(|| "Retain".to_owned()) }
        }
        Ok(None) => ObservedVolume::Lost(format!("volume {volume} of claim {claim} is gone")),
        Err(error) => ObservedVolume::Unknown(format!("volume {volume} cannot be read: {error}")),
    }
}
