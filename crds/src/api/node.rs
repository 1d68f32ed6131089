//! TesseraNode: one logical transaction manager of a network.

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::checklist::{ChecklistStatus, HeldChange};
use super::client::Client;
use super::exposure::Exposure;
use super::images::ImagesStatus;
pub use super::key::{Key, KeyImport, KeyState, KeyStatus, KeyType, Rotation, SecretKeyRef, StoreLocation};
pub use super::key_backup::{KeyBackupStatus, KeyRestore, VersionBackup};
use super::name::{ImageDigest, Name, ObjectName, StorageSize, Timestamp};
use super::network::Privacy;
use super::pod::PodSettings;
use super::postgres::PostgresStorage;
use super::{rules, schema};

/// What a node is asked to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "tessera.rs",
    version = "v1alpha1",
    kind = "TesseraNode",
    plural = "tesseranodes",
    shortname = "tnode",
    category = "tessera",
    namespaced,
    status = "TesseraNodeStatus",
    derive = "PartialEq",
    doc = "TesseraNode is one logical transaction manager of a network: its keys, its storage and who may use it.",
    validation = rules::object_name_rule(),
    validation = rules::reserved_name_rule(),
    validation = rules::replicas_rule(),
    validation = rules::volume_size_rule(),
    validation = rules::volume_class_rule(),
    validation = rules::network_ref_rule(),
    validation = rules::keys_rule(),
    validation = rules::archive_rule(),
    validation = rules::archived_rule(),
    validation = rules::import_rule(),
    validation = rules::import_removed_rule(),
    validation = rules::restore_rule(),
    validation = rules::restore_removed_rule(),
    selectable = ".spec.networkRef.name",
    scale(spec_replicas_path = ".spec.replicas", status_replicas_path = ".status.replicas", label_selector_path = ".status.selector"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#, description = "Whether the node serves."),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#, description = "Why the node is ready or not."),
    printcolumn(name = "Network", type_ = "string", json_path = ".spec.networkRef.name", description = "The network of the node."),
    printcolumn(name = "Key", type_ = "string", json_path = ".status.defaultKey", description = "The default public key."),
    // A string, since the type `date` is shown as an age and a future time as <invalid>.
    printcolumn(name = "Cert-Expires", type_ = "string", json_path = ".status.certificate.notAfter", description = "End of validity of the node's certificate."),
    printcolumn(name = "Checklist", type_ = "string", json_path = ".status.checklist.summary", description = "How many of the checklist's lines that speak of a node are satisfied."),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "Time since the node was made."),
    printcolumn(name = "Image", type_ = "string", json_path = ".status.pods[0].imageID", description = "What runs.", priority = 1),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".spec.replicas", description = "How many pods are asked for.", priority = 1),
    printcolumn(name = "Storage", type_ = "string", json_path = ".spec.storage.type", description = "Where payloads are kept.", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct TesseraNodeSpec {
    /// The network of the node, in this namespace. Immutable once the node has a key or a volume: identity and keys belong
    /// to it.
    pub network_ref: NetworkRef,

    /// The node image, pinned by digest; absent means the network's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageDigest>,

    /// How many pods run the node; 0 stops it and keeps volume and keys. More than 1 only with storage.type Postgres: the pods share the
    /// database, the keys and the node's address, and are rolled one by one, so that the node serves while one is away.
    #[serde(default = "TesseraNodeSpec::default_replicas")]
    #[schemars(range(min = 0, max = 9))]
    pub replicas: i32,

    /// True stops all changes to the node's objects, also repair and renewal; status goes on.
    #[serde(default)]
    pub paused: bool,

    /// Where the node keeps payloads.
    pub storage: Storage,

    /// The node's keys. A key is an address that stored payloads and privacy groups name permanently, so none is removed that
    /// status.keys has.
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = Rule::new("self.filter(k, k.default).size() == 1")
            .message("keys needs exactly one key with default: true"),
        validation = Rule::new("self.map(k, k.?rotation.?trigger.orValue(0) + 1).sum() <= 256")
            .message("keys may have 256 versions together (one each, and one for each rotation.trigger, which is a count, no timestamp): each is a permanent address"),
        validation = Rule::new("self.map(k, has(k.restore) ? k.restore.publicKeys.size() : 1).sum() <= 256")
            .message("keys may have 256 versions together, those that are restored included"),
    )]
    pub keys: Vec<Key>,

    /// The ledger nodes that may use this node. A certificate is issued for each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub clients: Vec<Client>,

    /// Requests and limits of the node container; absent means the network's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::resources")]
    pub resources: Option<ResourceRequirements>,

    /// What is added to the pods; each field that is set replaces the network's default.
    #[serde(default)]
    pub pod: PodSettings,

    /// Tessera's privacy features that a ledger asks for; absent means the network's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privacy: Option<Privacy>,

    /// How partners reach the node; absent means not at all from outside of the cluster.
    #[serde(default)]
    pub exposure: Exposure,

    /// Any change of this number restarts the node's pods, one by one, within the rollout budget of the network.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub restart_trigger: i64,
}

impl TesseraNodeSpec {
    fn default_replicas() -> i32 {
        1
    }

    /// The key for sends that name none; admission sees to it that there is exactly one.
    pub fn default_key(&self) -> Option<&Key> {
        self.keys.iter().find(|key| key.default)
    }
}

/// A network of this namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkRef {
    /// The network's name.
    pub name: Name,
}

/// Where a node keeps payloads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.embedded) == (self.type == 'Embedded')")
    .message("storage.embedded must be set if and only if storage.type is Embedded").field_path(".embedded"),
    validation = Rule::new("has(self.postgres) == (self.type == 'Postgres')")
    .message("storage.postgres must be set if and only if storage.type is Postgres").field_path(".postgres"))]
pub struct Storage {
    /// Embedded: the node's own store on a volume. Postgres: a database that its owner runs. Immutable: payloads do not move.
    #[x_kube(validation = Rule::new("self == oldSelf").message("storage.type is immutable: payloads do not move"))]
    pub r#type: StorageType,
    /// The volume; set if and only if type is Embedded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedded: Option<EmbeddedStorage>,
    /// The database; set if and only if type is Postgres. A node that finds another database reports that its payload store was replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<PostgresStorage>,
}

/// The kinds of storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StorageType {
    /// The node's own store on a volume.
    Embedded,
    /// PostgreSQL.
    Postgres,
}

/// The volume of the embedded store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmbeddedStorage {
    /// The volume's size. A volume only grows; a size that it did not reach may be taken back to what status.volumes says.
    pub size: StorageSize,
    /// The volume's class; absent means the network's default or else the cluster's. Immutable once there is a volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<ObjectName>,
}

/// What a node is seen to be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TesseraNodeStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How many pods exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// How many pods are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Selects the node's pods, for the scale sub-resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Which pod template runs. Changed by the spec, never by an upgrade of the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_revision: Option<String>,
    /// Where the node is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Endpoints>,
    /// The default public key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_key: Option<String>,
    /// Every version of every key that the node has in memory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into(), "version".into()]))]
    pub keys: Vec<KeyStatus>,
    /// The certificate that was issued for the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateStatus>,
    /// The payload store on the node's volume, as the node reported it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_store: Option<PayloadStoreStatus>,
    /// The node's bound volume claims.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["claim".into()]))]
    pub volumes: Vec<VolumeStatus>,
    /// The node's pods, as they report themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub pods: Vec<PodStatus>,
    /// What checklist.mode Enforce of the network holds back; Ready says why, and what to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["field".into()]))]
    pub held: Vec<HeldChange>,
    /// What became of the images that the node got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<ImagesStatus>,
    /// The lines of the security checklist that speak of a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checklist: Option<ChecklistStatus>,
    /// The backup of the node's keys that custodians keep; absent while the network has no keyBackup and never had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_backup: Option<KeyBackupStatus>,
    /// Ready, Reconciling, Stalled, KeysReady, CertificatesServed, DataProtected, BackupCurrent, ChecklistSatisfied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Where a node is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    /// For ledger nodes.
    pub q2t: String,
    /// For other transaction managers; the URL that the node announces. A change of spec.exposure changes it once a pod runs with it.
    pub p2p: String,
    /// The addresses of the load balancer that exposure asks for, as its controller reports them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub load_balancer: Vec<String>,
}

/// The payload store on a node's volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PayloadStoreStatus {
    /// The identifier that the store was created with.
    pub id: String,
    /// Stores that the node's keys were generated with, that are not on its volume, and whose loss nobody has accepted.
    /// While there is one, the node answers 503 for a payload that it does not find. kubectl tessera accept-loss accepts it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub lost: Vec<String>,
    /// The newest format on disk that the node reads, which is the one that it writes; absent for nodes that do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<i64>,
}

/// A certificate that was issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// The serial number, in lower-case hexadecimal.
    pub serial: String,
    /// End of validity.
    pub not_after: Timestamp,
    /// SHA-256 of the certificate, in lower-case hexadecimal.
    pub issued_fingerprint: String,
}

/// A bound volume claim of the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeStatus {
    /// The claim's name.
    pub claim: String,
    /// The size that the volume has.
    pub capacity: StorageSize,
    /// The class that the volume is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub storage_class_name: Option<String>,
}

/// A pod of the node, as it reports itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    /// The pod's name.
    pub name: String,
    /// The image that runs, with its digest.
    #[serde(default, rename = "imageID", skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    /// The version that the node says it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_version: Option<String>,
    /// SHA-256 of the certificate that the node serves, in lower-case hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served_fingerprint: Option<String>,
    /// SHA-256 of each root that the node's peer-to-peer port trusts, in lower-case hexadecimal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub trust_fingerprints: Vec<String>,
    /// Since when the node knows its egress closed; absent means not examined, or open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress_closed_since: Option<Timestamp>,
}
