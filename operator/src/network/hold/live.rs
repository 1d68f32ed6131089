//! [IO, read] What of a network is there. Nothing is read from the API server while nothing can be held.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ObjectMeta;
use kube::core::ApiResource;
use tessera_crds::api::partner::PartnerStatus;
use tessera_crds::checklist::Mode;
use tessera_crds::{TesseraNetwork, TesseraNetworkStatus, TesseraNode, names};
use tessera_node_api::dynamic_config::{Partner, Partners};
use tessera_node_api::paths::PARTNERS_FILE;

use super::{Holds, Live, widenings};
use crate::checklist::enforce::{Gates, Known, Widened};
use crate::checklist::statements::Statements;
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::kube::meta::{name_of, namespace_of, uid_of};
use crate::kube::object_id::ObjectId;
use crate::kube::planned::controller_of;
use crate::watch::content;

/// What is held back of `network` at `now`.
pub async fn holds(network: &TesseraNetwork, ctx: &Context, now: Timestamp) -> Result<Holds, Error> {
    let mode = network.spec.checklist.mode;
    let asks_for_nothing = network.spec.partners.is_empty() && network.spec.monitoring.is_empty();
    if mode == Mode::Audit || asks_for_nothing {
        return Ok(Holds::default());
    }
    let statements = Statements::that_count(&ctx.caches.attestations_of(name_of(network)), now);
    let known = Known {
        mode,
        network: network.status.as_ref().and_then(|status| status.checklist.as_ref()),
        node: None,
        another_serves: ctx.caches.nodes_of(name_of(network)).iter().any(|node| serves(node)),
        statements: &statements,
    };
    let held = network.status.as_ref().map(|status| status.held.as_slice()).unwrap_or_default();
    let gates = Gates::new(Widened::Network, &known, held, now);
    if gates.are_free() {
        return Ok(Holds::default());
    }
    let live = Live { partners: partners(network, ctx).await?, scrapers: scrapers(network, ctx) };
    Ok(Holds::of(widenings(network, &live), &gates))
}

fn serves(node: &TesseraNode) -> bool {
    node.status.as_ref().is_some_and(|status| status.ready_replicas.is_some_and(|ready| ready > 0))
}

/// Those that have a certificate of this network: a Secret of that name by anybody else is none. `None`: the spec was let through
/// whole, so that a certificate that was lost since is issued again.
fn scrapers(network: &TesseraNetwork, ctx: &Context) -> Option<BTreeSet<String>> {
    if network.status.as_ref().is_some_and(|status| is_judged(network, status)) {
        return None;
    }
    let scrapers = network.spec.monitoring.iter().map(|scraper| scraper.name.to_string());
    let secret = |name: &String| names::network::monitoring_secret(name_of(network), name);
    let is_owned = |metadata: &ObjectMeta| {
        let controller = controller_of(metadata.owner_references.as_deref());
        controller.is_some_and(|controller| controller.uid == uid_of(network))
    };
    let has_certificate =
        |name: &String| ctx.caches.secrets.get(&secret(name)).is_some_and(|secret| is_owned(&secret.0));
    Some(scrapers.filter(has_certificate).collect())
}

/// What the nodes were given. Nothing is read of a spec that was let through whole, which the status alone may say: what it says
/// too little of is read.
async fn partners(network: &TesseraNetwork, ctx: &Context) -> Result<Option<Vec<Partner>>, Error> {
    if network.status.as_ref().is_some_and(|status| is_let_through(network, status)) {
        return Ok(None);
    }
    let id = ObjectId::of::<ConfigMap>(namespace_of(network), &names::network::peers(name_of(network)));
    let resource = ApiResource::erase::<ConfigMap>(&());
    let Some(map) = content::of_owned(&resource, &id, uid_of(network), ctx).await? else {
        return Ok(Some(Vec::new()));
    };
    let Some(file) = map.data["data"][PARTNERS_FILE].as_str() else { return Ok(Some(Vec::new())) };
    // What cannot be read cannot be compared with.
    Ok(serde_json::from_str::<Partners>(file).ok().map(|file| file.partners))
}

/// Whether the spec as it is now was acted upon, and nothing of it is held.
fn is_judged(network: &TesseraNetwork, status: &TesseraNetworkStatus) -> bool {
    status.observed_generation == network.metadata.generation && status.held.is_empty()
}

fn is_let_through(network: &TesseraNetwork, status: &TesseraNetworkStatus) -> bool {
    let is_accepted = |name: &str| {
        let is_same = |partner: &&PartnerStatus| partner.name == *name;
        status
            .partners
            .iter()
            .find(is_same)
            .is_some_and(|partner| partner.accepted && partner.message.is_none())
    };
    is_judged(network, status) && network.spec.partners.iter().all(|partner| is_accepted(&partner.name))
}
