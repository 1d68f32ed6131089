//! [IO, write] Brings the desired objects about.

use std::sync::Arc;

use super::desired::Desired;
use super::inputs::Inputs;
use super::resolve::Resolved;
use crate::controller::context::Context;
use crate::kube::prune::prune;
use crate::kube::writer::{Outcome, WriteError};

/// What came of it.
#[derive(Default)]
pub struct Applied {
    /// What was written: the object and why.
    pub written: Vec<(String, Outcome)>,
    /// What could not be.
    pub failures: Vec<WriteError>,
}

/// Applies everything. Authorities come first and alone decide whether anything follows: what is issued by an authority
/// that was not stored would be trusted by nobody after a restart.
pub async fn apply(desired: &Desired, network: &Resolved, inputs: &Inputs, ctx: &Context) -> Applied {
    let mut applied = Applied::default();
    if let Some(authorities) = &desired.authorities {
        match ctx.writer.create_new(authorities).await {
            Ok(()) => applied.written.push((authorities.to_string(), Outcome::Created)),
            Err(error) => {
                applied.failures.push(error);
                return applied;
            }
        }
    }
    for planned in &desired.objects {
        let cached = match planned.resource.kind.as_str() {
            "Secret" => inputs.secrets.get(&planned.name).cloned(),
            _ => ctx.caches.seen(planned).map(Arc::unwrap_or_clone),
        };
        match ctx.writer.ensure(planned, cached.as_ref()).await {
            Ok((_, Outcome::Unchanged)) => {}
            Ok((_, outcome)) => {
                tracing::info!(object = %planned, ?outcome, "written");
                applied.written.push((planned.to_string(), outcome));
            }
            Err(error) => applied.failures.push(error),
        }
    }
    if desired.authorities.is_none() {
        applied.failures.extend(prune(&network.owner, &desired.objects, ctx).await);
    }
    applied
}
