//! [IO, read] Everything that a node's objects are made from.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DynamicObject, ObjectMeta};
use kube::core::ApiResource;
use tessera_crds::names;
use tessera_crds::{TesseraNetwork, TesseraNode};
use tessera_pki::CaState;

use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::issue::leaf::StoredLeaf;
use crate::kube::meta::{name_of, uid_of};
use crate::kube::planned::controller_of;

/// What was read.
pub struct Inputs {
    /// The network, if it exists.
    pub network: NetworkInput,
    /// The network's authorities, if it has any yet.
    pub authorities: Option<Arc<CaState>>,
    /// The Secrets that hold this node's leaves, as they are; only ours.
    pub secrets: BTreeMap<String, StoredLeaf>,
    /// The workload as it is.
    pub stateful_set: Option<DynamicObject>,
    /// The time at which all this is so.
    pub now: Timestamp,
}

/// The network that a node refers to.
#[derive(Clone)]
pub enum NetworkInput {
    /// It is there.
    Found(Arc<TesseraNetwork>),
    /// There is none of this name.
    Missing,
    /// It is there, and this version of the operator cannot read it; why.
    Unreadable(String),
}

/// Reads all of it.
pub async fn gather(node: &TesseraNode, ctx: &Context, now: Timestamp) -> Result<Inputs, Error> {
    let name = name_of(node);
    let network = network(node, ctx);
    let authorities = match &network {
        NetworkInput::Found(network) => ctx.authorities.get(network).await?,
        _ => None,
    };
    Ok(Inputs {
        secrets: read_leaves(ctx, uid_of(node), secret_names(node)).await?,
        stateful_set: ctx.caches.stateful_set(name).map(|set| set.object()),
        network,
        authorities,
        now,
    })
}

fn network(node: &TesseraNode, ctx: &Context) -> NetworkInput {
    match ctx.caches.networks.get(&node.spec.network_ref.name) {
        None => NetworkInput::Missing,
        Some(cached) => match &cached.object {
            Ok(network) => NetworkInput::Found(Arc::clone(network)),
            Err(unknown) => NetworkInput::Unreadable(unknown.clone()),
        },
    }
}

fn secret_names(node: &TesseraNode) -> Vec<String> {
    let name = name_of(node);
    let clients = node.spec.clients.iter().map(|client| names::node::client_secret(name, &client.name));
    [names::node::tls_secret(name), names::node::admin_tls_secret(name)].into_iter().chain(clients).collect()
}

/// What is known of the named Secrets that the object with this UID controls: what a stranger's Secret holds is no input.
/// Only those are read that changed since they were last checked.
pub async fn read_leaves(
    ctx: &Context,
    owner_uid: &str,
    names: Vec<String>,
) -> Result<BTreeMap<String, StoredLeaf>, Error> {
    let resource = ApiResource::erase::<Secret>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(ctx.client.clone(), &ctx.namespace, &resource);
    let mut found = BTreeMap::new();
    for name in names {
        if let Some(known) = known_leaf(ctx, owner_uid, &name) {
            found.insert(name, known);
            continue;
        }
        let secret = api.get_opt(&name).await;
        let secret =
            secret.map_err(|source| Error::ReadSecret { name: name.clone(), source: Box::new(source) })?;
        if let Some(secret) = secret.filter(|secret| is_of(&secret.metadata, owner_uid)) {
            found.insert(name, StoredLeaf::Read(secret));
        }
    }
    Ok(found)
}

fn known_leaf(ctx: &Context, owner_uid: &str, name: &str) -> Option<StoredLeaf> {
    let seen = ctx.caches.secrets.get(name)?;
    let known = ctx.leaves.get(seen.0.uid.as_deref()?)?;
    let is_current = known.is_of(&seen.0) && is_of(&seen.0, owner_uid);
    (is_current && seen.0.deletion_timestamp.is_none()).then_some(StoredLeaf::Known(known))
}

fn is_of(metadata: &ObjectMeta, owner_uid: &str) -> bool {
    controller_of(metadata.owner_references.as_deref()).is_some_and(|owner| owner.uid == owner_uid)
}
