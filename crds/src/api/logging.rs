//! Where the logs of a network's nodes go, beside their standard output.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::name::HttpsUrl;
use super::peer::EgressRule;
use super::secret_store::CaBundleRef;

/// Where the logs of a network's nodes go, beside their standard output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Logging {
    /// A collector that speaks OTLP over HTTP and mutual TLS.
    pub otlp: OtlpCollector,
}

/// A collector that speaks OTLP over HTTP and mutual TLS. Each node shows the certificate that the network's CA issued to it,
/// so the collector must trust that CA (ConfigMap <network>-ca, key ca.crt) for clients. There is no field for another
/// certificate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OtlpCollector {
    /// The collector's URL, https only. Log records are posted to /v1/logs under it. That the collector accepts a record is
    /// no proof that it stores it.
    pub endpoint: HttpsUrl,
    /// The certificates that the collector's own certificate must chain to.
    pub ca_bundle_ref: CaBundleRef,
    /// Where the collector lies, as a NetworkPolicy can say it. The nodes may reach exactly that for their logs.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub egress: Vec<EgressRule>,
}
