//! [IO, read] Everything that a network's objects and status are made from.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::DynamicObject;
use tessera_crds::{TesseraNetwork, TesseraNode, names};
use tessera_pki::CaState;

use super::Error;
use crate::controller::context::Context;
use crate::issue::authorities::AuthoritiesError;
use crate::kube::meta::{name_of, namespace_of, uid_of};
use crate::node::inputs::read_secrets;

/// What was read.
pub struct Inputs {
    /// The network's authorities; `None` if it has none yet.
    pub authorities: Result<Option<Arc<CaState>>, AuthoritiesError>,
    /// The CA bundle of the secret store, or what is wrong with the reference.
    pub store_ca: Result<Vec<u8>, String>,
    /// The scrapers' Secrets, as they are; only ours.
    pub secrets: BTreeMap<String, DynamicObject>,
    /// The nodes of the network.
    pub nodes: Vec<Arc<TesseraNode>>,
    /// The time at which all this is so.
    pub now: Timestamp,
}

/// Reads all of it.
pub async fn gather(network: &TesseraNetwork, ctx: &Context, now: Timestamp) -> Result<Inputs, Error> {
    let (name, namespace) = (name_of(network), namespace_of(network));
    let monitoring = network.spec.monitoring.iter();
    let secrets = monitoring.map(|scraper| names::network::monitoring_secret(name, &scraper.name)).collect();
    Ok(Inputs {
        authorities: ctx.authorities.read(uid_of(network)).await,
        store_ca: read_store_ca(network, ctx).await?,
        secrets: read_secrets(ctx, namespace, uid_of(network), secrets).await?,
        nodes: ctx.caches.nodes_of(name),
        now,
    })
}

async fn read_store_ca(network: &TesseraNetwork, ctx: &Context) -> Result<Result<Vec<u8>, String>, Error> {
    let Some(vault) = &network.spec.secret_store.vault else {
        return Ok(Err("spec.secretStore.vault is missing".to_owned()));
    };
    let bundle = &vault.ca_bundle_ref;
    let object = || format!("ConfigMap {}", bundle.name);
    let api: Api<ConfigMap> = Api::namespaced(ctx.client.clone(), namespace_of(network));
    let found = api.get_opt(&bundle.name).await;
    let found = found.map_err(|source| Error::Read { object: object(), source: Box::new(source) })?;
    let Some(found) = found else {
        return Ok(Err(format!(
            "{} does not exist: create it with the CA of the secret store under {:?}, or correct spec.secretStore.vault.caBundleRef",
            object(),
            bundle.key.as_str()
        )));
    };
    let text = found.data.as_ref().and_then(|data| data.get(bundle.key.as_str()));
    Ok(text
        .map(|text| text.clone().into_bytes())
        .ok_or_else(|| format!("{} has no key {:?}", object(), bundle.key.as_str())))
}
