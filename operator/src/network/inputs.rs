//! [IO, read] Everything that a network's objects and status are made from.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;
use tessera_crds::api::network::Scraper;
use tessera_crds::{TesseraAttestation, TesseraNetwork, TesseraNode, names};
use tessera_log_shipping::Reports;
use tessera_node_api::admin::{self, LoggingStatus};
use tessera_pki::CaState;

use super::logging::{self, CollectorCa};
use super::partners::{self, Bundles, Reached, same};
use super::resolve::shows_issued;
use crate::checklist::clear_text::ClearTextFacts;
use crate::checklist::cluster::ClusterFacts;
use crate::checklist::facts::StoreAnswer;
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::issue::authorities::AuthoritiesError;
use crate::issue::leaf::StoredLeaf;
use crate::issue::stored;
use crate::kube::meta::{name_of, uid_of};
use crate::kube::object_id::ObjectId;
use crate::node::image_check::{self, Untried};
use crate::node::resolve::exposure::exposed_host;
use crate::probe::store_reports::ObservedStore;
use crate::rollover::facts;
use crate::rollover::next::AllFacts;

/// What was read.
pub struct Inputs {
    /// The name of the cluster, as the keys' stamps have it.
    pub cluster_name: String,
    /// What was seen of the parties of a rollover that is under way.
    pub rollover: AllFacts,
    /// The network's authorities; `None` if it has none yet.
    pub authorities: Result<Option<Arc<CaState>>, AuthoritiesError>,
    /// The metadata of the Secret that they were read from.
    pub authorities_read: Option<ObjectMeta>,
    /// What the last probe of the secret store found; `None`: what the spec says now was not probed yet.
    pub store: Option<ObservedStore>,
    /// SHA-256 of the store's CA bundle, in hexadecimal; `None`: it was not read yet.
    pub store_ca_sha256: Option<String>,
    /// What the secret store showed of itself.
    pub store_facts: StoreAnswer,
    /// What is known of the Secrets of its clients' leaves; only ours.
    pub secrets: BTreeMap<ObjectId, StoredLeaf>,
    /// The CA bundle of its collector of logs.
    pub collector_ca: CollectorCa,
    /// The CA bundles of its partners.
    pub partner_bundles: Bundles,
    /// What each pod of its nodes has reached; empty without partners.
    pub reached: Vec<Reached>,
    /// What came of shipping the operator's own log; `None`: it is not shipped.
    pub operator_log: Option<LoggingStatus>,
    /// The nodes of the network.
    pub nodes: Vec<Arc<TesseraNode>>,
    /// What the search of the namespace for credentials came to.
    pub clear_text: ClearTextFacts,
    /// What was read of the cluster around the network.
    pub cluster: Arc<ClusterFacts>,
    /// What people state about the network.
    pub attestations: Vec<Arc<TesseraAttestation>>,
    /// Images that nodes wait for until a pod has tried them.
    pub untried: Vec<Untried>,
    /// The time at which all this is so.
    pub now: Timestamp,
}

/// Reads all of it.
pub async fn gather(network: &TesseraNetwork, ctx: &Context, now: Timestamp) -> Result<Inputs, Error> {
    let name = name_of(network);
    let monitoring = network.spec.monitoring.iter();
    let secret = |scraper: &Scraper| {
        ObjectId::of::<Secret>(&ctx.namespace, &names::network::monitoring_secret(name, &scraper.name))
    };
    let store_client = shows_issued(network)
        .then(|| ObjectId::of::<Secret>(&ctx.namespace, &names::network::store_client_secret(name)));
    let secrets = monitoring.map(secret).chain(store_client).collect();
    let nodes = ctx.caches.nodes_of(name);
    let (authorities, authorities_read) = match ctx.authorities.refresh(network).await {
        Ok(Some((state, metadata))) => (Ok(Some(state)), Some(metadata)),
        Ok(None) => (Ok(None), None),
        Err(error) => (Err(error), None),
    };
    let state = authorities.as_ref().ok().and_then(Option::as_deref);
    let digests = stored::digests(state);
    Ok(Inputs {
        rollover: state.map(|state| facts::gather(network, &nodes, state, ctx)).unwrap_or_default(),
        cluster_name: ctx.settings.cluster_name.clone(),
        store: ctx.stores.of(network),
        store_ca_sha256: ctx.stores.ca_bundle_sha256(network),
        store_facts: ctx.stores.facts(network),
        secrets: stored::read(ctx, uid_of(network), secrets, &digests).await?,
        authorities,
        authorities_read,
        untried: image_check::untried(network, &nodes, ctx),
        collector_ca: logging::read_ca(network, ctx).await?,
        partner_bundles: partners::read_bundles(network, ctx).await?,
        reached: reached(network, &nodes, ctx),
        operator_log: ctx.own_log.as_ref().and_then(Reports::status),
        attestations: ctx.caches.attestations_of(name),
        clear_text: ctx.caches.clear_text.facts(Instant::now()),
        cluster: ctx.cluster.of(network),
        nodes,
        now,
    })
}

/// Of the pods that have reported anything.
fn reached(network: &TesseraNetwork, nodes: &[Arc<TesseraNode>], ctx: &Context) -> Vec<Reached> {
    if network.spec.partners.is_empty() {
        return Vec::new();
    }
    let of_node = |node: &Arc<TesseraNode>| {
        let exposed = exposed_host(node).is_some();
        let urls =
            |report: admin::Status| report.peers_reached.iter().map(|url| same(url).to_owned()).collect();
        let reports = facts::reports(node, ctx).into_iter().flatten();
        reports.map(|report| Reached { exposed, urls: urls(report) }).collect::<Vec<_>>()
    };
    nodes.iter().flat_map(of_node).collect()
}
