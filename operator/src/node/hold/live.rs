//! [IO, read] What of a node is there. Nothing is read from the API server while nothing can be held.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Api;
use kube::api::{DynamicObject, ObjectMeta};
use kube::core::ApiResource;
use tessera_crds::api::client::Client;
use tessera_crds::checklist::Mode;
use tessera_crds::{TesseraNode, names};
use tessera_node_api::dynamic_config::DynamicConfig;
use tessera_node_api::identity::Identity;
use tessera_node_api::paths::{DYNAMIC_CONFIG, Q2T_PORT};

use super::{Holds, Live, widenings};
use crate::checklist::enforce::{Gate, Known, Widened, gate};
use crate::checklist::statements::Statements;
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::kube::meta::uid_of;
use crate::kube::object_id::ObjectId;
use crate::kube::planned::{HASH_ANNOTATION, Planned, controller_of};
use crate::kube::write_error::classify;
use crate::kube::writer::Seen as _;
use crate::node::desired;
use crate::node::inputs::{Inputs, NetworkInput, client_secret};
use crate::node::resolve::Resolved;

/// What is held back of `node` now.
pub async fn holds(
    object: &TesseraNode,
    node: &Resolved,
    inputs: &Inputs,
    ctx: &Context,
) -> Result<Holds, Error> {
    let NetworkInput::Found(network) = &inputs.network else { return Ok(Holds::default()) };
    let mode = network.spec.checklist.mode;
    if mode == Mode::Audit || node.paused {
        return Ok(Holds::default());
    }
    let statements = Statements::that_count(&ctx.caches.attestations_of(&node.network), inputs.now);
    let known = Known {
        mode,
        network: network.status.as_ref().and_then(|status| status.checklist.as_ref()),
        node: object.status.as_ref().and_then(|status| status.checklist.as_ref()),
        another_serves: another_serves(object, node, ctx),
        statements: &statements,
    };
    let on_network = gate(Widened::Network, &known, inputs.now);
    let on_node = gate(Widened::Node, &known, inputs.now);
    if on_network.is_free() && on_node.is_free() {
        return Ok(Holds::default());
    }
    let live = read(object, node, inputs, &on_node, ctx).await?;
    Ok(Holds::of(widenings(node, &live), &on_network, &on_node))
}

fn another_serves(object: &TesseraNode, node: &Resolved, ctx: &Context) -> bool {
    let serves = |other: &TesseraNode| {
        other.status.as_ref().is_some_and(|status| status.ready_replicas.is_some_and(|ready| ready > 0))
    };
    let nodes = ctx.caches.nodes_of(&node.network);
    nodes.iter().any(|other| uid_of(&**other) != uid_of(object) && serves(other))
}

async fn read(
    object: &TesseraNode,
    node: &Resolved,
    inputs: &Inputs,
    on_node: &Gate,
    ctx: &Context,
) -> Result<Live, Error> {
    let status = object.status.as_ref();
    let has_key = status.is_some_and(|status| !status.keys.is_empty());
    let workload = inputs.stateful_set.as_ref().filter(|set| is_owned(&set.metadata, node));
    let own = [names::node::tls_secret(&node.name), names::node::admin_tls_secret(&node.name)];
    let has_certificate = own
        .iter()
        .any(|name| inputs.secrets.contains_key(&ObjectId::of::<Secret>(&node.owner.namespace, name)));
    let mut live = Live {
        node: workload.is_some() || has_certificate || has_key,
        replicas: workload.map(replicas),
        has_run: has_key || ctx.caches.claims.get(&names::node::volume_claim(&node.name, 0)).is_some(),
        clients: BTreeSet::new(),
        sources: None,
    };
    if live.node && !on_node.is_free() {
        live.clients = clients(node, inputs, ctx).await?;
        live.sources = sources(node, ctx).await?;
    }
    Ok(live)
}

fn is_owned(metadata: &ObjectMeta, node: &Resolved) -> bool {
    let owner = controller_of(metadata.owner_references.as_deref());
    owner.is_some_and(|owner| owner.uid == node.owner.reference.uid)
}

fn replicas(set: &DynamicObject) -> i32 {
    let replicas = set.data.pointer("/spec/replicas").and_then(serde_json::Value::as_i64);
    replicas.and_then(|replicas| i32::try_from(replicas).ok()).unwrap_or(1)
}

/// A Secret that could not be read may be there.
async fn clients(node: &Resolved, inputs: &Inputs, ctx: &Context) -> Result<BTreeSet<String>, Error> {
    let namespace = &node.owner.namespace;
    let has_object = |client: &Client| {
        let secret = client_secret(namespace, &node.name, client);
        let policy = ObjectId::of::<NetworkPolicy>(namespace, &secret.name);
        inputs.secrets.contains_key(&secret)
            || inputs.unread.iter().any(|failure| *failure.object() == secret)
            || ctx.caches.seen(&policy).is_some_and(|policy| is_owned(&policy.metadata, node))
    };
    let (found, missing): (Vec<_>, Vec<_>) = node.clients.iter().partition(|client| has_object(client));
    let mut names: BTreeSet<_> = found.iter().map(|client| client.name.to_string()).collect();
    if !missing.is_empty() {
        let configured = configured(node, ctx).await?;
        let is_configured = |client: &&&Client| {
            let identity = Identity::client(&node.trust_domain, &node.name, &client.name);
            identity.is_ok_and(|identity| configured.contains(&identity.to_string()))
        };
        names.extend(missing.iter().filter(is_configured).map(|client| client.name.to_string()));
    }
    Ok(names)
}

/// The identities that the node's configuration lets in.
async fn configured(node: &Resolved, ctx: &Context) -> Result<Vec<String>, Error> {
    let id = ObjectId::of::<ConfigMap>(&node.owner.namespace, &names::node::dynamic_config(&node.name));
    let Some(map) = content(&ApiResource::erase::<ConfigMap>(&()), &id, node, ctx).await? else {
        return Ok(Vec::new());
    };
    let file = DYNAMIC_CONFIG.rsplit('/').next().unwrap_or(DYNAMIC_CONFIG);
    let text = map.data["data"][file].as_str().unwrap_or_default();
    let document = serde_json::from_str::<DynamicConfig>(text);
    Ok(document.map(|document| document.clients).unwrap_or_default())
}

/// From where the live policy lets clients in. A policy that was planned of this very spec is not compared: whatever it holds now,
/// the spec was let through.
async fn sources(node: &Resolved, ctx: &Context) -> Result<Option<Vec<NetworkPolicyPeer>>, Error> {
    let planned = desired::own_policy(node);
    if ctx.caches.seen(&planned.id).is_some_and(|seen| ctx.writer.is_as_planned(&planned, &seen.metadata)) {
        return Ok(None);
    }
    let live = content(&planned.resource, &planned.id, node, ctx).await?;
    Ok(live.filter(|live| !was_planned(live, &planned)).and_then(|live| let_in(&live)))
}

fn was_planned(live: &DynamicObject, planned: &Planned) -> bool {
    let annotations = live.metadata.annotations.as_ref();
    annotations.and_then(|annotations| annotations.get(HASH_ANNOTATION)) == Some(&planned.hash)
}

/// `None`: the policy cannot be read as one.
fn let_in(policy: &DynamicObject) -> Option<Vec<NetworkPolicyPeer>> {
    let policy: NetworkPolicy = policy.clone().try_parse().ok()?;
    let is_q2t = |port: &NetworkPolicyPort| port.port == Some(IntOrString::Int(Q2T_PORT.into()));
    let rules = policy.spec?.ingress.unwrap_or_default();
    let rules = rules.into_iter().filter(|rule| rule.ports.iter().flatten().any(is_q2t));
    Some(rules.flat_map(|rule| rule.from.unwrap_or_default()).collect())
}

/// The whole of an object of the node's, from the cache if it is still kept there.
async fn content(
    resource: &ApiResource,
    id: &ObjectId,
    node: &Resolved,
    ctx: &Context,
) -> Result<Option<DynamicObject>, Error> {
    let kept = ctx.caches.seen(id).and_then(|seen| seen.object());
    let live = if kept.is_some() {
        kept
    } else {
        let api: Api<DynamicObject> = Api::namespaced_with(ctx.client.clone(), &id.namespace, resource);
        api.get_opt(&id.name).await.map_err(|error| classify("get", id.clone(), &error))?
    };
    Ok(live.filter(|live| is_owned(&live.metadata, node)))
}
