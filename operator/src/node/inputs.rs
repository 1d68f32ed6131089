//! [IO, read] Everything that a node's objects are made from.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::DynamicObject;
use kube::core::ApiResource;
use tessera_crds::names;
use tessera_crds::{TesseraNetwork, TesseraNode};
use tessera_pki::CaState;

use crate::controller::context::Context;
use crate::kube::meta::{name_of, namespace_of, uid_of};
use crate::kube::planned::controller_of;
use crate::node::Error;

/// What was read.
pub struct Inputs {
    /// The network, if it exists.
    pub network: Option<Arc<TesseraNetwork>>,
    /// The network's authorities, if it has any yet.
    pub authorities: Option<Arc<CaState>>,
    /// The other nodes of the network, by name.
    pub siblings: Vec<Arc<TesseraNode>>,
    /// The Secrets that hold this node's leaves, as they are; only ours.
    pub secrets: BTreeMap<String, DynamicObject>,
    /// The workload as it is.
    pub stateful_set: Option<Arc<DynamicObject>>,
    /// The time at which all this is so.
    pub now: Timestamp,
}

/// Reads all of it.
pub async fn gather(node: &TesseraNode, ctx: &Context, now: Timestamp) -> Result<Inputs, Error> {
    let (name, namespace) = (name_of(node), namespace_of(node));
    let network = ctx.caches.network(namespace, &node.spec.network_ref.name);
    let authorities = match &network {
        Some(network) => ctx.authorities.get(uid_of(&**network)).await?,
        None => None,
    };
    let siblings = ctx.caches.nodes_of(&node.spec.network_ref.name);
    Ok(Inputs {
        siblings: siblings.into_iter().filter(|sibling| name_of(&**sibling) != name).collect(),
        secrets: read_secrets(ctx, namespace, uid_of(node), secret_names(node)).await?,
        stateful_set: ctx.caches.owned(
            &ApiResource::erase::<StatefulSet>(&()).kind,
            namespace,
            &names::node::stateful_set(name),
        ),
        network,
        authorities,
        now,
    })
}

fn secret_names(node: &TesseraNode) -> Vec<String> {
    let name = name_of(node);
    let clients = node.spec.clients.iter().map(|client| names::node::client_secret(name, &client.name));
    [names::node::tls_secret(name), names::node::admin_tls_secret(name)].into_iter().chain(clients).collect()
}

/// Reads those of the named Secrets that the object with this UID controls: what a stranger's Secret holds is no input.
pub async fn read_secrets(
    ctx: &Context,
    namespace: &str,
    owner_uid: &str,
    names: Vec<String>,
) -> Result<BTreeMap<String, DynamicObject>, Error> {
    let resource = ApiResource::erase::<Secret>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(ctx.client.clone(), namespace, &resource);
    let mut found = BTreeMap::new();
    for name in names {
        let secret = api.get_opt(&name).await;
        let secret =
            secret.map_err(|source| Error::ReadSecret { name: name.clone(), source: Box::new(source) })?;
        let is_ours = |secret: &DynamicObject| {
            controller_of(secret.metadata.owner_references.as_deref())
                .is_some_and(|owner| owner.uid == owner_uid)
        };
        if let Some(secret) = secret.filter(is_ours) {
            found.insert(name, secret);
        }
    }
    Ok(found)
}
