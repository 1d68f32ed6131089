//! Other organisations that a network exchanges transactions with.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::name::{DnsPattern, Fingerprint, HttpsUrl, Name, Timestamp, TrustDomain};
use super::peer::{EgressRule, IngressPeer};
use super::secret_store::CaBundleRef;

/// Another organisation that the network exchanges transactions with. Its CAs are trusted on P2P alone, and there for its own
/// names alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
// A look-up in the list is cheap; a comparison with each name exceeds the cost budget.
#[x_kube(validation = Rule::new(
    "!has(self.urls) || self.urls.all(u, u.split(':')[1].substring(2) in self.dnsNames \
     || (u.contains('.') && ('*' + u.substring(u.indexOf('.')).split(':')[0]) in self.dnsNames))")
    .message("urls must have hosts inside of dnsNames").field_path(".urls"))]
pub struct Partner {
    /// The partner's name, as the status and the nodes' reports have it.
    pub name: Name,
    /// The SPIFFE trust domain of the partner. A certificate with a SPIFFE URI of another one is refused; a certificate without such
    /// a URI speaks for its DNS names.
    pub trust_domain: TrustDomain,
    /// The partner's certificate authorities. While the ConfigMap is missing or unusable, this partner alone is cut off.
    pub ca_bundle_ref: CaBundleRef,
    /// The DNS names that the partner's certificates may speak for: exact names, or *. before a name for exactly one more label. A
    /// certificate needs one of them, and its other names count for nothing. No name may be ours or another partner's.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub dns_names: Vec<DnsPattern>,
    /// The partner's nodes that ours announce themselves to, https only, with hosts inside of dnsNames. Other nodes of the partner
    /// are heard of when they announce themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub urls: Vec<HttpsUrl>,
    /// Where the partner's nodes lie, as a NetworkPolicy can say it. Our nodes may reach exactly that for this partner.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub egress: Vec<EgressRule>,
    /// Where the partner's nodes connect from: who may reach the P2P port of our nodes. Empty: nobody of theirs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub from: Vec<IngressPeer>,
    /// The CA of ours that the partner says to trust, as status.cas names it. A rollover of our CA waits until each partner's urls
    /// were seen to trust the new one, or for this. It serves one rollover.
    #[serde(rename = "acknowledgedCA", default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_ca: Option<Fingerprint>,
}

/// What a partner is seen to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PartnerStatus {
    /// The partner's name.
    pub name: String,
    /// Whether its certificates are accepted. A bundle that cannot be used, or a name that is not the partner's alone, disables it.
    pub accepted: bool,
    /// Why it is not accepted, or not with all of its names, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Its certificate authorities, in the order of its bundle; the first 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub cas: Vec<PartnerCa>,
    /// Those of its urls that all of our nodes that run have reached, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub reached: Vec<String>,
    /// Those that one of our nodes does not reach, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub unreached: Vec<String>,
}

/// A certificate authority of a partner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PartnerCa {
    /// SHA-256 of its certificate, in lower-case hexadecimal.
    pub fingerprint: String,
    /// End of validity.
    pub not_after: Timestamp,
}
