//! The collector of a network's logs: what its nodes are given of it.

use tessera_crds::TesseraNetwork;
use tessera_crds::api::logging::OtlpCollector;
use tessera_node_api::dynamic_config::{Logging, VERSION};

use super::bundle;
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::kube::meta::namespace_of;

/// The CA bundle of a network's collector of logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CollectorCa {
    /// The network names no collector.
    NoCollector,
    /// In PEM, as the user wrote it; the node says whether it can be used.
    Found(String),
    /// It cannot be had; why, and what to do.
    Missing(String),
}

/// The collector of `network`, if it names one.
pub fn collector(network: &TesseraNetwork) -> Option<&OtlpCollector> {
    network.spec.logging.as_ref().map(|logging| &logging.otlp)
}

/// [IO, read] The CA bundle that the spec leads to.
pub async fn read_ca(network: &TesseraNetwork, ctx: &Context) -> Result<CollectorCa, Error> {
    let Some(collector) = collector(network) else { return Ok(CollectorCa::NoCollector) };
    Ok(match bundle::read(&collector.ca_bundle_ref, namespace_of(network), ctx).await? {
        Ok(pem) => CollectorCa::Found(pem),
        Err(why) => CollectorCa::Missing(why),
    })
}

/// What the nodes are given. Without the CA bundle they are still given the collector: they say that they ship nothing.
pub fn of_nodes(network: &TesseraNetwork, ca: &CollectorCa) -> Option<Logging> {
    let collector = collector(network)?;
    let ca_bundle = match ca {
        CollectorCa::Found(pem) => pem.clone(),
        CollectorCa::Missing(_) | CollectorCa::NoCollector => String::new(),
    };
    Some(Logging { version: VERSION, endpoint: collector.endpoint.to_string(), ca_bundle })
}
