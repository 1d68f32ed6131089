//! The secret store of a network: where it is, how nodes and operator log in, where keys lie.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::name::{Cidr, ConfigKey, HttpsUrl, ObjectName, StorePath, StoreRole};
use super::peer::EgressRule;

/// Where the keys of the network's nodes are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.vault) == (self.type == 'Vault')")
    .message("secretStore.vault must be set if and only if secretStore.type is Vault").field_path(".vault"))]
pub struct SecretStore {
    /// Vault: HashiCorp Vault or OpenBao, key-value engine version 2.
    pub r#type: SecretStoreType,
    /// How to reach and use the Vault; set if and only if type is Vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault: Option<VaultStore>,
    /// Where the store's endpoint lies, as a NetworkPolicy can say it. The nodes may reach nothing else for keys.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub egress: Vec<EgressRule>,
}

/// The kinds of secret store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SecretStoreType {
    /// HashiCorp Vault or OpenBao.
    Vault,
}

/// A Vault and how to use it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct VaultStore {
    /// The Vault's URL, https only. Also the audience of every token sent to it, so that a token is worthless anywhere
    /// else.
    pub address: HttpsUrl,
    /// The certificates that the Vault's own certificate must chain to.
    pub ca_bundle_ref: CaBundleRef,
    /// The certificate that nodes and operator show the Vault. It must ask for one (`tls_require_and_verify_client_cert`), or line
    /// MutualTls of the checklist is violated. Absent: they show none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<VaultClientCertificate>,
    /// The namespace of Vault Enterprise or OpenBao; empty means the root namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<StorePath>,
    /// How nodes and operator log in.
    pub auth: VaultAuth,
    /// The networks that logins may be used from: those of the nodes' and the operator's pods, as the store sees them.
    /// `kubectl tessera store-setup` binds the login role's tokens to them. Empty: any.
    #[serde(rename = "sourceCIDRs", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub source_cidrs: Vec<Cidr>,
    /// Where keys lie. Immutable while the network has nodes: their keys would be lost from sight.
    pub kv: VaultKv,
}

/// The certificate that nodes and operator show the Vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.secretRef) == (self.type == 'SecretRef')")
    .message("clientCertificate.secretRef must be set if and only if clientCertificate.type is SecretRef").field_path(".secretRef"))]
pub struct VaultClientCertificate {
    /// SecretRef: one that the Vault's owner issues. Issued: each node shows its own, and the operator one of the network's CA,
    /// which the Vault's owner installs (ConfigMap <network>-ca; a Vault reads its client CA at start only).
    #[serde(default)]
    pub r#type: VaultClientCertificateType,
    /// The Secret of this namespace with tls.crt (a leaf, then its chain) and tls.key (PKCS#8), for example of type
    /// kubernetes.io/tls. A new certificate in it is used without a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<ObjectRef>,
}

/// Who issues the certificate that is shown the Vault.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum VaultClientCertificateType {
    /// The Vault's owner; it lies in a Secret.
    #[default]
    SecretRef,
    /// The network's CA.
    Issued,
}

/// An object of this namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// Its name.
    pub name: ObjectName,
}

/// Certificates in PEM, in a ConfigMap of this namespace. They are public: no Secret is read for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaBundleRef {
    /// The ConfigMap's name.
    pub name: ObjectName,
    /// The key in the ConfigMap's data.
    #[serde(default = "CaBundleRef::default_key")]
    pub key: ConfigKey,
}

impl CaBundleRef {
    fn default_key() -> ConfigKey {
        "ca.crt".into()
    }
}

/// Login with the token of a Kubernetes ServiceAccount: a node's own, and tessera-provisioner for the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VaultAuth {
    /// Where the Kubernetes auth method is mounted.
    #[serde(default = "VaultAuth::default_mount")]
    pub mount: StorePath,
    /// The role that nodes and operator log in with.
    pub role: StoreRole,
}

impl VaultAuth {
    fn default_mount() -> StorePath {
        "kubernetes".into()
    }
}

/// Where keys lie in a key-value engine, version 2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VaultKv {
    /// Where the engine is mounted.
    #[serde(default = "VaultKv::default_mount")]
    pub mount: StorePath,
    /// What every path starts with, for example prod-eu1/org-a. The keys of a node lie at
    /// <pathPrefix>/<namespace>/<serviceAccount>/keys/<key>/<version>. No two networks meet in one store: the stamp
    /// beside the keys names cluster and network, and nobody else uses them.
    pub path_prefix: StorePath,
}

impl VaultKv {
    fn default_mount() -> StorePath {
        "secret".into()
    }
}
