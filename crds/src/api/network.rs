//! TesseraNetwork: one trust domain, an organisation's part in a consortium.

use k8s_openapi::api::core::v1::{ResourceRequirements, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::name::{
    Cidr, ConfigKey, Duration, HttpsUrl, ImageDigest, Name, ObjectName, StorePath, StoreRole, Timestamp,
    TrustDomain,
};
use super::peer::{EgressRule, PodPeer};
use super::schema;

/// What a network is asked to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "tessera.rs",
    version = "v1alpha1",
    kind = "TesseraNetwork",
    plural = "tesseranetworks",
    shortname = "tnet",
    category = "tessera",
    namespaced,
    status = "TesseraNetworkStatus",
    derive = "PartialEq",
    doc = "TesseraNetwork is one trust domain: an organisation's part in a consortium. It holds what its nodes share: certificate authority, secret store, defaults.",
    validation = schema::object_name_rule(),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#, description = "Whether all nodes of the network serve."),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#, description = "Why the network is ready or not."),
    printcolumn(name = "Nodes", type_ = "string", json_path = ".status.nodes.summary", description = "Ready nodes of all nodes."),
    // A string, since the type `date` is shown as an age and a future time as <invalid>.
    printcolumn(name = "CA-Expires", type_ = "string", json_path = ".status.ca.notAfter", description = "End of validity of the network's CA."),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "Time since the network was made."),
    printcolumn(name = "Issuer", type_ = "string", json_path = ".spec.pki.issuer.type", description = "Who issues certificates.", priority = 1),
    printcolumn(name = "Store", type_ = "string", json_path = ".spec.secretStore.type", description = "Where keys are kept.", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct TesseraNetworkSpec {
    /// The SPIFFE trust domain of every certificate in this network, for example org-a.example. Immutable: identities
    /// are made of it.
    #[x_kube(validation = Rule::new("self == oldSelf").message("trustDomain is immutable: identities are made of it"))]
    pub trust_domain: TrustDomain,

    /// Dedicated: every pod of the namespace is denied all traffic but what policies allow. Shared: only our own pods
    /// are.
    #[serde(default)]
    pub namespace_isolation: NamespaceIsolation,

    /// True stops all changes to the network's objects, also repair and renewal; status goes on.
    #[serde(default)]
    pub paused: bool,

    /// Certificates: who issues them and for how long.
    #[serde(default)]
    pub pki: Pki,

    /// Where the keys of the network's nodes are kept.
    pub secret_store: SecretStore,

    /// Who may scrape the metrics of the network's nodes. A certificate is issued for each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub monitoring: Vec<Scraper>,

    /// What nodes use where they do not say otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_defaults: Option<NodeDefaults>,
}

/// Which pods of the namespace are denied all traffic but what policies allow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NamespaceIsolation {
    /// All of them: the namespace is the network's own.
    #[default]
    Dedicated,
    /// Only those that the operator makes.
    Shared,
}

/// Certificates: who issues them and for how long.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("duration(self.ca.lifetime) > duration(self.leaf.lifetime)")
    .message("ca.lifetime must be longer than pki.leaf.lifetime").field_path(".ca.lifetime"))]
pub struct Pki {
    /// Who issues the network's certificates.
    #[serde(default)]
    pub issuer: Issuer,
    /// The certificates of nodes, clients and scrapers.
    #[serde(default)]
    pub leaf: LeafPolicy,
    /// The network's certificate authority.
    #[serde(default)]
    pub ca: CaPolicy,
}

/// Who issues the network's certificates.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Issuer {
    /// BuiltIn: the operator, with a certificate authority that it keeps in its own namespace.
    #[serde(default)]
    pub r#type: IssuerType,
}

/// The kinds of issuer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IssuerType {
    /// The operator itself.
    #[default]
    BuiltIn,
}

/// How long leaf certificates live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("duration(self.renewBefore) < duration(self.lifetime)")
    .message("leaf.renewBefore must be shorter than leaf.lifetime").field_path(".renewBefore"))]
pub struct LeafPolicy {
    /// How long a leaf certificate is valid.
    #[serde(default = "LeafPolicy::default_lifetime")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10m')")
        .message("leaf.lifetime must be at least 10m: a shorter one leaves no time to renew"))]
    pub lifetime: Duration,
    /// How long before its end a leaf certificate is renewed.
    #[serde(default = "LeafPolicy::default_renew_before")]
    pub renew_before: Duration,
}

impl LeafPolicy {
    fn default_lifetime() -> Duration {
        Duration::from_hours(24)
    }

    fn default_renew_before() -> Duration {
        Duration::from_hours(8)
    }
}

impl Default for LeafPolicy {
    fn default() -> Self {
        Self { lifetime: Self::default_lifetime(), renew_before: Self::default_renew_before() }
    }
}

/// How long the network's certificate authority lives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaPolicy {
    /// How long the CA certificate is valid. Read when a CA is made; an existing one keeps its end.
    #[serde(default = "CaPolicy::default_lifetime")]
    pub lifetime: Duration,
}

impl CaPolicy {
    fn default_lifetime() -> Duration {
        Duration::from_hours(8760)
    }
}

impl Default for CaPolicy {
    fn default() -> Self {
        Self { lifetime: Self::default_lifetime() }
    }
}

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
    /// Where keys lie. Immutable: existing keys would be lost from sight.
    #[x_kube(validation = Rule::new("self == oldSelf").message("vault.kv is immutable: existing keys would be lost from sight"))]
    pub kv: VaultKv,
    /// Who writes the login role. Admin: a person, before the network is made.
    #[serde(default)]
    pub provisioning: Provisioning,
}

/// Who writes the login role of the secret store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Provisioning {
    /// A person, with `kubectl tessera store-setup`; the operator writes nothing to the store.
    #[default]
    Admin,
}

/// Certificates in PEM, in an object of this namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaBundleRef {
    /// The kind of the object.
    #[serde(default)]
    pub kind: CaBundleKind,
    /// The object's name.
    pub name: ObjectName,
    /// The key in the object's data.
    #[serde(default = "CaBundleRef::default_key")]
    pub key: ConfigKey,
}

impl CaBundleRef {
    fn default_key() -> ConfigKey {
        "ca.crt".into()
    }
}

/// What may hold a bundle of certificates. They are public: no Secret is read for them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CaBundleKind {
    /// A ConfigMap.
    #[default]
    ConfigMap,
}

/// Login with the token of a Kubernetes ServiceAccount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VaultAuth {
    /// Where the Kubernetes auth method is mounted.
    #[serde(default = "VaultAuth::default_mount")]
    pub mount: StorePath,
    /// The role that nodes and operator log in with.
    pub role: StoreRole,
    /// The ServiceAccount of this namespace that the operator logs in as. Nodes log in as their own.
    #[serde(default)]
    pub service_account_ref: ServiceAccountRef,
}

impl VaultAuth {
    fn default_mount() -> StorePath {
        "kubernetes".into()
    }
}

/// A ServiceAccount of this namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountRef {
    /// The ServiceAccount's name. The chart grants the operator tokens of this one alone.
    #[serde(default = "ServiceAccountRef::default_name")]
    #[x_kube(validation = Rule::new("self == 'tessera-provisioner'")
        .message("serviceAccountRef.name must be tessera-provisioner: the operator gets tokens of no other ServiceAccount"))]
    pub name: ObjectName,
}

impl ServiceAccountRef {
    fn default_name() -> ObjectName {
        crate::names::PROVISIONER.into()
    }
}

impl Default for ServiceAccountRef {
    fn default() -> Self {
        Self { name: Self::default_name() }
    }
}

/// Where keys lie in a key-value engine, version 2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VaultKv {
    /// Where the engine is mounted.
    #[serde(default = "VaultKv::default_mount")]
    pub mount: StorePath,
    /// What every path starts with; it names cluster and network, for example prod-eu1/org-a, so that no two networks
    /// meet in one store.
    pub path_prefix: StorePath,
}

impl VaultKv {
    fn default_mount() -> StorePath {
        "secret".into()
    }
}

/// Someone who may scrape metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Scraper {
    /// The scraper's name; its certificate is in the Secret <network>-monitoring-<name>.
    pub name: Name,
    /// The scraper's pods.
    pub from: PodPeer,
}

/// What nodes use where they do not say otherwise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeDefaults {
    /// The node image, pinned by digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageDigest>,
    /// Requests and limits of the node container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::resources")]
    pub resources: Option<ResourceRequirements>,
    /// The class of new volumes; absent means the cluster's default class. Volumes that exist keep theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<ObjectName>,
    /// The labels that a machine must have to run a node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::labels")]
    pub node_selector: BTreeMap<String, String>,
    /// The taints that nodes tolerate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::tolerations")]
    pub tolerations: Vec<Toleration>,
}

/// What a network is seen to be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TesseraNetworkStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How many nodes the network has and how many of them are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<NodeCounts>,
    /// The certificate authorities of the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<CaStatus>,
    /// Ready, Reconciling, Stalled, CertificatesCurrent, SecretStoreReady.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// How many nodes a network has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeCounts {
    /// All nodes that name this network.
    pub total: i32,
    /// Those that are ready.
    pub ready: i32,
    /// Ready of total, for example 3/3: a column can show only one field.
    pub summary: String,
}

impl NodeCounts {
    /// The counts and their summary.
    pub fn new(ready: i32, total: i32) -> Self {
        Self { total, ready, summary: format!("{ready}/{total}") }
    }
}

/// The certificate authorities of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaStatus {
    /// SHA-256 of the network CA's certificate, in lower-case hexadecimal.
    pub fingerprint: String,
    /// End of validity of the network CA.
    pub not_after: Timestamp,
    /// The ConfigMap of this namespace that holds the public bundle for ledger nodes, under ca.crt.
    pub bundle_config_map: String,
    /// SHA-256 of the certificate of the CA behind the nodes' admin ports, in lower-case hexadecimal.
    pub admin_fingerprint: String,
}
