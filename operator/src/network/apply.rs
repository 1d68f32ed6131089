//! [IO, write] Brings the desired objects about.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::core::ApiResource;

use super::desired::Desired;
use super::inputs::Inputs;
use super::resolve::Resolved;
use crate::context::Context;
use crate::kube::planned::Planned;
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
        prune(desired, network, ctx, &mut applied).await;
    }
    applied
}

/// Removes the leaf and the policy of a scraper that was taken from the spec, and the default deny of a namespace that is
/// shared now.
async fn prune(desired: &Desired, network: &Resolved, ctx: &Context, applied: &mut Applied) {
    let namespace = &network.owner.namespace;
    let is_planned = |planned: &Planned, kind: &str, name: Option<&String>| {
        planned.resource.kind == kind && Some(&planned.name) == name
    };
    for secret in ctx.caches.secrets_of(&network.uid) {
        let name = secret.metadata.name.as_ref();
        if !desired.objects.iter().any(|planned| is_planned(planned, "Secret", name)) {
            let resource = ApiResource::erase::<Secret>(&());
            applied.failures.extend(ctx.writer.remove(&resource, namespace, &secret.metadata).await.err());
        }
    }
    for policy in ctx.caches.network_policies_of(&network.uid) {
        let name = policy.metadata.name.as_ref();
        if !desired.objects.iter().any(|planned| is_planned(planned, "NetworkPolicy", name)) {
            let resource = ApiResource::erase::<NetworkPolicy>(&());
            applied.failures.extend(ctx.writer.remove(&resource, namespace, &policy.metadata).await.err());
        }
    }
}
