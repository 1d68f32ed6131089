//! [IO, write] Removes what an owner owns and no longer names: the leaf and the policy of a client or scraper that was
//! taken from the spec, the default deny of a namespace that is shared now. Other kinds have one name permanently.

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::ObjectMeta;
use kube::core::ApiResource;

use crate::controller::context::Context;
use crate::kube::meta::Owner;
use crate::kube::planned::Planned;
use crate::kube::writer::WriteError;

/// Removes all Secrets and policies of `owner` that are not `planned`; returns what could not be removed.
pub async fn prune(owner: &Owner, planned: &[Planned], ctx: &Context) -> Vec<WriteError> {
    let uid = &owner.reference.uid;
    let secrets = ctx.caches.secrets_of(uid);
    let secrets = secrets.iter().map(|secret| (ApiResource::erase::<Secret>(&()), &secret.metadata));
    let policies = ctx.caches.network_policies_of(uid);
    let policies = policies.iter().map(|policy| (ApiResource::erase::<NetworkPolicy>(&()), &policy.metadata));
    let mut failures = Vec::new();
    for (resource, metadata) in secrets.chain(policies) {
        if !planned.iter().any(|planned| is(planned, &resource, metadata)) {
            failures.extend(ctx.writer.remove(&resource, &owner.namespace, metadata).await.err());
        }
    }
    failures
}

fn is(planned: &Planned, resource: &ApiResource, metadata: &ObjectMeta) -> bool {
    planned.resource.kind == resource.kind && Some(&planned.name) == metadata.name.as_ref()
}
