//! Objects by their names, with the person's own kubeconfig.

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use kube::{Api, Error as KubeError, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cluster::{Cluster, ClusterError};

/// A namespaced kind of this API.
pub(crate) trait Ours:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()>
    + Clone
    + DeserializeOwned
    + Serialize
    + std::fmt::Debug
{
}

impl<K> Ours for K where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Serialize
        + std::fmt::Debug
{
}

impl Cluster {
    /// The ConfigMap `name` of `namespace`, if there is one.
    pub(crate) async fn config_map(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<ConfigMap>, ClusterError> {
        let config_maps: Api<ConfigMap> = Api::namespaced(self.client(), namespace);
        let found = config_maps.get_opt(name).await;
        found.map_err(|source| ClusterError::Object {
            verb: "read",
            kind: "ConfigMap".to_owned(),
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            source,
        })
    }

    /// The object `name` of the namespace.
    pub(crate) async fn get<K: Ours>(&self, name: &str) -> Result<K, ClusterError> {
        let objects: Api<K> = Api::namespaced(self.client(), self.namespace());
        objects.get(name).await.map_err(|source| self.failure::<K>("read", name, source))
    }

    /// Creates `object`; one of its name that is there is as good.
    pub(crate) async fn create<K: Ours>(&self, object: &K) -> Result<K, ClusterError> {
        let name = kube::ResourceExt::name_any(object);
        let objects: Api<K> = Api::namespaced(self.client(), self.namespace());
        match objects.create(&PostParams::default(), object).await {
            Err(KubeError::Api(status)) if status.code == 409 => self.get(&name).await,
            created => created.map_err(|source| self.failure::<K>("create", &name, source)),
        }
    }

    fn failure<K: Ours>(&self, verb: &'static str, name: &str, source: KubeError) -> ClusterError {
        let (kind, name) = (K::kind(&()).into_owned(), name.to_owned());
        ClusterError::Object { verb, kind, name, namespace: self.namespace().to_owned(), source }
    }
}
