//! [IO, read] What of a node is there. Nothing is read from the API server while nothing can be held.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{DynamicObject, ObjectMeta};
use kube::core::ApiResource;
use tessera_crds::api::client::Client;
use tessera_crds::checklist::Mode;
use tessera_crds::{Cidr, TesseraNode, names};
use tessera_node_api::dynamic_config::DynamicConfig;
use tessera_node_api::identity::Identity;
use tessera_node_api::paths::{DYNAMIC_CONFIG, METRICS_PORT, P2P_PORT, Q2T_PORT};

use super::{Holds, LetThrough, Live, same, widenings};
use crate::checklist::enforce::{Gates, Known, Widened};
use crate::checklist::statements::Statements;
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::kube::meta::uid_of;
use crate::kube::object_id::ObjectId;
use crate::kube::planned::{HASH_ANNOTATION, Planned, controller_of};
use crate::node::desired::{self, addresses};
use crate::node::inputs::{Inputs, NetworkInput, client_secret};
use crate::node::resolve::Resolved;
use crate::node::resolve::exposure::{Exposed, exposed_host};
use crate::watch::content;

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
    let held = object.status.as_ref().map(|status| status.held.as_slice()).unwrap_or_default();
    let on_network = Gates::new(Widened::Network, &known, held, inputs.now);
    let on_node = Gates::new(Widened::Node, &known, held, inputs.now);
    let is_judged =
        network.status.as_ref().and_then(|status| status.observed_generation) == network.metadata.generation;
    if on_network.are_free() && on_node.are_free() && is_judged {
        return Ok(Holds::default());
    }
    let is_open = on_node.are_free() && is_judged;
    let live = read(object, node, inputs, is_open, ctx).await?;
    Ok(Holds::of(widenings(node, &live), &on_network, &on_node, is_judged))
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
    is_open: bool,
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
        exposed_to: Vec::new(),
        policy: None,
    };
    if live.node && !is_open {
        live.clients = clients(node, inputs, ctx).await?;
        live.policy = let_through(node, ctx).await?;
    }
    live.exposed_to = exposed_to(object, node, inputs, live.policy.as_ref());
    Ok(live)
}

/// The sources of the live load balancer. A node without one that announces a public address has lost its Service, which is made again:
/// its sources are those that the policy lets in.
fn exposed_to(
    object: &TesseraNode,
    node: &Resolved,
    inputs: &Inputs,
    policy: Option<&LetThrough>,
) -> Vec<Cidr> {
    if let Some(live) = &inputs.load_balancer {
        return live.sources.iter().map(|cidr| cidr.as_str().into()).collect();
    }
    if exposed_host(object).is_none() {
        return Vec::new();
    }
    let is_let_in = |cidr: &&Cidr| {
        policy.is_none_or(|policy| policy.peers.iter().any(|known| same(known, &addresses(cidr))))
    };
    node.exposure.iter().flat_map(Exposed::sources).filter(is_let_in).cloned().collect()
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
    let Some(map) =
        content::of_owned(&ApiResource::erase::<ConfigMap>(&()), &id, &node.owner.reference.uid, ctx).await?
    else {
        return Ok(Vec::new());
    };
    let file = DYNAMIC_CONFIG.rsplit('/').next().unwrap_or(DYNAMIC_CONFIG);
    let text = map.data["data"][file].as_str().unwrap_or_default();
    let document = serde_json::from_str::<DynamicConfig>(text);
    Ok(document.map(|document| document.clients).unwrap_or_default())
}

/// Whom the live policy lets through. A policy that was planned of this very spec is not compared: whatever it holds now,
/// the spec was let through.
async fn let_through(node: &Resolved, ctx: &Context) -> Result<Option<LetThrough>, Error> {
    let planned = desired::own_policy(node);
    if ctx.caches.seen(&planned.id).is_some_and(|seen| ctx.writer.is_as_planned(&planned, &seen.metadata)) {
        return Ok(None);
    }
    let live = content::of_owned(&planned.resource, &planned.id, &node.owner.reference.uid, ctx).await?;
    Ok(live.filter(|live| !was_planned(live, &planned)).and_then(|live| of_policy(&live)))
}

fn was_planned(live: &DynamicObject, planned: &Planned) -> bool {
    let annotations = live.metadata.annotations.as_ref();
    annotations.and_then(|annotations| annotations.get(HASH_ANNOTATION)) == Some(&planned.hash)
}

/// `None`: the policy cannot be read as one.
fn of_policy(policy: &DynamicObject) -> Option<LetThrough> {
    let policy: NetworkPolicy = policy.clone().try_parse().ok()?;
    let spec = policy.spec?;
    let mut found = LetThrough::default();
    for rule in spec.ingress.unwrap_or_default() {
        let ports: Vec<_> = rule.ports.iter().flatten().filter_map(number).collect();
        let from = rule.from.unwrap_or_default();
        for (port, list) in [
            (Q2T_PORT, &mut found.clients),
            (P2P_PORT, &mut found.peers),
            (METRICS_PORT, &mut found.scrapers),
        ] {
            if ports.contains(&i32::from(port)) {
                list.extend(from.iter().cloned());
            }
        }
    }
    for rule in spec.egress.unwrap_or_default() {
        let ports: Vec<_> = rule.ports.iter().flatten().map(number).collect();
        let to = rule.to.unwrap_or_default();
        found.out.extend(to.iter().flat_map(|peer| ports.iter().map(|port| (peer.clone(), *port))));
    }
    Some(found)
}

fn number(port: &NetworkPolicyPort) -> Option<i32> {
    match port.port {
        Some(IntOrString::Int(number)) => Some(number),
        _ => None,
    }
}
