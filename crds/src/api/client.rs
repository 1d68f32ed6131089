//! The ledger nodes that may use a node, and their certificates.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::name::{Duration, Name, NamespaceName};
use super::peer::IngressPeer;
use super::pki::{LeafPolicy, ReadsTrust};

/// A ledger node that may use a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Client {
    /// The client's name; its certificate is in the Secret <node>-client-<name>, of certificate.secretNamespace.
    pub name: Name,
    /// Where the client connects from.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub from: Vec<IngressPeer>,
    /// When the client reads the CAs that it trusts: AtStart (default) or EachTime.
    #[serde(default)]
    pub reads_trust: ReadsTrust,
    /// What is particular to the client's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<ClientCertificate>,
}

/// What is particular to a client's certificate.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.lifetime) == has(self.renewBefore)")
        .message("lifetime and renewBefore must be set together, or neither: then they are the network's"),
    validation = Rule::new("!has(self.lifetime) || !has(self.renewBefore) || duration(self.renewBefore) < duration(self.lifetime)")
        .message("renewBefore must be shorter than lifetime").field_path(".renewBefore")
)]
pub struct ClientCertificate {
    /// How long it is valid; absent means as long as the network's leaves. For clients that cannot load a new certificate by
    /// themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10m')")
        .message("lifetime must be at least 10m: a shorter one leaves no time to renew"))]
    pub lifetime: Option<Duration>,
    /// How long before its end it is renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('5m')")
        .message("renewBefore must be at least 5m: a kubelet takes minutes to bring a new certificate to a pod"))]
    pub renew_before: Option<Duration>,
    /// The namespace of the Secret; absent means the node's own. Who reads Secrets there uses the node as this client does, so
    /// keep a ledger's certificate where the ledger is. The chart's value clientNamespaces says which namespaces may be named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_namespace: Option<NamespaceName>,
}

impl ClientCertificate {
    /// How long the certificate lives in a network whose leaves live as `network` says.
    pub fn policy(&self, network: &LeafPolicy) -> LeafPolicy {
        LeafPolicy {
            lifetime: self.lifetime.clone().unwrap_or_else(|| network.lifetime.clone()),
            renew_before: self.renew_before.clone().unwrap_or_else(|| network.renew_before.clone()),
        }
    }
}
