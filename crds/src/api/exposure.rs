//! How a node is reached by other organisations.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::name::{AdvertisedUrl, Cidr, LoadBalancerClass};
use super::schema;

/// How a node is reached from outside of the cluster. Ledgers never are: only the port for other transaction managers is exposed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.loadBalancer) == (self.type == 'LoadBalancer')")
    .message("exposure.loadBalancer must be set if and only if exposure.type is LoadBalancer").field_path(".loadBalancer"))]
pub struct Exposure {
    /// ClusterOnly (default): by the cluster's own pods. LoadBalancer: also by partners, through a Service of that type.
    #[serde(default)]
    pub r#type: ExposureType,
    /// The load balancer; set if and only if type is LoadBalancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<LoadBalancer>,
}

/// The kinds of exposure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ExposureType {
    /// By pods of the cluster.
    #[default]
    ClusterOnly,
    /// Also by partners.
    LoadBalancer,
}

/// A load balancer that passes TCP on as it is: TLS ends in the node, which sees the partner's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "has(self.class) == has(oldSelf.class) && (!has(self.class) || self.class == oldSelf.class)")
    .message("class cannot be changed: set exposure.type to ClusterOnly first, and then to LoadBalancer again").field_path(".class"))]
pub struct LoadBalancer {
    /// The address that the node announces to all others, for which you make a DNS record: https://host or https://host:port, with a
    /// host of yours. The node's certificate is made for it, and the load balancer listens on its port. A change restarts the node. No
    /// two nodes have the same, and the host is none of a partner's dnsNames.
    #[serde(rename = "advertisedURL")]
    pub advertised_url: AdvertisedUrl,
    /// Where partners connect from. The NetworkPolicy of the node lets in these addresses, as its machine sees them.
    #[serde(rename = "sourceCIDRs")]
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.all(cidr, !cidr.matches('/[0-7]$'))")
            .message("sourceCIDRs must be ranges of /8 or smaller: name those that partners connect from"),
    )]
    pub source_cidrs: Vec<Cidr>,
    /// Which of several load balancer controllers takes it (the Service's loadBalancerClass); absent means the cluster's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<LoadBalancerClass>,
    /// Annotations of the Service, as the load balancer's controller or a DNS controller reads them; those that you take away here go
    /// from the Service. None may make the load balancer end TLS: partners would be refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::service_annotations")]
    pub annotations: BTreeMap<String, String>,
}

impl Exposure {
    /// The load balancer, if one is asked for.
    pub fn asked(&self) -> Option<&LoadBalancer> {
        self.load_balancer.as_ref().filter(|_| self.r#type == ExposureType::LoadBalancer)
    }
}
