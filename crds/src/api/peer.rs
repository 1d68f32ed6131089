//! Who may connect to us and whom we may connect to, as a NetworkPolicy can say it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::name::Cidr;
use super::schema;

/// Pods or addresses that may connect.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.ipBlock) != (has(self.podSelector) || has(self.namespaceSelector))")
    .message("a peer needs either ipBlock, or podSelector, namespaceSelector or both"))]
pub struct IngressPeer {
    /// Addresses outside the cluster; excludes the selectors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_block: Option<IpBlock>,
    /// The namespaces of the pods; absent means this namespace, an empty selector all namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::label_selector")]
    pub namespace_selector: Option<LabelSelector>,
    /// The pods; absent or empty means all pods of the selected namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::label_selector")]
    pub pod_selector: Option<LabelSelector>,
}

/// A range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IpBlock {
    /// The range in CIDR notation.
    pub cidr: Cidr,
}

/// An endpoint outside our pods that we may connect to. A NetworkPolicy knows no host names, so it is said by selectors
/// or by addresses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.cidr) != (has(self.podSelector) || has(self.namespaceSelector))")
    .message("an egress rule needs either cidr, or podSelector and namespaceSelector, not both"))]
pub struct EgressRule {
    /// Addresses, for an endpoint outside the cluster; excludes the selectors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cidr: Option<Cidr>,
    /// The namespaces of the endpoint's pods; absent means this namespace, an empty selector all namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::label_selector")]
    pub namespace_selector: Option<LabelSelector>,
    /// The endpoint's pods; absent or empty means all pods of the selected namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::label_selector")]
    pub pod_selector: Option<LabelSelector>,
    /// The TCP port of the endpoint's pods or addresses (not of a Service before them).
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
}
