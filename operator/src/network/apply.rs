//! [IO, write] Brings the desired objects about.

use k8s_openapi::api::core::v1::Secret;

use super::desired::Desired;
use super::inputs::Inputs;
use super::resolve::Resolved;
use crate::controller::context::Context;
use crate::issue::leaf::StoredLeaf;
use crate::kube::object_id::ObjectId;
use crate::kube::planned::Planned;
use crate::kube::prune::prune;
use crate::kube::writer::{Ensured, Outcome, WriteError};

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
pub async fn apply(desired: &Desired, network: &Resolved, inputs: &Inputs, ctx: &Context) -> Applied {
    let mut applied = Applied::default();
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
        let result = match inputs.secrets.get(&planned.id.name) {
            Some(StoredLeaf::Read(secret)) if planned.id.is_a::<Secret>() => {
                ctx.writer.ensure(planned, Some(secret)).await
            }
            _ => ctx.writer.ensure(planned, ctx.caches.seen(&planned.id).as_deref()).await,
        };
        match result {
            Ok(ensured) => applied.note(planned, ensured, network, ctx),
            Err(error) => applied.failures.push(error),
        }
    }
    if desired.authorities.is_none() {
        applied.failures.extend(prune(&network.owner, &desired.names(network), ctx).await);
    }
    applied
}

impl Applied {
    fn note(&mut self, planned: &Planned, ensured: Ensured, network: &Resolved, ctx: &Context) {
        let leaf = network.monitoring.iter().find(|leaf| leaf.secret == planned.id.name);
        if let Some(leaf) = leaf.filter(|_| planned.id.is_a::<Secret>()) {
            let uid = ensured.metadata.uid.as_deref().unwrap_or_default();
            ctx.leaves.put(uid, leaf.known_in(&ensured.metadata));
        }
        if ensured.outcome != Outcome::Unchanged {
            tracing::info!(object = %planned, outcome = ?ensured.outcome, "written");
            self.written.push((planned.id.clone(), ensured.outcome));
        }
    }
}
