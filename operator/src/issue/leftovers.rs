//! [IO] Removes the CA state of networks that no longer exist, and the certificates in other namespaces of clients of nodes
//! that no longer exist. Such a Secret has no owner that the garbage collector would follow, and nobody may have watched when
//! its network or node was deleted, so all of them are looked through from time to time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{DynamicObject, ListParams, ObjectMeta};
use kube::core::ApiResource;
use kube::{Api, Client};
use tessera_crds::names::{self, label};
use tessera_crds::{TesseraNetwork, TesseraNode};

use super::authorities::Authorities;
use crate::kube::ownership::node_path_of;
use crate::kube::prune::remove_as_listed;
use crate::kube::refusal::is_unauthorized;
use crate::process::tasks::Tasks;
use crate::watch::caches::Caches;
use crate::watch::client_namespaces::ClientNamespaces;

/// Between two lists. A network that comes back sooner may find its CA.
const PERIOD: Duration = Duration::from_mins(1);

/// Starts the one task for all namespaces.
pub fn start(sweep: Sweep, tasks: &mut Tasks) {
    tasks.spawn_until_stop(async move {
        let mut failure = None;
        loop {
            let result = sweep.run().await.err().map(|error| error.to_string());
            if let Some(error) = result.as_ref().filter(|_| result != failure) {
                tracing::warn!(error, "cannot look for what deleted networks and nodes left");
            }
            failure = result;
            tokio::time::sleep(PERIOD).await;
        }
    });
}

/// What it takes.
pub struct Sweep {
    /// For looking whether networks and nodes exist.
    pub client: Client,
    /// The CA states.
    pub authorities: Arc<Authorities>,
    /// Where clients' certificates may be.
    pub client_namespaces: ClientNamespaces,
    /// The namespaces that this operator manages, and what their watches saw.
    pub managed: BTreeMap<String, Caches>,
}

impl Sweep {
    async fn run(&self) -> kube::Result<()> {
        let ca_states = self.ca_states().await;
        self.client_secrets().await.and(ca_states)
    }

    /// Asks the API server itself, never a cache: a network that was not seen yet is no network that is gone.
    async fn ca_states(&self) -> kube::Result<()> {
        let ours = format!("{}={}", label::MANAGED_BY, names::FIELD_MANAGER);
        let listed = self.authorities.secrets().list_metadata(&ListParams::default().labels(&ours)).await?;
        for secret in listed.items {
            if let Some((namespace, network)) = self.network_of(&secret.metadata) {
                self.judge(&secret.metadata, namespace, network).await?;
            }
        }
        Ok(())
    }

    /// Asks twice, since asking in `remove_if` keeps everybody from reading a state.
    async fn judge(&self, secret: &ObjectMeta, namespace: &str, network: &str) -> kube::Result<()> {
        if self.is_gone(namespace, network).await?
            && self.authorities.remove_if(secret, self.is_gone(namespace, network)).await?
        {
            tracing::info!(namespace, network, "removed the CA state of a deleted network");
        }
        Ok(())
    }

    /// The network whose CA state this is; `None`: it is none of this operator's.
    fn network_of<'m>(&self, secret: &'m ObjectMeta) -> Option<(&'m str, &'m str)> {
        let owner = names::network::of_ca_state(secret.name.as_deref()?)?;
        self.managed.contains_key(owner.0).then_some(owner)
    }

    /// Whether neither the network nor a node of it exists. Of what the API server does not say, nothing is gone.
    async fn is_gone(&self, namespace: &str, network: &str) -> kube::Result<bool> {
        let networks: Api<TesseraNetwork> = Api::namespaced(self.client.clone(), namespace);
        match networks.get_metadata_opt(network).await {
            Ok(Some(_)) => Ok(false),
            Ok(None) => Ok(!self.has_nodes(namespace, network).await?),
            Err(error) => self.is_namespace_gone(namespace, error).await,
        }
    }

    /// The Role goes with its namespace, so a refusal may mean that all in it is gone.
    async fn is_namespace_gone(&self, namespace: &str, error: kube::Error) -> kube::Result<bool> {
        if !is_unauthorized(&error) {
            return Err(error);
        }
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        Ok(namespaces.get_metadata_opt(namespace).await?.is_none())
    }

    /// What a node that exists no longer needs, it removes itself. A namespace that refuses keeps no other from being swept.
    async fn client_secrets(&self) -> kube::Result<()> {
        let mut failure = None;
        for (namespace, secrets) in self.client_namespaces.all() {
            for secret in secrets.objects() {
                failure = self.client_secret(namespace, &secret.0).await.err().or(failure);
            }
        }
        failure.map_or(Ok(()), Err)
    }

    async fn client_secret(&self, namespace: &str, secret: &ObjectMeta) -> kube::Result<()> {
        let path = node_path_of(secret.annotations.as_ref()).and_then(names::node::of_path);
        let Some((managed, node)) = path.filter(|path| self.may_be_gone(*path)) else { return Ok(()) };
        if secret.deletion_timestamp.is_some() || !self.is_node_gone(managed, node).await? {
            return Ok(());
        }
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        if remove_as_listed(&api, secret).await? {
            tracing::info!(
                namespace,
                name = secret.name,
                managed,
                node,
                "removed the certificate of a client of a deleted node"
            );
        }
        Ok(())
    }

    /// Of a thousand nodes that are there, the API server is asked for none.
    fn may_be_gone(&self, (namespace, node): (&str, &str)) -> bool {
        self.managed.get(namespace).is_some_and(|caches| caches.nodes.get(node).is_none())
    }

    async fn is_node_gone(&self, namespace: &str, node: &str) -> kube::Result<bool> {
        let nodes: Api<TesseraNode> = Api::namespaced(self.client.clone(), namespace);
        match nodes.get_metadata_opt(node).await {
            Ok(found) => Ok(found.is_none()),
            Err(error) => self.is_namespace_gone(namespace, error).await,
        }
    }

    /// Nodes that outlive their network trust its CA, and the network may come back. Untyped: a node that this version
    /// cannot read counts.
    async fn has_nodes(&self, namespace: &str, network: &str) -> kube::Result<bool> {
        let resource = ApiResource::erase::<TesseraNode>(&());
        let nodes: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        let listed = nodes.list(&ListParams::default()).await?;
        Ok(listed.items.iter().any(|node| node.data["spec"]["networkRef"]["name"] == network))
    }
}
