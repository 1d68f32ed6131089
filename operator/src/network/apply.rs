//! [IO, write] Brings the desired objects about.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::core::ApiResource;
use tessera_crds::TesseraNetwork;
use tessera_pki::{Authority, Phase};

use super::desired::Desired;
use super::inputs::Inputs;
use super::resolve::Resolved;
use crate::controller::context::Context;
use crate::issue::leaf::StoredLeaf;
use crate::kube::meta::name_of;
use crate::kube::object_id::ObjectId;
use crate::kube::planned::Planned;
use crate::kube::prune::prune;
use crate::kube::writer::{Ensured, Outcome, WriteError};
use crate::node::image_check;
use crate::report::error::chain;
use crate::watch::cache::Cached as _;
use crate::watch::kept::KeptPod;

/// When a pod that tried an image and failed (an eviction) is made again.
const MADE_AGAIN_AFTER: SignedDuration = SignedDuration::from_mins(5);

/// What came of it.
#[derive(Default)]
pub struct Applied {
    /// What was written: the object and why.
    pub written: Vec<(ObjectId, Outcome)>,
    /// What could not be.
    pub failures: Vec<WriteError>,
}

/// Applies everything. Authorities come first and alone decide whether anything follows: what is issued by an authority
/// that was not stored would be trusted by nobody after a restart.
pub async fn apply(
    desired: &Desired,
    object: &TesseraNetwork,
    network: &Resolved,
    inputs: &Inputs,
    ctx: &Context,
) -> Applied {
    let mut applied = Applied::default();
    if let Some(next) = &desired.authorities_next {
        match step(next, object, network, inputs, ctx).await {
            // What follows from it, the next reconcile does.
            Ok(()) => return applied,
            // A rollover that cannot go on stops no repair and no renewal.
            Err(error) => applied.failures.push(error),
        }
    }
    if let Some(authorities) = &desired.authorities {
        match ctx.writer.create_new(authorities).await {
            Ok(()) => applied.written.push((authorities.id.clone(), Outcome::Created)),
            Err(error) => {
                applied.failures.push(error);
                return applied;
            }
        }
    }
    for planned in &desired.objects {
        let result = match inputs.secrets.get(&planned.id) {
            Some(StoredLeaf::Read(secret)) => ctx.writer.ensure(planned, Some(secret)).await,
            _ => ctx.writer.ensure(planned, ctx.caches.seen(&planned.id).as_deref()).await,
        };
        match result {
            Ok(ensured) => applied.note(planned, ensured, network, ctx),
            Err(error) => applied.failures.push(error),
        }
    }
    // Of an authority that has ended there are no leaves, and what lies there may be used until the next one signs.
    if desired.authorities.is_none() && desired.authorities_next.is_none() {
        applied
            .failures
            .extend(prune(&network.owner, &desired.names(network), &ctx.caches, &ctx.writer).await);
        try_images(desired, network, inputs.now, ctx).await;
    }
    applied
}

/// Stores the next step of a rollover.
async fn step(
    planned: &Planned,
    object: &TesseraNetwork,
    network: &Resolved,
    inputs: &Inputs,
    ctx: &Context,
) -> Result<(), WriteError> {
    let (Some(read), Some(next)) = (&inputs.authorities_read, &network.authorities_next) else {
        return Ok(());
    };
    let replaced = ctx.writer.replace_as_read(planned, read).await;
    // Whether it was replaced nobody knows now: it is read again.
    let metadata = replaced.inspect_err(|_| ctx.authorities.forget(object))?;
    ctx.authorities.replaced(object, Arc::clone(next), metadata);
    let phase = |authority: &Authority| authority.phase().map_or("Stable", Phase::as_str);
    let (of_network, of_admin) = (phase(&next.network), phase(&next.admin));
    tracing::info!(network = network.name, of_network, of_admin, "CA state changed");
    ctx.queues.networks.touch(&network.name);
    for node in &inputs.nodes {
        ctx.queues.nodes.touch(&name_of(&**node).to_owned());
    }
    Ok(())
}

/// Makes the pods that try images, and removes those that nobody waits for or that failed a while ago. What cannot be made
/// stands in the status of the nodes that wait: the network is as ready as before.
async fn try_images(desired: &Desired, network: &Resolved, now: Timestamp, ctx: &Context) {
    let seen = ctx.caches.pods.indexed(&network.owner.reference.uid);
    let is_wanted = |pod: &KeptPod| desired.image_checks.iter().any(|planned| planned.id.name == pod.name());
    let mut failures = Vec::new();
    for pod in seen.iter().filter(|pod| !is_wanted(pod) || has_failed(pod, now)) {
        let id = ObjectId::of::<Pod>(&network.owner.namespace, pod.name());
        if image_check::network_of(pod).is_some() && pod.metadata.deletion_timestamp.is_none() {
            let removed = ctx.writer.remove(&ApiResource::erase::<Pod>(&()), &id, &pod.metadata).await;
            failures.extend(removed.err());
        }
    }
    for planned in &desired.image_checks {
        if seen.iter().any(|pod| pod.name() == planned.id.name) {
            continue;
        }
        match ctx.writer.create_new(planned).await {
            Ok(()) => tracing::info!(object = %planned, "an image is tried before nodes that serve get it"),
            // Ours, and the watch has not shown it yet; or somebody else's.
            Err(WriteError::Conflict { .. }) => failures.extend(ctx.writer.name_conflict(planned).await),
            Err(error) => failures.push(error),
        }
    }
    let refused = failures.first().map(|failure| chain(failure));
    if ctx.rollouts.image_checks_made(&ctx.namespace, &network.name, refused.clone()) {
        if let Some(error) = refused {
            tracing::warn!(network = network.name, error, "an image cannot be tried");
        }
        ctx.rollouts.wake_waiting(&ctx.namespace, &network.name, &ctx.queues.nodes);
    }
}

/// Failed, which the kubelet leaves as it is, and not just now.
fn has_failed(pod: &KeptPod, now: Timestamp) -> bool {
    let made = pod.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
    image_check::phase(pod) == Some("Failed") && now.duration_since(made) > MADE_AGAIN_AFTER
}

impl Applied {
    fn note(&mut self, planned: &Planned, ensured: Ensured, network: &Resolved, ctx: &Context) {
        let leaf = network.client_leaves.iter().find(|leaf| leaf.secret == planned.id);
        if let Some(leaf) = leaf {
            let uid = ensured.metadata.uid.as_deref().unwrap_or_default();
            ctx.leaves.put(uid, leaf.known_in(&ensured.metadata));
        }
        if ensured.outcome != Outcome::Unchanged {
            tracing::info!(object = %planned, outcome = ?ensured.outcome, "written");
            self.written.push((planned.id.clone(), ensured.outcome));
        }
    }
}
