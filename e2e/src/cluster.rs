//! The API server, spoken to as a person with kubectl would: objects are JSON, so that a test shows what a user writes.

use anyhow::{Context as _, Result, anyhow, bail};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use kube::{Client, ResourceExt as _};
use serde_json::Value;

/// A client of one cluster.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
}

/// Which kind a test speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `tessera.rs/v1alpha1`
    TesseraNetwork,
    /// `tessera.rs/v1alpha1`
    TesseraNode,
    /// A person's statement about the checklist.
    TesseraAttestation,
    /// A custodian's proof.
    TesseraBackupProof,
    /// Keys that come back.
    TesseraKeyRestore,
    /// `v1`
    ConfigMap,
    /// `v1`
    Event,
    /// `v1`
    Namespace,
    /// `v1`: a machine
    Node,
    /// `v1`
    PersistentVolume,
    /// `v1`
    PersistentVolumeClaim,
    /// `v1`
    Pod,
    /// `v1`
    Secret,
    /// `v1`
    Service,
    /// `v1`
    ServiceAccount,
    /// `discovery.k8s.io/v1`
    EndpointSlice,
    /// `apps/v1`
    Deployment,
    /// `apps/v1`
    StatefulSet,
    /// `apps/v1`
    ControllerRevision,
    /// `networking.k8s.io/v1`
    NetworkPolicy,
    /// `policy/v1`
    PodDisruptionBudget,
    /// `rbac.authorization.k8s.io/v1`
    Role,
    /// `rbac.authorization.k8s.io/v1`
    RoleBinding,
    /// `rbac.authorization.k8s.io/v1`
    ClusterRole,
    /// `rbac.authorization.k8s.io/v1`
    ClusterRoleBinding,
    /// `admissionregistration.k8s.io/v1`
    ValidatingAdmissionPolicyBinding,
    /// Flux's, `source.toolkit.fluxcd.io/v1`
    OciRepository,
    /// Flux's, `kustomize.toolkit.fluxcd.io/v1`
    Kustomization,
}

impl Kind {
    fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = match self {
            Self::TesseraNetwork => ("tessera.rs", "v1alpha1", "TesseraNetwork", "tesseranetworks"),
            Self::TesseraNode => ("tessera.rs", "v1alpha1", "TesseraNode", "tesseranodes"),
            Self::TesseraAttestation => {
                ("tessera.rs", "v1alpha1", "TesseraAttestation", "tesseraattestations")
            }
            Self::TesseraBackupProof => {
                ("tessera.rs", "v1alpha1", "TesseraBackupProof", "tesserabackupproofs")
            }
            Self::TesseraKeyRestore => ("tessera.rs", "v1alpha1", "TesseraKeyRestore", "tesserakeyrestores"),
            Self::OciRepository => ("source.toolkit.fluxcd.io", "v1", "OCIRepository", "ocirepositories"),
            Self::Kustomization => ("kustomize.toolkit.fluxcd.io", "v1", "Kustomization", "kustomizations"),
            Self::ClusterRole => ("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles"),
            Self::ClusterRoleBinding => {
                ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings")
            }
            Self::ValidatingAdmissionPolicyBinding => (
                "admissionregistration.k8s.io",
                "v1",
                "ValidatingAdmissionPolicyBinding",
                "validatingadmissionpolicybindings",
            ),
            Self::RoleBinding => ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings"),
            Self::Role => ("rbac.authorization.k8s.io", "v1", "Role", "roles"),
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Self::Event => ("", "v1", "Event", "events"),
            Self::Namespace => ("", "v1", "Namespace", "namespaces"),
            Self::Node => ("", "v1", "Node", "nodes"),
            Self::PersistentVolume => ("", "v1", "PersistentVolume", "persistentvolumes"),
            Self::PersistentVolumeClaim => ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
            Self::Pod => ("", "v1", "Pod", "pods"),
            Self::Secret => ("", "v1", "Secret", "secrets"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::ServiceAccount => ("", "v1", "ServiceAccount", "serviceaccounts"),
            Self::Deployment => ("apps", "v1", "Deployment", "deployments"),
            Self::StatefulSet => ("apps", "v1", "StatefulSet", "statefulsets"),
            Self::EndpointSlice => ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"),
            Self::ControllerRevision => ("apps", "v1", "ControllerRevision", "controllerrevisions"),
            Self::NetworkPolicy => ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
            Self::PodDisruptionBudget => ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
        };
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }
}

impl Cluster {
    /// The cluster of the current kubeconfig.
    pub async fn connect() -> Result<Self> {
        // A second install in the same process is refused and harmless: the first one is the same provider.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let client =
            Client::try_default().await.context("no cluster in the kubeconfig: run hack/cluster up")?;
        Ok(Self { client })
    }

    /// The same cluster with all rights, but under the name of `user`: what policies that go by the name then let through.
    pub async fn connect_as(user: &str) -> Result<Self> {
        let mut config = kube::Config::infer().await.context("no kubeconfig")?;
        config.auth_info.impersonate = Some(user.to_owned());
        config.auth_info.impersonate_groups = Some(vec!["system:masters".to_owned()]);
        Ok(Self { client: Client::try_from(config)? })
    }

    /// The client itself.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The objects of a kind in a namespace; an empty namespace means all, or none for cluster-scoped kinds.
    pub fn api(&self, kind: Kind, namespace: &str) -> Api<DynamicObject> {
        let resource = kind.resource();
        if namespace.is_empty() {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        }
    }

    /// Whom the API server takes us for.
    pub async fn user(&self) -> Result<String> {
        let api: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let review = api.create(&PostParams::default(), &SelfSubjectReview::default()).await?;
        let user = review.status.and_then(|status| status.user_info).and_then(|user| user.username);
        user.context("the API server does not say who we are")
    }

    /// Applies a manifest as `kubectl apply --server-side` does.
    pub async fn apply(&self, kind: Kind, namespace: &str, manifest: &Value) -> Result<Value> {
        let name =
            manifest["metadata"]["name"].as_str().ok_or_else(|| anyhow!("a manifest without a name"))?;
        let mut manifest = manifest.clone();
        let resource = kind.resource();
        manifest["apiVersion"] = resource.api_version.clone().into();
        manifest["kind"] = resource.kind.clone().into();
        let params = PatchParams::apply("e2e").force();
        let applied = self
            .api(kind, namespace)
            .patch(name, &params, &Patch::Apply(&manifest))
            .await
            .with_context(|| format!("applying {kind:?} {namespace}/{name}"))?;
        Ok(serde_json::to_value(applied)?)
    }

    /// Creates an object; an existing one is an error.
    pub async fn create(&self, kind: Kind, namespace: &str, manifest: &Value) -> Result<Value> {
        let mut manifest = manifest.clone();
        let resource = kind.resource();
        manifest["apiVersion"] = resource.api_version.clone().into();
        manifest["kind"] = resource.kind.clone().into();
        let object: DynamicObject = serde_json::from_value(manifest)?;
        let created = self.api(kind, namespace).create(&PostParams::default(), &object).await?;
        Ok(serde_json::to_value(created)?)
    }

    /// A merge patch, as a person edits.
    pub async fn edit(&self, kind: Kind, namespace: &str, name: &str, patch: &Value) -> Result<()> {
        let params = PatchParams { field_manager: Some("kubectl-edit".to_owned()), ..PatchParams::default() };
        self.api(kind, namespace)
            .patch(name, &params, &Patch::Merge(patch))
            .await
            .with_context(|| format!("editing {kind:?} {namespace}/{name}"))?;
        Ok(())
    }

    /// A strategic merge patch, as `kubectl patch` sends: lists with a merge key are added to.
    pub async fn add(&self, kind: Kind, namespace: &str, name: &str, patch: &Value) -> Result<()> {
        let params =
            PatchParams { field_manager: Some("kubectl-patch".to_owned()), ..PatchParams::default() };
        self.api(kind, namespace)
            .patch(name, &params, &Patch::Strategic(patch))
            .await
            .with_context(|| format!("adding to {kind:?} {namespace}/{name}"))?;
        Ok(())
    }

    /// The object as JSON; an error when it is not there.
    pub async fn get(&self, kind: Kind, namespace: &str, name: &str) -> Result<Value> {
        let found = self
            .api(kind, namespace)
            .get(name)
            .await
            .with_context(|| format!("reading {kind:?} {namespace}/{name}"))?;
        Ok(serde_json::to_value(found)?)
    }

    /// All objects of a kind that a label selector picks.
    pub async fn list(&self, kind: Kind, namespace: &str, selector: &str) -> Result<Vec<Value>> {
        let list = self.api(kind, namespace).list(&ListParams::default().labels(selector)).await?;
        list.items.into_iter().map(|item| Ok(serde_json::to_value(item)?)).collect()
    }

    /// Asks for deletion; an object that is not there is as good.
    pub async fn delete(&self, kind: Kind, namespace: &str, name: &str) -> Result<()> {
        match self.api(kind, namespace).delete(name, &DeleteParams::default()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(error).with_context(|| format!("deleting {kind:?} {namespace}/{name}")),
        }
    }

    /// Deletes all objects of a kind in a namespace and waits until they are gone.
    pub async fn clear(&self, kind: Kind, namespace: &str, selector: &str) -> Result<()> {
        for object in self.list(kind, namespace, selector).await? {
            let object: DynamicObject = serde_json::from_value(object)?;
            self.delete(kind, namespace, &object.name_any()).await?;
        }
        crate::wait::until(
            &format!("{kind:?} of {namespace} gone"),
            std::time::Duration::from_secs(90),
            || async {
                match self.list(kind, namespace, selector).await?.len() {
                    0 => Ok(()),
                    left => bail!("{left} left"),
                }
            },
        )
        .await
    }
}

/// The condition of a type in an object's status: `(status, reason, message)`.
pub fn condition<'a>(object: &'a Value, condition_type: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let conditions = object["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|c| c["type"] == condition_type)?;
    Some((
        found["status"].as_str()?,
        found["reason"].as_str()?,
        found["message"].as_str().unwrap_or_default(),
    ))
}
