//! [IO, write] Brings the desired objects about.

use std::sync::Arc;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::DynamicObject;

use tessera_crds::names;

use super::desired::Desired;
use super::inputs::Inputs;
use super::resolve::Resolved;
use crate::controller::context::Context;
use crate::kube::drift::{self, Drift};
use crate::kube::planned::Planned;
use crate::kube::prune::prune;
use crate::kube::quantity;
use crate::kube::writer::{Outcome, WriteError, as_value};

/// What came of it.
#[derive(Default)]
pub struct Applied {
    /// The StatefulSet as it is now.
    pub stateful_set: Option<DynamicObject>,
    /// What was written: the object and why.
    pub written: Vec<(String, Outcome)>,
    /// What could not be.
    pub failures: Vec<WriteError>,
    /// Why the volume cannot be as large as the spec says. The node goes on with the volume that it has.
    pub cannot_grow: Option<WriteError>,
    /// A change of pods waits until the secret store answers.
    pub held: bool,
    /// The claim that was there before the workload, which was made just now.
    pub kept_volume: Option<String>,
}

/// Applies everything; what fails keeps nothing else back but a new workload, which needs it all.
pub async fn apply(desired: &Desired, node: &Resolved, inputs: &Inputs, ctx: &Context) -> Applied {
    let mut applied = Applied::default();
    for planned in &desired.supports {
        let cached = last_seen(planned, inputs, ctx);
        let result = ctx.writer.ensure(planned, cached.as_ref()).await;
        applied.note(planned, result);
    }
    applied.failures.extend(prune(&node.owner, &desired.supports, ctx).await);
    apply_workload(desired, node, ctx, &mut applied).await;
    grow_volume(node, ctx, &mut applied).await;
    applied
}

/// A claim template cannot be changed, so a larger size goes to the claim itself. Only a bound claim can grow.
async fn grow_volume(node: &Resolved, ctx: &Context, applied: &mut Applied) {
    let name = names::node::volume_claim(&node.name, 0);
    let Some(claim) = ctx.caches.claim(&node.owner.namespace, &name) else { return };
    if !can_grow(&claim, &node.size) {
        return;
    }
    match ctx.writer.grow_claim(&claim, &node.size).await {
        Ok(()) => {
            tracing::info!(claim = name, size = node.size, "the volume is to grow");
            applied
                .written
                .push((format!("PersistentVolumeClaim {name}"), Outcome::Replaced(Drift::Outdated)));
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

/// A Secret was read a moment ago; everything else is cached.
fn last_seen(planned: &Planned, inputs: &Inputs, ctx: &Context) -> Option<DynamicObject> {
    if planned.resource.kind == "Secret" {
        return inputs.secrets.get(&planned.name).cloned();
    }
    ctx.caches.seen(planned).map(Arc::unwrap_or_clone)
}

async fn apply_workload(desired: &Desired, node: &Resolved, ctx: &Context, applied: &mut Applied) {
    let planned = &desired.workload;
    let cached = ctx.caches.seen(planned).map(Arc::unwrap_or_clone);
    // A new one waits for all that its pod needs. One that exists has it, and must not stay as somebody left it.
    if cached.is_none() && !applied.failures.is_empty() {
        return;
    }
    if let Some(cached) = &cached
        && node.hold_pods
        && drift::find(&planned.body, &as_value(cached)) == Some(Drift::Outdated)
    {
        applied.held = true;
        applied.stateful_set = Some(cached.clone());
        return;
    }
    let claim = names::node::volume_claim(&node.name, 0);
    let claimed = ctx.caches.claim(&node.owner.namespace, &claim).is_some_and(|claim| is_bound(&claim));
    let result = ctx.writer.ensure(planned, cached.as_ref()).await;
    if claimed && matches!(result, Ok((_, Outcome::Created))) {
        applied.kept_volume = Some(claim);
    }
    applied.stateful_set = applied.note(planned, result).or(cached);
}

impl Applied {
    /// Nothing is written: the node is paused.
    pub fn of_existing(inputs: &Inputs) -> Self {
        Self { stateful_set: inputs.stateful_set.as_deref().cloned(), ..Self::default() }
    }

    /// Whether the Secret called `name` in `namespace` was written just now.
    pub fn wrote_secret(&self, namespace: &str, name: &str) -> bool {
        let object = format!("Secret {namespace}/{name}");
        self.written.iter().any(|(written, _)| *written == object)
    }

    fn note(
        &mut self,
        planned: &Planned,
        result: Result<(DynamicObject, Outcome), WriteError>,
    ) -> Option<DynamicObject> {
        match result {
            Ok((object, Outcome::Unchanged)) => Some(object),
            Ok((object, outcome)) => {
                tracing::info!(object = %planned, ?outcome, "written");
                self.written.push((planned.to_string(), outcome));
                Some(object)
            }
            Err(error) => {
                self.failures.push(error);
                None
            }
        }
    }
}
