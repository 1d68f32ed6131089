//! [IO, write] Removes what an owner owns and no longer names: the leaf and the policy of a client or scraper that was
//! taken from the spec, the default deny of a namespace that is shared now, the load balancer of a node that is exposed no more.
//! Other kinds have one name permanently.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Api;
use kube::api::{DeleteParams, ObjectMeta, Preconditions};
use kube::core::ApiResource;

use crate::kube::meta::Owner;
use crate::kube::object_id::ObjectId;
use crate::kube::writer::{WriteError, Writer};
use crate::watch::caches::Caches;
use crate::watch::client_namespaces::ClientNamespaces;

/// Removes all Secrets, policies and Services of `owner` that are not `named`; returns what could not be removed.
pub async fn prune(
    owner: &Owner,
    named: &BTreeSet<ObjectId>,
    caches: &Caches,
    writer: &Writer,
) -> Vec<WriteError> {
    let uid = &owner.reference.uid;
    let secrets = caches.secrets.indexed(uid);
    let secrets = secrets.iter().map(|secret| (ApiResource::erase::<Secret>(&()), &secret.0));
    let policies = caches.network_policies_of(uid);
    let policies = policies.iter().map(|policy| (ApiResource::erase::<NetworkPolicy>(&()), &policy.metadata));
    let services = caches.services_of(uid);
    let services = services.iter().map(|service| (ApiResource::erase::<Service>(&()), &service.metadata));
    let mut failures = Vec::new();
    for (resource, metadata) in secrets.chain(policies).chain(services) {
        let id = id(&owner.namespace, &resource, metadata);
        if metadata.deletion_timestamp.is_none() && !named.contains(&id) {
            failures.extend(writer.remove(&resource, &id, metadata).await.err());
        }
    }
    failures
}

/// Removes all Secrets of the node `owner` in other namespaces that are not `named`; returns what could not be removed.
pub async fn prune_elsewhere(
    owner: &Owner,
    named: &BTreeSet<ObjectId>,
    namespaces: &ClientNamespaces,
    writer: &Writer,
) -> Vec<WriteError> {
    let resource = ApiResource::erase::<Secret>(&());
    let mut failures = Vec::new();
    for (namespace, secrets) in namespaces.all() {
        for secret in secrets.indexed(&owner.node_path()) {
            let id = id(namespace, &resource, &secret.0);
            if secret.0.deletion_timestamp.is_none() && !named.contains(&id) {
                failures.extend(writer.remove(&resource, &id, &secret.0).await.err());
            }
        }
    }
    failures
}

/// Removes an object without an owner, if it is as it was listed; whether it did.
pub async fn remove_as_listed(secrets: &Api<Secret>, listed: &ObjectMeta) -> kube::Result<bool> {
    let fence = Preconditions { uid: listed.uid.clone(), resource_version: listed.resource_version.clone() };
    let params = DeleteParams { preconditions: Some(fence), ..DeleteParams::default() };
    match secrets.delete(listed.name.as_deref().unwrap_or_default(), &params).await {
        Ok(_) => Ok(true),
        // Changed or gone since it was listed: the next list says more.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
        Err(error) => Err(error),
    }
}

fn id(namespace: &str, resource: &ApiResource, metadata: &ObjectMeta) -> ObjectId {
    ObjectId {
        kind: resource.kind.clone(),
        namespace: namespace.to_owned(),
        name: metadata.name.clone().unwrap_or_default(),
    }
}
