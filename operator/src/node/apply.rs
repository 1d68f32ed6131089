//! [IO, write] Brings the desired objects about.

use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use kube::api::{DynamicObject, ObjectMeta};
use tessera_crds::{TesseraNetwork, TesseraNode, names};
use tessera_node_api::image_report::FIRST_FORMAT;

use super::desired::Desired;
use super::image_check;
use super::inputs::Inputs;
use super::remake;
use super::resolve::Resolved;
use super::resolve::storage::{Storage, Volume};
use super::status;
use super::upgrade::{self, record::UPGRADE};
use crate::controller::context::Context;
use crate::issue::leaf::{self, StoredLeaf};
use crate::kube::drift::Drift;
use crate::kube::meta::name_of;
use crate::kube::object_id::ObjectId;
use crate::kube::planned::Planned;
use crate::kube::prune::{prune, prune_elsewhere};
use crate::kube::quantity;
use crate::kube::write_error::name_conflicts;
use crate::kube::writer::{Ensured, Outcome, WriteError};
use crate::node::rollout::{self, ROLLED, TEMPLATE_HASH};

/// What came of it.
#[derive(Default)]
pub struct Applied {
    /// The StatefulSet as it is now.
    pub stateful_set: Option<DynamicObject>,
    /// What was written: the object and why.
    pub written: Vec<(ObjectId, Outcome)>,
    /// What could not be.
    pub failures: Vec<WriteError>,
    /// Why the volume cannot be as large as the spec says. The node goes on with the volume that it has.
    pub cannot_grow: Option<WriteError>,
    /// Why a change of the pod template waits.
    pub waiting: Option<String>,
    /// The claim that was there before the workload, which was made just now.
    pub kept_volume: Option<String>,
}

/// Applies everything; what fails keeps nothing else back but a new workload, which needs it all.
pub async fn apply(
    object: &TesseraNode,
    desired: &Desired,
    node: &Resolved,
    inputs: &Inputs,
    ctx: &Context,
) -> Applied {
    let admission = admission(desired, object, node, inputs, ctx);
    let mut applied =
        Applied { waiting: admission.waiting(), failures: inputs.unread.clone(), ..Applied::default() };
    // A process that is restarted meanwhile must find the configuration that its template was made for.
    let waits = |planned: &&Planned| {
        let is_static = planned.id.name == names::node::static_config(&node.name);
        !(applied.waiting.is_some() && is_static && planned.id.is_a::<ConfigMap>())
    };
    let supports: Vec<_> = desired.supports.iter().filter(waits).collect();
    for planned in supports {
        let result = match inputs.secrets.get(&planned.id) {
            Some(StoredLeaf::Read(secret)) => ctx.writer.ensure(planned, Some(secret)).await,
            _ => ctx.writer.ensure(planned, ctx.caches.seen(&planned.id).as_deref()).await,
        };
        if let Ok(ensured) = &result {
            remember_leaf(node, &planned.id, &ensured.metadata, ctx);
        }
        applied.note(planned, result);
    }
    let named = desired.names(node);
    applied.failures.extend(prune(&node.owner, &named, &ctx.caches, &ctx.writer).await);
    applied.failures.extend(prune_elsewhere(&node.owner, &named, &ctx.client_namespaces, &ctx.writer).await);
    apply_workload(object, desired, node, &admission, inputs, ctx, &mut applied).await;
    grow_volume(node, ctx, &mut applied).await;
    applied
}

fn remember_leaf(node: &Resolved, written: &ObjectId, metadata: &ObjectMeta, ctx: &Context) {
    if let Some(leaf) = node.leaves().find(|leaf| leaf.secret == *written) {
        ctx.leaves.put(metadata.uid.as_deref().unwrap_or_default(), leaf.known_in(metadata));
    }
}

/// A claim template cannot be changed, so a larger size goes to the claim itself. Only a bound claim can grow.
async fn grow_volume(node: &Resolved, ctx: &Context, applied: &mut Applied) {
    let Some(Volume { size, .. }) = node.storage.volume() else { return };
    let name = names::node::volume_claim(&node.name, 0);
    let Some(claim) = ctx.caches.claims.get(&name) else { return };
    let claim = claim.read();
    if !can_grow(&claim, size) {
        return;
    }
    match ctx.writer.grow_claim(&claim, size).await {
        Ok(()) => {
            tracing::info!(claim = name, size, "the volume is to grow");
            let id = ObjectId::of::<PersistentVolumeClaim>(&node.owner.namespace, &name);
            applied.written.push((id, Outcome::Replaced(Drift::Outdated)));
        }
        Err(error @ WriteError::Invalid { .. }) => applied.cannot_grow = Some(error),
        Err(error) => applied.failures.push(error),
    }
}

fn can_grow(claim: &PersistentVolumeClaim, size: &str) -> bool {
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let current = resources.and_then(|resources| resources.requests.as_ref()?.get("storage"));
    let smaller = current.is_some_and(|current| quantity::is_less(&current.0, size));
    is_bound(claim) && smaller
}

fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
    phase == Some("Bound") && claim.metadata.deletion_timestamp.is_none()
}

/// Whether a workload may be written.
enum Admission {
    /// It is new, its template stays, or its node does not serve.
    Free,
    /// Its node serves, and its turn has come.
    InTurn,
    /// Its node serves, and keeps its template for this reason.
    Waits(String),
}

impl Admission {
    fn waiting(&self) -> Option<String> {
        match self {
            Self::Waits(why) => Some(why.clone()),
            Self::Free | Self::InTurn => None,
        }
    }
}

fn admission(
    desired: &Desired,
    object: &TesseraNode,
    node: &Resolved,
    inputs: &Inputs,
    ctx: &Context,
) -> Admission {
    if node.upgrade.is_held() {
        return Admission::Waits(status::why_image_is_held(&node.upgrade).unwrap_or_default());
    }
    let Some(live) = &inputs.stateful_set else { return Admission::Free };
    let planned = &desired.workload.body["metadata"]["annotations"][TEMPLATE_HASH];
    let template = live.metadata.annotations.as_ref().and_then(|all| all.get(TEMPLATE_HASH));
    let stays = template.map(String::as_str) == planned.as_str();
    let uid = live.metadata.uid.as_deref().unwrap_or_default();
    if stays || node.replicas == 0 || !rollout::serves(uid, &ctx.caches) {
        return Admission::Free;
    }
    let may_run =
        || inputs.network.found().map_or(Ok(()), |network| may_run(object, node, network, inputs, ctx));
    let ready = node.store_ready.clone().and_then(|()| may_run());
    if ready.is_err() {
        ctx.rollouts.waits(object);
    }
    let admitted = ready.and_then(|()| ctx.rollouts.admit(object, &node.rollout, &ctx.caches, inputs.now));
    match admitted {
        Ok(()) => Admission::InTurn,
        Err(why) => Admission::Waits(why),
    }
}

/// Whether the image of `node` was run, and it is the node's turn to get it.
fn may_run(
    object: &TesseraNode,
    node: &Resolved,
    network: &TesseraNetwork,
    inputs: &Inputs,
    ctx: &Context,
) -> Result<(), String> {
    image_check::was_run(&node.image, network, ctx)?;
    if inputs.upgrade.current.as_ref() == Some(&node.image) {
        return Ok(());
    }
    let observe = leaf::signed(node.rollout.observe.as_std());
    upgrade::facts::turn(object, &node.image, network, observe, ctx, inputs.now)
}

/// What the workload carries of its images.
fn note_images(planned: &mut Planned, node: &Resolved, inputs: &Inputs, ctx: &Context) {
    let changes = inputs.upgrade.current.as_ref() != Some(&node.image);
    let network = inputs.network.found().filter(|_| changes);
    let format = network.and_then(|network| match node.storage {
        Storage::Embedded(_) => upgrade::facts::format_of(&node.image, network, ctx, inputs.now),
        // Java's tables are the same for every image.
        Storage::Postgres(_) => Some(FIRST_FORMAT),
    });
    let trigger = node.restart_trigger;
    let record = upgrade::record::next(&node.upgrade, &inputs.upgrade, trigger, format, inputs.now);
    if let Some(record) = record {
        planned.note(UPGRADE, &record.to_json());
    }
}

async fn apply_workload(
    object: &TesseraNode,
    desired: &Desired,
    node: &Resolved,
    admission: &Admission,
    inputs: &Inputs,
    ctx: &Context,
    applied: &mut Applied,
) {
    let live = inputs.stateful_set.as_ref();
    let mut planned = desired.workload.clone();
    note_images(&mut planned, node, inputs, ctx);
    match admission {
        Admission::Waits(_) => {
            applied.stateful_set = live.cloned();
            return;
        }
        Admission::InTurn => {
            let hash = planned.body["metadata"]["annotations"][TEMPLATE_HASH].clone();
            planned.note(ROLLED, hash.as_str().unwrap_or_default());
        }
        // A new one waits for all that its pod needs. One that exists has it, and must not stay as somebody left it.
        Admission::Free if live.is_none() && applied.failed_in(&node.owner.namespace) => {
            // A person who makes room for the others must learn of this one, too.
            if name_conflicts(&applied.failures).is_some() {
                applied.failures.extend(ctx.writer.name_conflict(&planned).await);
            }
            return;
        }
        Admission::Free => {}
    }
    match remake::remove_unbound(node, &planned, live, ctx).await {
        Ok(false) => {}
        // The watch shows when both are gone.
        Ok(true) => return,
        Err(error) => return applied.failures.push(error),
    }
    let claim = names::node::volume_claim(name_of(object), 0);
    let claimed = ctx.caches.claims.get(&claim).is_some_and(|claim| is_bound(&claim.read()));
    let result = ctx.writer.ensure(&planned, live).await;
    if matches!(admission, Admission::InTurn) {
        let generation = result.as_ref().ok().and_then(|ensured| ensured.metadata.generation);
        ctx.rollouts.settled(object, generation);
    }
    if matches!(&result, Ok(ensured) if ensured.outcome == Outcome::Unchanged)
        && let Some(seen) = ctx.caches.stateful_set(name_of(object))
    {
        seen.forget_content();
    }
    if claimed && matches!(&result, Ok(ensured) if ensured.outcome == Outcome::Created) {
        applied.kept_volume = Some(claim);
    }
    applied.stateful_set = applied.note(&planned, result).or_else(|| live.cloned());
}

impl Applied {
    /// Nothing is written: the node is paused.
    pub fn of_existing(inputs: &Inputs) -> Self {
        Self { stateful_set: inputs.stateful_set.clone(), ..Self::default() }
    }

    /// Whether `object` was written just now.
    pub fn wrote(&self, object: &ObjectId) -> bool {
        self.written.iter().any(|(written, _)| written == object)
    }

    /// Whether something that a pod in `namespace` may need is missing.
    fn failed_in(&self, namespace: &str) -> bool {
        self.failures.iter().any(|failure| failure.object().namespace == namespace)
    }

    fn note(&mut self, planned: &Planned, result: Result<Ensured, WriteError>) -> Option<DynamicObject> {
        match result {
            Ok(ensured) => {
                if ensured.outcome != Outcome::Unchanged {
                    tracing::info!(object = %planned, outcome = ?ensured.outcome, "written");
                    self.written.push((planned.id.clone(), ensured.outcome));
                }
                ensured.answer
            }
            Err(error) => {
                self.failures.push(error);
                None
            }
        }
    }
}
