//! Reading the network and its CA bundle, with the person's own kubeconfig.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, Patch, PatchParams};
use kube::config::KubeConfigOptions;
use kube::{Api, Client, Config, Error as KubeError, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;
use tessera_crds::api::secret_store::CaBundleRef;
use tessera_crds::names::label;
use tessera_crds::{TesseraAttestation, TesseraNetwork, TesseraNode};
use tessera_node_api::stamp::Stamp;

use crate::args::Target;

/// How many objects are listed at once.
const PAGE: u32 = 500;

/// How many objects of a kind are read: ten times what the operator is tested with.
const MAX_LISTED: usize = 10_000;

/// Selects the objects that name the network `name`.
fn of_network(name: &str) -> ListParams {
    ListParams::default().fields(&format!("spec.networkRef.name={name}"))
}

/// Why the network's settings cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    /// No kubeconfig, or no such context.
    #[error("no usable kubeconfig: set KUBECONFIG, or name an existing context with --context")]
    Kubeconfig(#[source] kube::config::KubeconfigError),
    /// The kubeconfig's credentials cannot be used.
    #[error("the kubeconfig makes no usable client")]
    Client(#[source] KubeError),
    /// There is no such network.
    #[error(
        "there is no TesseraNetwork {name:?} in namespace {namespace:?}: apply it first, or name another with -n"
    )]
    NoNetwork {
        /// The name asked for.
        name: String,
        /// The namespace asked.
        namespace: String,
    },
    /// The network cannot be read.
    #[error("cannot read TesseraNetwork {name:?} in namespace {namespace:?}")]
    Network {
        /// The name asked for.
        name: String,
        /// The namespace asked.
        namespace: String,
        /// What the API server says.
        source: KubeError,
    },
    /// The node has no such key.
    #[error("TesseraNode {node:?} has no key {key:?}: spec.keys lists them")]
    NoKey {
        /// The node.
        node: String,
        /// The key asked for.
        key: String,
    },
    /// The networks cannot be listed.
    #[error("cannot list TesseraNetworks in namespace {namespace:?}")]
    Networks {
        /// The namespace asked.
        namespace: String,
        /// What the API server says.
        source: KubeError,
    },
    /// The nodes cannot be listed.
    #[error("cannot list TesseraNodes in namespace {namespace:?}")]
    Nodes {
        /// The namespace asked.
        namespace: String,
        /// What the API server says.
        source: KubeError,
    },
    /// The statements cannot be listed.
    #[error("cannot list TesseraAttestations in namespace {namespace:?}")]
    Attestations {
        /// The namespace asked.
        namespace: String,
        /// What the API server says.
        source: KubeError,
    },
    /// The list does not end.
    #[error(
        "namespace {namespace:?} holds more than {limit} objects of a kind: what is shown would not be whole"
    )]
    TooMany {
        /// The namespace asked.
        namespace: String,
        /// How many are read.
        limit: usize,
    },
    /// The node cannot be read or changed.
    #[error("cannot {verb} TesseraNode {name:?} in namespace {namespace:?}")]
    Node {
        /// What failed.
        verb: &'static str,
        /// The node.
        name: String,
        /// Its namespace.
        namespace: String,
        /// What the API server says.
        source: KubeError,
    },
    /// Another object cannot be read or created.
    #[error("cannot {verb} {kind} {name:?} in namespace {namespace:?}")]
    Object {
        /// What failed.
        verb: &'static str,
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// Its namespace.
        namespace: String,
        /// What the API server says.
        source: KubeError,
    },
    /// The network keeps its keys elsewhere.
    #[error("TesseraNetwork {0:?} does not keep its keys in a Vault: there is nothing to set up")]
    NotVault(String),
    /// The operator has not said what the cluster is called.
    #[error(
        "TesseraNetwork {0:?} does not show status.clusterName yet: let the operator reconcile it, then run this again"
    )]
    NoClusterName(String),
    /// There is no such node.
    #[error("there is no TesseraNode {name:?} in namespace {namespace:?}: name another with -n")]
    NoNode {
        /// The name asked for.
        name: String,
        /// The namespace asked.
        namespace: String,
    },
    /// The annotation cannot be set.
    #[error("cannot accept the loss on TesseraNode {name:?} in namespace {namespace:?}")]
    Accept {
        /// The node.
        name: String,
        /// Its namespace.
        namespace: String,
        /// What the API server says.
        source: KubeError,
    },
    /// The CA bundle cannot be read.
    #[error("cannot read ConfigMap {name:?} in namespace {namespace:?}, the network's caBundleRef")]
    Bundle {
        /// The ConfigMap.
        name: String,
        /// Its namespace.
        namespace: String,
        /// What the API server says.
        source: KubeError,
    },
    /// The ConfigMap has no such key.
    #[error(
        "ConfigMap {name:?} in namespace {namespace:?} has no key {key:?}, which the network's caBundleRef names"
    )]
    BundleKey {
        /// The ConfigMap.
        name: String,
        /// Its namespace.
        namespace: String,
        /// The key.
        key: String,
    },
}

/// The cluster as the person's kubeconfig shows it.
pub(crate) struct Cluster {
    client: Client,
    namespace: String,
}

impl Cluster {
    /// The cluster of the target's context (else the current one); its namespace overrides the context's.
    pub(crate) async fn connect(target: &Target) -> Result<Self, ClusterError> {
        let options = KubeConfigOptions { context: target.context.clone(), ..KubeConfigOptions::default() };
        let config = Config::from_kubeconfig(&options).await.map_err(ClusterError::Kubeconfig)?;
        let namespace = target.namespace.as_ref().unwrap_or(&config.default_namespace).clone();
        let client = Client::try_from(config).map_err(ClusterError::Client)?;
        Ok(Self { client, namespace })
    }

    /// The namespace that is looked into.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// A client with the person's credentials.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// The network `name`.
    pub(crate) async fn network(&self, name: &str) -> Result<TesseraNetwork, ClusterError> {
        let networks: Api<TesseraNetwork> = Api::namespaced(self.client.clone(), &self.namespace);
        let (named, namespace) = (name.to_owned(), self.namespace.clone());
        match networks.get_opt(name).await {
            Ok(Some(network)) => Ok(network),
            Ok(None) => Err(ClusterError::NoNetwork { name: named, namespace }),
            Err(source) => Err(ClusterError::Network { name: named, namespace, source }),
        }
    }

    /// The stamp that the nodes of the network `name` put beside their keys; none before the operator has said what the
    /// cluster is called.
    pub(crate) fn stamp_of(&self, network: &TesseraNetwork, name: &str) -> Option<Stamp> {
        let cluster = network.status.as_ref()?.cluster_name.as_deref()?;
        Stamp::new(cluster, &self.namespace, name).ok()
    }

    /// The node `name`.
    pub(crate) async fn node(&self, name: &str) -> Result<TesseraNode, ClusterError> {
        let missing = || ClusterError::NoNode { name: name.to_owned(), namespace: self.namespace.clone() };
        self.node_if_any(name).await?.ok_or_else(missing)
    }

    /// The node `name`, if there is one.
    pub(crate) async fn node_if_any(&self, name: &str) -> Result<Option<TesseraNode>, ClusterError> {
        let (named, namespace) = (name.to_owned(), self.namespace.clone());
        let failure = |source| ClusterError::Node { verb: "read", name: named, namespace, source };
        self.nodes().get_opt(name).await.map_err(failure)
    }

    /// Sets the annotation that accepts the losses of payload store `store`.
    pub(crate) async fn accept_loss(&self, node: &str, store: &str) -> Result<(), ClusterError> {
        let nodes: Api<TesseraNode> = Api::namespaced(self.client.clone(), &self.namespace);
        let patch = json!({"metadata": {"annotations": {label::ACCEPT_LOSS: store}}});
        let patched = nodes.patch_metadata(node, &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.map(drop).map_err(|source| ClusterError::Accept {
            name: node.to_owned(),
            namespace: self.namespace.clone(),
            source,
        })
    }

    /// All networks of the namespace, sorted by name.
    pub(crate) async fn networks(&self) -> Result<Vec<TesseraNetwork>, ClusterError> {
        let failure = |source| ClusterError::Networks { namespace: self.namespace.clone(), source };
        let networks = Api::namespaced(self.client.clone(), &self.namespace);
        self.list(networks, ListParams::default(), failure).await
    }

    /// All nodes of the namespace, sorted by name.
    pub(crate) async fn all_nodes(&self) -> Result<Vec<TesseraNode>, ClusterError> {
        let failure = |source| ClusterError::Nodes { namespace: self.namespace.clone(), source };
        self.list(self.nodes(), ListParams::default(), failure).await
    }

    /// All nodes of the network `name`, sorted by name.
    pub(crate) async fn nodes_of(&self, name: &str) -> Result<Vec<TesseraNode>, ClusterError> {
        let failure = |source| ClusterError::Nodes { namespace: self.namespace.clone(), source };
        self.list(self.nodes(), of_network(name), failure).await
    }

    /// All statements about the network `name`, sorted by name, whether they still count or not.
    pub(crate) async fn attestations_of(&self, name: &str) -> Result<Vec<TesseraAttestation>, ClusterError> {
        let failure = |source| ClusterError::Attestations { namespace: self.namespace.clone(), source };
        let attestations = Api::namespaced(self.client.clone(), &self.namespace);
        self.list(attestations, of_network(name), failure).await
    }

    /// The objects that `which` selects, page by page.
    async fn list<K>(
        &self,
        objects: Api<K>,
        which: ListParams,
        failure: impl Fn(KubeError) -> ClusterError,
    ) -> Result<Vec<K>, ClusterError>
    where
        K: Clone + DeserializeOwned + std::fmt::Debug + ResourceExt,
    {
        let mut page = which.limit(PAGE);
        let mut found = Vec::new();
        while found.len() <= MAX_LISTED {
            let listed = objects.list(&page).await.map_err(&failure)?;
            found.extend(listed.items);
            let Some(next) = listed.metadata.continue_.filter(|token| !token.is_empty()) else {
                found.sort_by_key(ResourceExt::name_any);
                return Ok(found);
            };
            page = page.continue_token(&next);
        }
        Err(ClusterError::TooMany { namespace: self.namespace.clone(), limit: MAX_LISTED })
    }

    /// The names of all nodes, sorted.
    pub(crate) async fn node_names(&self) -> Result<Vec<String>, ClusterError> {
        let nodes = self.nodes().list(&ListParams::default()).await;
        let nodes =
            nodes.map_err(|source| ClusterError::Nodes { namespace: self.namespace.clone(), source })?;
        let mut names: Vec<_> = nodes.items.into_iter().filter_map(|node| node.metadata.name).collect();
        names.sort();
        Ok(names)
    }

    /// Adds one to the node's `spec.restartTrigger` and gives the new value. Two people who do so at once restart the node
    /// once or twice, and neither loses the other's changes: the write is refused if the node changed since it was read.
    pub(crate) async fn raise_restart_trigger(&self, name: &str) -> Result<i64, ClusterError> {
        let node = self.node(name).await?;
        let trigger = node.spec.restart_trigger.saturating_add(1);
        self.change(&node, &serde_json::json!({"restartTrigger": trigger})).await?;
        Ok(trigger)
    }

    /// Adds one to the `rotation.trigger` of a key of the node, the default key if `key` names none. Gives the key's name and the
    /// new value. Refused if the node changed since it was read.
    pub(crate) async fn raise_rotation_trigger(
        &self,
        name: &str,
        key: Option<&str>,
    ) -> Result<(String, i32), ClusterError> {
        let node = self.node(name).await?;
        let mut keys = node.spec.keys.clone();
        let wanted = keys.iter_mut().find(|it| key.map_or(it.default, |key| it.name.as_str() == key));
        let Some(wanted) = wanted else {
            let (node, key) = (name.to_owned(), key.unwrap_or("default").to_owned());
            return Err(ClusterError::NoKey { node, key });
        };
        wanted.rotation.trigger = wanted.rotation.trigger.saturating_add(1);
        let raised = (wanted.name.to_string(), wanted.rotation.trigger);
        self.change(&node, &serde_json::json!({"keys": keys})).await?;
        Ok(raised)
    }

    /// Merges `spec` into the node's, if it is still as it was read.
    async fn change(&self, node: &TesseraNode, spec: &serde_json::Value) -> Result<(), ClusterError> {
        let name = node.metadata.name.clone().unwrap_or_default();
        let patch = serde_json::json!({
            "metadata": {"resourceVersion": node.metadata.resource_version},
            "spec": spec,
        });
        let params =
            PatchParams { field_manager: Some("kubectl-tessera".to_owned()), ..PatchParams::default() };
        let changed = self.nodes().patch(&name, &params, &Patch::Merge(&patch)).await;
        let failure =
            |source| ClusterError::Node { verb: "change", name, namespace: self.namespace.clone(), source };
        changed.map(drop).map_err(failure)
    }

    fn nodes(&self) -> Api<TesseraNode> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The certificates that `reference` names, in PEM.
    pub(crate) async fn ca_bundle(&self, reference: &CaBundleRef) -> Result<Vec<u8>, ClusterError> {
        let config_maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let (name, namespace) = (reference.name.to_string(), self.namespace.clone());
        let key = reference.key.to_string();
        let mut config_map = match config_maps.get(&name).await {
            Ok(config_map) => config_map,
            Err(source) => return Err(ClusterError::Bundle { name, namespace, source }),
        };
        let text = config_map.data.as_mut().and_then(|data| data.remove(&key));
        text.map(String::into_bytes).ok_or(ClusterError::BundleKey { name, namespace, key })
    }
}
