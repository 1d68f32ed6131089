//! Certificates: who issues them and for how long.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::name::Duration;

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

/// How long the network's certificate authority lives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaPolicy {
    /// How long the CA certificate is valid. Read when a CA is made; an existing one keeps its end. The default is ten
    /// years, since this version cannot replace a CA that ends.
    #[serde(default = "CaPolicy::default_lifetime")]
    pub lifetime: Duration,
}

impl CaPolicy {
    fn default_lifetime() -> Duration {
        Duration::from_hours(87_600)
    }
}

impl Default for CaPolicy {
    fn default() -> Self {
        Self { lifetime: Self::default_lifetime() }
    }
}
