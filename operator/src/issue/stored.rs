//! [IO, read] What the Secrets of leaves hold.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DynamicObject, ObjectMeta};
use kube::core::ApiResource;
use tessera_crds::names;
use tessera_pki::CaState;

use super::leaf::{KnownLeaf, StoredLeaf};
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::kube::object_id::ObjectId;
use crate::kube::ownership::node_path_of;
use crate::kube::planned::controller_of;
use crate::kube::write_error::{WriteError, classify};
use crate::watch::cache::Cache;
use crate::watch::kept::KeptSecret;

/// What is known of `secrets` of this namespace that the object with this UID controls: what a stranger's Secret holds is
/// no input. Only those are read that changed since they were last checked, or that hold the roots and chains of none of
/// `authorities`.
pub async fn read(
    ctx: &Context,
    owner_uid: &str,
    secrets: Vec<ObjectId>,
    authorities: &Digests,
) -> Result<BTreeMap<ObjectId, StoredLeaf>, Error> {
    let is_ours = |metadata: &ObjectMeta| {
        controller_of(metadata.owner_references.as_deref()).is_some_and(|owner| owner.uid == owner_uid)
    };
    let mut found = BTreeMap::new();
    for secret in secrets {
        let stored = read_one(ctx, &secret, &ctx.caches.secrets, is_ours, authorities).await;
        let stored = stored
            .map_err(|source| Error::ReadSecret { name: secret.name.clone(), source: Box::new(source) })?;
        found.extend(stored.map(|stored| (secret, stored)));
    }
    Ok(found)
}

/// The digests of a network's two authorities; none before it has any.
pub type Digests = Vec<[u8; 32]>;

/// Of `state`.
pub fn digests(state: Option<&CaState>) -> Digests {
    state.iter().flat_map(|state| [state.network.digest(), state.admin.digest()]).collect()
}

/// What is known of a node's Secrets in other namespaces.
#[derive(Default)]
pub struct Elsewhere {
    /// Those that are there and the node's.
    pub found: BTreeMap<ObjectId, StoredLeaf>,
    /// Those that could not be read. A ledger's namespace that is gone must not keep the node from its own certificate.
    pub failures: Vec<WriteError>,
}

/// The same of the client Secrets of `node` in other namespaces, where the node controls nothing: an annotation says whose
/// each is.
pub async fn read_elsewhere(
    ctx: &Context,
    node: &str,
    secrets: Vec<ObjectId>,
    authorities: &Digests,
) -> Elsewhere {
    let path = names::node::path(&ctx.namespace, node);
    let is_ours = |metadata: &ObjectMeta| {
        controller_of(metadata.owner_references.as_deref()).is_none()
            && node_path_of(metadata.annotations.as_ref()) == Some(&path)
    };
    let mut all = Elsewhere::default();
    for secret in secrets {
        let Some(cache) = ctx.client_namespaces.given_to(&ctx.namespace, &secret.namespace) else {
            all.failures.push(WriteError::NamespaceNotGiven { object: secret, to: ctx.namespace.clone() });
            continue;
        };
        match read_one(ctx, &secret, cache, is_ours, authorities).await {
            Ok(stored) => all.found.extend(stored.map(|stored| (secret, stored))),
            Err(error) => all.failures.push(classify("get", secret, &error)),
        }
    }
    all
}

async fn read_one(
    ctx: &Context,
    secret: &ObjectId,
    cache: &Cache<KeptSecret>,
    is_ours: impl Fn(&ObjectMeta) -> bool,
    authorities: &Digests,
) -> kube::Result<Option<StoredLeaf>> {
    let seen = cache.get(&secret.name);
    let known = seen.and_then(|seen| known_leaf(ctx, &seen.0, &is_ours));
    if let Some(known) = known.filter(|known| authorities.iter().any(|authority| known.is_under(authority))) {
        return Ok(Some(StoredLeaf::Known(known)));
    }
    let resource = ApiResource::erase::<Secret>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(ctx.client.clone(), &secret.namespace, &resource);
    let live = api.get_opt(&secret.name).await?;
    Ok(live.filter(|live| is_ours(&live.metadata)).map(StoredLeaf::Read))
}

fn known_leaf(ctx: &Context, seen: &ObjectMeta, is_ours: impl Fn(&ObjectMeta) -> bool) -> Option<KnownLeaf> {
    let known = ctx.leaves.get(seen.uid.as_deref()?)?;
    let is_current = known.is_of(seen) && is_ours(seen) && seen.deletion_timestamp.is_none();
    is_current.then_some(known)
}
