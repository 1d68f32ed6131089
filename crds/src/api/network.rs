//! TesseraNetwork: one trust domain, an organisation's part in a consortium.

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::checklist::{Checklist, ChecklistStatus, HeldChange};
use super::key_backup::KeyBackup;
use super::logging::Logging;
use super::name::{Duration, ImageDigest, Name, ObjectName, Timestamp, TrustDomain};
use super::partner::{Partner, PartnerStatus};
use super::peer::IngressPeer;
use super::pki::{Pki, ReadsTrust};
use super::pod::PodSettings;
use super::secret_store::SecretStore;
use super::{rules, schema};

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
    validation = rules::object_name_rule(),
    validation = rules::reserved_name_rule(),
    validation = rules::trust_domain_rule(),
    validation = rules::key_location_rule(),
    validation = rules::partner_domain_rule(),
    validation = rules::partner_names_rule(),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#, description = "Whether all nodes of the network serve."),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#, description = "Why the network is ready or not."),
    printcolumn(name = "Nodes", type_ = "integer", json_path = ".status.nodes.total", description = "All nodes of the network."),
    printcolumn(name = "Nodes-Ready", type_ = "integer", json_path = ".status.nodes.ready", description = "The nodes that are ready."),
    // A string, since the type `date` is shown as an age and a future time as <invalid>.
    printcolumn(name = "CA-Expires", type_ = "string", json_path = r#".status.cas[?(@.role=="Network")].notAfter"#, description = "End of validity of the network's CA."),
    printcolumn(name = "Checklist", type_ = "string", json_path = ".status.checklist.summary", description = "How many of the checklist's lines are satisfied."),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "Time since the network was made."),
    printcolumn(name = "Issuer", type_ = "string", json_path = ".spec.pki.issuer.type", description = "Who issues certificates.", priority = 1),
    printcolumn(name = "Store", type_ = "string", json_path = ".spec.secretStore.type", description = "Where keys are kept.", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct TesseraNetworkSpec {
    /// The SPIFFE trust domain of every certificate in this network, for example org-a.example. Immutable while the network
    /// has nodes: identities are made of it.
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

    /// Other organisations that the network exchanges transactions with. A change restarts no node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub partners: Vec<Partner>,

    /// Who may scrape the metrics of the network's nodes. A certificate is issued for each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub monitoring: Vec<Scraper>,

    /// Tessera's privacy features that a ledger asks for. A node may say otherwise.
    #[serde(default)]
    pub privacy: Privacy,

    /// What nodes use where they do not say otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_defaults: Option<NodeDefaults>,

    /// How changes reach the nodes that serve.
    #[serde(default)]
    pub rollout: Rollout,

    /// Where the nodes' logs go, beside their standard output; absent: nowhere. A change restarts no node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logging: Option<Logging>,

    /// Who keeps backups of the nodes' keys offline; absent: nobody. A change restarts no node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_backup: Option<KeyBackup>,

    /// What the security checklist demands, where there is a choice.
    #[serde(default)]
    pub checklist: Checklist,
}

/// Tessera's privacy features that a ledger asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Privacy {
    /// True accepts the privacy flags 1, 2 and 3 (party protection, mandatory recipients, private state validation). All
    /// nodes that share transactions need the same value.
    #[serde(default)]
    pub enhancements: bool,
}

/// How changes reach the nodes that serve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// How many nodes of the network may be without a ready pod while a change goes out: a number, or a percentage of the
    /// network's nodes (rounded down, but at least one).
    #[serde(default = "Rollout::default_max_unavailable")]
    #[schemars(schema_with = "schema::max_unavailable")]
    pub max_unavailable: IntOrString,
    /// How long the first node of the network to run another image must be ready before other nodes that serve get that image.
    #[serde(default = "Rollout::default_observe")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('24h')")
        .message("observe must be 1s to 24h"))]
    pub observe: Duration,
    /// How long a node may take to become ready with another image, before it gets back the one with which it served.
    #[serde(default = "Rollout::default_progress_deadline")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('30s') && duration(self) <= duration('24h')")
        .message("progressDeadline must be 30s to 24h"))]
    pub progress_deadline: Duration,
    /// False leaves a node with an image that does not become ready, for a person to look at.
    #[serde(default = "Rollout::default_auto_rollback")]
    pub auto_rollback: bool,
}

impl Rollout {
    fn default_max_unavailable() -> IntOrString {
        IntOrString::Int(1)
    }

    fn default_observe() -> Duration {
        Duration::from_mins(2)
    }

    fn default_progress_deadline() -> Duration {
        Duration::from_mins(10)
    }

    fn default_auto_rollback() -> bool {
        true
    }

    /// How many of `nodes` nodes may be without a ready pod at a time; at least one.
    pub fn budget(&self, nodes: usize) -> usize {
        let allowed = match &self.max_unavailable {
            IntOrString::Int(number) => usize::try_from(*number).unwrap_or(1),
            // Admission lets through 1% to 100%.
            IntOrString::String(text) => {
                text.trim_end_matches('%').parse::<usize>().map_or(1, |percent| nodes * percent / 100)
            }
        };
        allowed.max(1)
    }
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            max_unavailable: Self::default_max_unavailable(),
            observe: Self::default_observe(),
            progress_deadline: Self::default_progress_deadline(),
            auto_rollback: Self::default_auto_rollback(),
        }
    }
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

/// A scraper of metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Scraper {
    /// The scraper's name; its certificate is in the Secret <network>-monitoring-<name>.
    pub name: Name,
    /// Where the scraper connects from.
    pub from: IngressPeer,
    /// When the scraper reads the CAs that it trusts: AtStart (default) or EachTime.
    #[serde(default)]
    pub reads_trust: ReadsTrust,
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
    /// What is added to the pods.
    #[serde(default)]
    pub pod: PodSettings,
}

/// What was read about a network's secret store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretStoreStatus {
    /// SHA-256 of the CA bundle that vault.caBundleRef leads to, in hexadecimal. Its change is an Event: nodes go on with the
    /// bundle that they have for as long as that verifies the store.
    pub ca_bundle_sha256: String,
}

/// What a network is seen to be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TesseraNetworkStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The name of this cluster. With the network's namespace and name it stands on the keys in the secret store, and a node
    /// uses no keys with another name on them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
    /// How many nodes the network has and how many of them are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<NodeCounts>,
    /// The certificate authorities of the network: one for each role, and while one is replaced both.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["fingerprint".into()]))]
    pub cas: Vec<CaStatus>,
    /// The change of a certificate authority that is under way; absent: none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollover: Option<RolloverStatus>,
    /// The partners, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub partners: Vec<PartnerStatus>,
    /// What was read about the secret store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_store: Option<SecretStoreStatus>,
    /// The ConfigMap of this namespace that holds the public bundle for ledger nodes, under ca.crt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_config_map: Option<String>,
    /// The security checklist of the network and all of its nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checklist: Option<ChecklistStatus>,
    /// What checklist.mode Enforce holds back of the network itself: new partners, more names of a partner, new scrapers. Ready says
    /// why, and what to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["field".into()]))]
    pub held: Vec<HeldChange>,
    /// Ready, Reconciling, Stalled, CertificatesCurrent, SecretStoreReady, AuthorityReplaced, PartnersAccepted, ChecklistSatisfied.
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
}

/// One certificate authority of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaStatus {
    /// SHA-256 of the CA's certificate, in lower-case hexadecimal.
    pub fingerprint: String,
    /// What the CA is for.
    pub role: CaRole,
    /// Whether it signs now, will, or did. Absent in what an older operator wrote: it signs.
    #[serde(default)]
    pub state: CaUse,
    /// End of validity.
    pub not_after: Timestamp,
}

/// What a certificate authority does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CaUse {
    /// It signs.
    #[default]
    Current,
    /// It signs next; everybody is to trust it before.
    Next,
    /// It signs only the certificate of the CA after it, for those who do not trust that one yet.
    Retiring,
}

/// A change of certificate authority. The truth is a Secret of the operator; this is what it shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloverStatus {
    /// How far it is; of the network's two authorities, the one that is less far.
    pub phase: RolloverPhase,
    /// Since when it is so.
    pub since: Timestamp,
    /// The spec.pki.ca.rolloverTrigger that it serves.
    pub trigger: i64,
    /// Whom the phase waits for and what is missing; the first 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub waiting_for: Vec<String>,
    /// How many it waits for.
    pub waiting: i32,
}

/// How far a change of certificate authority is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum RolloverPhase {
    /// The old CA signs; everybody learns to trust the new one as well.
    Trusting,
    /// The new CA signs; its leaves are shown with a certificate by which those who trust only the old CA accept them.
    Reissuing,
    /// Nodes trust the new CA alone. The old one goes when all others are known to trust the new one.
    Retiring,
}

/// What a certificate authority is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CaRole {
    /// Certificates of nodes, clients and scrapers.
    Network,
    /// Certificates of the nodes' admin ports; only the operator trusts it.
    Admin,
}
