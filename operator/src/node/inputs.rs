//! [IO, read] Everything that a node's objects are made from.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::DynamicObject;
use tessera_crds::api::client::Client;
use tessera_crds::names;
use tessera_crds::{TesseraNetwork, TesseraNode};
use tessera_pki::CaState;

use super::load_balancer::{self, LiveLoadBalancer};
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::issue::leaf::StoredLeaf;
use crate::issue::stored;
use crate::kube::meta::{name_of, namespace_of, uid_of};
use crate::kube::object_id::ObjectId;
use crate::kube::write_error::WriteError;
use crate::node::upgrade;
use crate::watch::cache::Cached as _;

/// What was read.
pub struct Inputs {
    /// The network, if it exists.
    pub network: NetworkInput,
    /// Its load balancer, if it has one.
    pub load_balancer: Option<LiveLoadBalancer>,
    /// The other nodes of the network, if it is to be exposed.
    pub others: Vec<Arc<TesseraNode>>,
    /// The network's authorities, if it has any yet.
    pub authorities: Option<Arc<CaState>>,
    /// The Secrets that hold this node's leaves, as they are; only ours.
    pub secrets: BTreeMap<ObjectId, StoredLeaf>,
    /// Secrets of clients in other namespaces that could not be read, or must not be: nothing is issued for them.
    pub unread: Vec<WriteError>,
    /// The workload as it is.
    pub stateful_set: Option<DynamicObject>,
    /// What the node's clock says; `None`: none of its pods says so.
    pub node_time: Option<Timestamp>,
    /// What is known of its images.
    pub upgrade: upgrade::Facts,
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

impl NetworkInput {
    /// The network, if it can be read.
    pub fn found(&self) -> Option<&TesseraNetwork> {
        match self {
            Self::Found(network) => Some(network),
            Self::Missing | Self::Unreadable(_) => None,
        }
    }
}

/// Reads all of it.
pub async fn gather(node: &TesseraNode, ctx: &Context, now: Timestamp) -> Result<Inputs, Error> {
    let name = name_of(node);
    let network = network(node, ctx);
    let authorities = match &network {
        NetworkInput::Found(network) => ctx.authorities.get(network).await?,
        _ => None,
    };
    let digests = stored::digests(authorities.as_deref());
    let elsewhere = stored::read_elsewhere(ctx, name, client_secrets_elsewhere(node), &digests).await;
    let mut secrets = stored::read(ctx, uid_of(node), own_secrets(node), &digests).await?;
    secrets.extend(elsewhere.found);
    let stateful_set = ctx.caches.stateful_set(name).and_then(|set| set.read());
    Ok(Inputs {
        load_balancer: load_balancer::of_node(node, ctx),
        others: others(node, ctx),
        secrets,
        unread: elsewhere.failures,
        upgrade: upgrade::facts::gather(node, network.found(), stateful_set.as_ref(), ctx, now),
        node_time: node_time(stateful_set.as_ref(), ctx),
        stateful_set,
        network,
        authorities,
        now,
    })
}

/// Only a node that is to be exposed asks for an address that another node may have.
fn others(node: &TesseraNode, ctx: &Context) -> Vec<Arc<TesseraNode>> {
    if node.spec.exposure.asked().is_none() {
        return Vec::new();
    }
    let mut others = ctx.caches.nodes_of(&node.spec.network_ref.name);
    others.retain(|other| uid_of(&**other) != uid_of(node));
    others
}

fn node_time(stateful_set: Option<&DynamicObject>, ctx: &Context) -> Option<Timestamp> {
    let pods = ctx.caches.pods.indexed(stateful_set?.metadata.uid.as_deref()?);
    pods.iter().find_map(|pod| ctx.answers.of(pod.uid())?.node_time())
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

/// The Secret for a client of the node called `node` in `namespace`.
pub fn client_secret(namespace: &str, node: &str, client: &Client) -> ObjectId {
    let elsewhere =
        client.certificate.as_ref().and_then(|certificate| certificate.secret_namespace.as_deref());
    ObjectId::of::<Secret>(elsewhere.unwrap_or(namespace), &names::node::client_secret(node, &client.name))
}

fn client_secrets(node: &TesseraNode) -> impl Iterator<Item = ObjectId> {
    node.spec.clients.iter().map(|client| client_secret(namespace_of(node), name_of(node), client))
}

fn own_secrets(node: &TesseraNode) -> Vec<ObjectId> {
    let (name, namespace) = (name_of(node), namespace_of(node));
    let of_node = [names::node::tls_secret(name), names::node::admin_tls_secret(name)];
    let of_node = of_node.map(|secret| ObjectId::of::<Secret>(namespace, &secret));
    of_node.into_iter().chain(client_secrets(node).filter(|secret| secret.namespace == namespace)).collect()
}

fn client_secrets_elsewhere(node: &TesseraNode) -> Vec<ObjectId> {
    client_secrets(node).filter(|secret| secret.namespace != namespace_of(node)).collect()
}
