//! [IO, read] How the node is: its pods as the kubelet reports them, its volume, and what the node last said of itself.

pub mod known_volume;
pub mod start;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::Api;
use tessera_crds::api::node::VolumeStatus;
use tessera_crds::{TesseraAttestation, TesseraNode, names};
use tessera_node_api::admin;

use self::known_volume::KnownVolume;
use self::start::Problem;
use super::apply::Applied;
use super::load_balancer::{self, LiveLoadBalancer};
use super::resolve::Resolved;
use crate::backup::memory::{self, ObservedBackup};
use crate::checklist::stranger::StrangerRound;
use crate::controller::context::Context;
use crate::kube::meta::{name_of, uid_of};
use crate::probe::{self, events};
use crate::report::error::chain;
use crate::watch::cache::Cached;
use crate::watch::kept::{KeptClaim, KeptPod};
use crate::watch::policies;

/// How old an answer of a node may be and still say how the node is: three periods of the probe.
pub const ANSWER_COUNTS: SignedDuration = SignedDuration::from_secs(90);
/// How long what was read of a volume counts, unless its claim changes.
const VOLUME_COUNTS: Duration = Duration::from_mins(30);

/// What was seen.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// The workload, if it exists.
    pub workload: Option<Workload>,
    /// Its pods.
    pub pods: Vec<ObservedPod>,
    /// Its volume.
    pub volume: ObservedVolume,
    /// The sizes of its bound claims.
    pub volumes: Vec<VolumeStatus>,
    /// Its load balancer, if it has one.
    pub load_balancer: Option<LiveLoadBalancer>,
    /// What people state about its network.
    pub attestations: Vec<Arc<TesseraAttestation>>,
    /// NetworkPolicies of others that select its pods and allow something.
    pub foreign_policies: Vec<String>,
    /// Whether nothing but nodes and the system runs on the machines of its pods; `None`: nobody knows.
    pub dedicated_machines: Option<bool>,
    /// What is known of the backup of its keys.
    pub backup: ObservedBackup,
    /// Why there is no pod or why it does not start, as Events say.
    pub events: EventCause,
}

/// What Events tell of a pod that does not start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum EventCause {
    /// The pod's own status tells all.
    #[default]
    NotNeeded,
    /// They were not read yet.
    NotRead,
    /// What they say, if anything.
    Read(Option<Problem>),
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
    /// The image that it is made from, as the spec names it.
    pub image: Option<String>,
    /// The image that runs, by digest.
    pub image_id: Option<String>,
    /// Whether the kubelet finds it ready.
    pub ready: bool,
    /// Why it does not come up, as the kubelet or the scheduler say.
    pub problem: Option<Problem>,
    /// What the node said of itself, not longer than [`ANSWER_COUNTS`] ago; or why it says nothing.
    pub status: Result<admin::Status, Silence>,
    /// How far the node's clock was ahead of ours when it answered.
    pub clock_skew: Option<SignedDuration>,
    /// What came of the operator's last connects to it, as a stranger.
    pub stranger: Option<StrangerRound>,
}

/// Why a pod says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Silence {
    /// It does not run.
    NotRunning,
    /// It was not asked yet by this process.
    NotAsked,
    /// It was asked and did not answer; why.
    NoAnswer(String),
}

impl std::fmt::Display for Silence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotRunning => write!(f, "the pod is not running"),
            Self::NotAsked => write!(f, "the node was not asked yet"),
            Self::NoAnswer(why) => f.write_str(why),
        }
    }
}

/// The volume of payloads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ObservedVolume {
    /// Not claimed or bound yet.
    #[default]
    Pending,
    /// There is none: payloads are in a database.
    InDatabase,
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

impl Observed {
    /// Whether a pod runs that this process has not asked yet: its status cannot be known before.
    pub fn awaits_first_answer(&self) -> bool {
        self.pods.iter().any(|pod| pod.status == Err(Silence::NotAsked))
    }
}

impl Observed {
    /// Whether the newest template runs, and the kubelet finds a pod of it ready.
    pub fn serves_newest(&self) -> bool {
        let up_to_date = self.workload.as_ref().is_some_and(|workload| workload.up_to_date);
        up_to_date && self.pods.iter().any(|pod| pod.ready)
    }
}

/// Observes everything. Nothing here waits for a node.
pub async fn observe(
    object: &TesseraNode,
    node: &Resolved,
    applied: &Applied,
    ctx: &Context,
    now: Timestamp,
) -> Observed {
    let uid = applied.stateful_set.as_ref().and_then(|set| set.metadata.uid.as_deref());
    let pods = uid.map(|uid| ctx.caches.pods.indexed(uid)).unwrap_or_default();
    Observed {
        workload: workload(applied),
        pods: pods.iter().map(|pod| observe_pod(pod, ctx, now)).collect(),
        volume: volume(node, ctx).await,
        volumes: capacity(node, ctx).into_iter().collect(),
        load_balancer: load_balancer::of_node(object, ctx),
        attestations: ctx.caches.attestations_of(&node.network),
        foreign_policies: policies::opening(&ctx.caches.policies, &pods),
        dedicated_machines: dedicated_machines(node, &pods, ctx, now),
        backup: memory::observe(object, ctx),
        events: event_cause(object, ctx),
    }
}

/// As the network's last look at the cluster shows them.
fn dedicated_machines(node: &Resolved, pods: &[Arc<KeptPod>], ctx: &Context, now: Timestamp) -> Option<bool> {
    let network = ctx.caches.networks.get(&node.network)?;
    let facts = ctx.cluster.of(network.readable()?);
    let machines: Option<Vec<_>> = pods.iter().map(|pod| pod.machine()).collect();
    facts.are_dedicated(machines?, now)
}

fn event_cause(object: &TesseraNode, ctx: &Context) -> EventCause {
    let Some(subject) = events::subject(object, ctx) else { return EventCause::NotNeeded };
    ctx.event_reports.of(uid_of(object), &subject).map_or(EventCause::NotRead, EventCause::Read)
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

fn observe_pod(kept: &KeptPod, ctx: &Context, now: Timestamp) -> ObservedPod {
    let status = kept.status.as_ref();
    let containers = status.and_then(|status| status.container_statuses.as_deref());
    let container = containers.and_then(<[_]>::first);
    ObservedPod {
        name: kept.name().to_owned(),
        image: kept.image().map(str::to_owned),
        image_id: container.map(|container| container.image_id.clone()).filter(|image| !image.is_empty()),
        ready: kept.is_ready(),
        problem: start::problem(status),
        status: last_answer(kept, ctx, now),
        clock_skew: ctx.answers.of(kept.uid()).and_then(|answers| answers.clock_skew()),
        stranger: probe::nodes::address(kept).and_then(|address| ctx.strangers.of(kept.uid(), address)),
    }
}

fn last_answer(pod: &KeptPod, ctx: &Context, now: Timestamp) -> Result<admin::Status, Silence> {
    if probe::nodes::address(pod).is_none() {
        return Err(Silence::NotRunning);
    }
    let answers = ctx.answers.of(pod.uid()).ok_or(Silence::NotAsked)?;
    let why = answers.failure.unwrap_or_else(|| "the node's last answer is too old".to_owned());
    let last = answers.last.filter(|(_, at)| now.duration_since(*at) <= ANSWER_COUNTS);
    last.map(|(status, _)| status).ok_or(Silence::NoAnswer(why))
}

fn capacity(node: &Resolved, ctx: &Context) -> Option<VolumeStatus> {
    node.storage.volume()?;
    let claim = names::node::volume_claim(&node.name, 0);
    let kept = ctx.caches.claims.get(&claim)?;
    let kept = kept.read();
    let status = kept.status.as_ref()?;
    let capacity = status.capacity.as_ref()?.get("storage")?.0.as_str().into();
    let class = kept.spec.as_ref().and_then(|spec| spec.storage_class_name.clone());
    (status.phase.as_deref() == Some("Bound")).then_some(VolumeStatus {
        claim,
        capacity,
        storage_class_name: class,
    })
}

async fn volume(node: &Resolved, ctx: &Context) -> ObservedVolume {
    if node.storage.volume().is_none() {
        return ObservedVolume::InDatabase;
    }
    let name = names::node::volume_claim(&node.name, 0);
    let Some(claim) = ctx.caches.claims.get(&name) else { return ObservedVolume::Pending };
    match judge_claim(&claim.read()) {
        Ok(Some(volume)) => bound_volume(&claim, &volume, ctx).await,
        Ok(None) => ObservedVolume::Pending,
        Err(lost) => ObservedVolume::Lost(lost),
    }
}

/// A volume that goes makes its claim `Lost`, which the watch shows; so it is read only when the claim changed, or seldom.
async fn bound_volume(claim: &KeptClaim, volume: &str, ctx: &Context) -> ObservedVolume {
    let (uid, version) = (claim.uid(), &claim.metadata.resource_version);
    let known = ctx.volumes.get(uid);
    let known =
        known.filter(|known| known.claim_version == *version && known.read_at.elapsed() < VOLUME_COUNTS);
    if let Some(known) = known {
        return ObservedVolume::Bound { reclaim_policy: known.reclaim_policy };
    }
    let observed = read_volume(claim.name(), volume, ctx).await;
    if let ObservedVolume::Bound { reclaim_policy } = &observed {
        let known = KnownVolume {
            claim_version: version.clone(),
            reclaim_policy: reclaim_policy.clone(),
            read_at: Instant::now(),
        };
        ctx.volumes.put(uid, known);
    }
    observed
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
        Err(error) => ObservedVolume::Unknown(format!("volume {volume} cannot be read: {}", chain(&error))),
    }
}
