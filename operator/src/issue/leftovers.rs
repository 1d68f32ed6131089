//! [IO] Removes the CA state of networks that no longer exist. The Secret has no owner that the garbage collector would
//! follow, and nobody may have watched when its network was deleted, so all of them are listed from time to time.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DynamicObject, ListParams, ObjectMeta};
use kube::core::ApiResource;
use kube::{Api, Client};
use tessera_crds::names::{self, label};
use tessera_crds::{TesseraNetwork, TesseraNode};

use super::authorities::Authorities;
use crate::kube::refusal::is_unauthorized;
use crate::process::tasks::Tasks;

/// Between two lists. A network that comes back sooner may find its CA.
const PERIOD: Duration = Duration::from_mins(1);

/// Starts the one task for all `namespaces`, which are those that this operator manages.
pub fn start(client: Client, authorities: Arc<Authorities>, namespaces: Vec<String>, tasks: &mut Tasks) {
    let sweep = Sweep { client, authorities, namespaces };
    tasks.spawn_until_stop(async move {
        let mut failure = None;
        loop {
            let result = sweep.run().await.err().map(|error| error.to_string());
            if let Some(error) = result.as_ref().filter(|_| result != failure) {
                tracing::warn!(error, "cannot look for CA state of deleted networks");
            }
            failure = result;
            tokio::time::sleep(PERIOD).await;
        }
    });
}

struct Sweep {
    client: Client,
    authorities: Arc<Authorities>,
    namespaces: Vec<String>,
}

impl Sweep {
    /// Asks the API server itself, never a cache: a network that was not seen yet is no network that is gone.
    async fn run(&self) -> kube::Result<()> {
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
        self.namespaces.iter().any(|namespace| namespace == owner.0).then_some(owner)
    }

    /// Whether neither the network nor a node of it exists. Of what the API server does not say, nothing is gone.
    async fn is_gone(&self, namespace: &str, network: &str) -> kube::Result<bool> {
        let networks: Api<TesseraNetwork> = Api::namespaced(self.client.clone(), namespace);
        match networks.get_metadata_opt(network).await {
            Ok(Some(_)) => Ok(false),
            Ok(None) => Ok(!self.has_nodes(namespace, network).await?),
            // The Role goes with its namespace.
            Err(error) if is_unauthorized(&error) => {
                let namespaces: Api<Namespace> = Api::all(self.client.clone());
                Ok(namespaces.get_metadata_opt(namespace).await?.is_none())
            }
            Err(error) => Err(error),
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
