//! Certificates: who issues them and for how long.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::name::{Duration, Fingerprint, PartyUri};

/// Certificates: who issues them and for how long.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("duration(self.ca.lifetime) > duration(self.leaf.lifetime)")
    .message("ca.lifetime must be longer than pki.leaf.lifetime").field_path(".ca.lifetime"))]
pub struct Pki {
    /// Who issues the network's certificates.
    #[serde(default)]
    pub issuer: Issuer,
    /// The certificates of nodes, scrapers and of clients that have no policy of their own.
    #[serde(default)]
    pub leaf: LeafPolicy,
    /// The network's certificate authority.
    #[serde(default)]
    pub ca: CaPolicy,
    /// Who is known to trust a new CA, by a person's word: clients that read their roots once, and servers of others that no node
    /// can try. A rollover names whom it waits for in status.rollover.waitingFor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["identity".into()]))]
    pub acknowledge: Vec<Acknowledgement>,
}

/// A person's word that somebody trusts a CA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Acknowledgement {
    /// The identity of a client, the address of a server, or the identity of a node, whose database has the CA.
    pub identity: PartyUri,
    /// The CA, as status.cas names it.
    pub ca_fingerprint: Fingerprint,
}

/// When a client reads the CAs that it trusts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReadsTrust {
    /// Once, when it starts, as GoQuorum does. A CA that is replaced stays until somebody acknowledges that the client has
    /// started with the new one (spec.pki.acknowledge of the network).
    #[default]
    AtStart,
    /// Anew for each connection or whenever the file changes, as tessera-node connect does.
    EachTime,
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
    .message("renewBefore must be shorter than lifetime").field_path(".renewBefore"))]
pub struct LeafPolicy {
    /// How long a leaf certificate is valid.
    #[serde(default = "LeafPolicy::default_lifetime")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10m')")
        .message("lifetime must be at least 10m: a shorter one leaves no time to renew"))]
    pub lifetime: Duration,
    /// How long before its end a leaf certificate is renewed.
    #[serde(default = "LeafPolicy::default_renew_before")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('5m')")
        .message("renewBefore must be at least 5m: a kubelet takes minutes to bring a new certificate to a pod"))]
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

/// How long the network's certificate authorities live, and when they are replaced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.rolloverTrigger >= oldSelf.rolloverTrigger")
    .message("rolloverTrigger only grows: each number is met once").field_path(".rolloverTrigger"))]
pub struct CaPolicy {
    /// How long a CA certificate is valid. Read when a CA is made; an existing one keeps its end.
    #[serde(default = "CaPolicy::default_lifetime")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1h')")
        .message("lifetime must be at least 1h: a shorter one leaves no time to replace a CA"))]
    pub lifetime: Duration,
    /// How long before its end a CA is replaced by a new one with a new key; more than two thirds of its life counts as
    /// two thirds. A rollover waits for whom it must, so leave it time.
    #[serde(default = "CaPolicy::default_renew_before")]
    pub renew_before: Duration,
    /// A greater number than before demands new CAs now, by the same rollover: nobody is refused, nothing restarts. If the present
    /// CA's key is known to somebody else, use distrust.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub rollover_trigger: i64,
    /// CAs whose keys may be known to somebody else, by the SHA-256 of their certificates as in status.cas. They leave every bundle
    /// at once and sign nothing more; what they signed is refused. Clients and partners that have not read the new CA are cut
    /// off until they do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub distrust: Vec<Fingerprint>,
}

impl CaPolicy {
    fn default_lifetime() -> Duration {
        Duration::from_hours(8760)
    }

    fn default_renew_before() -> Duration {
        Duration::from_hours(2160)
    }
}

impl Default for CaPolicy {
    fn default() -> Self {
        Self {
            lifetime: Self::default_lifetime(),
            renew_before: Self::default_renew_before(),
            rollover_trigger: 0,
            distrust: Vec::new(),
        }
    }
}
