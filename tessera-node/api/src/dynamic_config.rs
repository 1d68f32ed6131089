//! What may change under a running node: peers, clients, keys. The node reloads the file when it changes, keeps the last
//! valid one when the new one is bad, and reports in its status which generation it runs.

use serde::{Deserialize, Serialize};

pub use crate::key_backup::{BackupRecipient, KeyBackup, KeyRestore};
pub use crate::key_import::KeyImport;

/// The version of this document.
pub const VERSION: u32 = 1;

/// The dynamic configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DynamicConfig {
    /// [`VERSION`].
    pub version: u32,
    /// P2P URLs to poll, besides those of the network's [`PeerList`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<Peer>,
    /// The clients that Q2T serves, by their identity URI. Sorted.
    pub clients: Vec<String>,
    /// The scrapers that the metrics port serves, by their identity URI. Sorted.
    pub monitoring: Vec<String>,
    /// The keys that exist, in the order of the TesseraNode. Exactly one is the default.
    pub keys: Vec<Key>,
    /// The payload store that a person accepted as the successor of lost ones, by its identifier; absent: none. It has
    /// an effect on the node with that store only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_payload_store: Option<String>,
    /// How often the node tries its own listeners and its egress, in seconds; absent: [`PROBE_EVERY_SECONDS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_every_seconds: Option<u32>,
    /// To whom the node seals backups of its keys; absent: to nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_backup: Option<KeyBackup>,
}

/// How often a node tries its own listeners, unless its configuration says otherwise.
pub const PROBE_EVERY_SECONDS: u32 = 900;

/// The nodes of the network, in a file of its own beside the dynamic configuration: one object for all of them, so that a
/// node that comes or goes changes one object and not one for each node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PeerList {
    /// [`VERSION`].
    pub version: u32,
    /// The P2P URLs of all nodes of the network; a node skips its own. Sorted.
    pub peers: Vec<Peer>,
}

/// Where the nodes of the network ship their logs, in a file of its own beside the list of peers; absent: nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Logging {
    /// [`VERSION`].
    pub version: u32,
    /// The collector's base URL, for example `https://otel.logs.svc:4318`. Records go to `/v1/logs` under it.
    pub endpoint: String,
    /// The certificates, in PEM, that the collector's own certificate must chain to. Empty: there are none yet, and nothing
    /// is shipped.
    pub ca_bundle: String,
}

/// What the nodes of the network must not reach, in a file of its own beside the list of peers; absent: nothing but what the
/// egress guard has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Egress {
    /// [`VERSION`].
    pub version: u32,
    /// Addresses with ports, at most [`MAX_MUST_NOT_REACH`].
    pub must_not_reach: Vec<String>,
}

/// More targets of one node are refused: it tries them all at once.
pub const MAX_MUST_NOT_REACH: usize = 32;

/// The other organisations that the nodes of the network exchange transactions with, in a file of its own beside the list of
/// peers; absent: none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Partners {
    /// [`VERSION`].
    pub version: u32,
    /// Sorted by name, at most [`MAX_PARTNERS`]. No two have a trust domain or a DNS name in common.
    pub partners: Vec<Partner>,
}

/// Another organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Partner {
    /// Its name in the TesseraNetwork.
    pub name: String,
    /// Its SPIFFE trust domain, for example `org-b.example`.
    pub trust_domain: String,
    /// The names that its certificate authorities may speak for, as in [`crate::dns_scope`]; 1 to [`MAX_PARTNER_NAMES`].
    pub dns_names: Vec<String>,
    /// P2P URLs to poll, of hosts inside `dns_names`; at most [`MAX_PARTNER_URLS`].
    pub urls: Vec<String>,
    /// Its certificate authorities, in PEM, at most [`MAX_BUNDLE_BYTES`]. A bundle that cannot be used disables this partner alone.
    pub ca_bundle: String,
}

/// Partners of one network.
pub const MAX_PARTNERS: usize = 64;
/// Entries of one partner's `dnsNames`.
pub const MAX_PARTNER_NAMES: usize = 16;
/// URLs of one partner.
pub const MAX_PARTNER_URLS: usize = 64;
/// Of one partner's bundle: those of all partners fit in one ConfigMap.
pub const MAX_BUNDLE_BYTES: usize = 12 << 10;

/// Another transaction manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Peer {
    /// Its advertised P2P URL, for example `https://node-b-p2p.org-a.svc:9000/`.
    pub url: String,
}

/// One named key. The node makes the versions that do not exist yet; it never removes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Key {
    /// Its name in the TesseraNode.
    pub name: String,
    /// How many versions there are: 1 at birth, one more with each rotation. The newest version of the default key is
    /// the default for new sends; all others still receive.
    pub versions: u32,
    /// Whether requests without `from` use it.
    pub default: bool,
    /// Versions that are archived: not advertised, no sends, no pushes; they still read what they have received. Ascending. The
    /// newest version of the default key is never archived, whatever stands here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub archived: Vec<u32>,
    /// The `rotation.trigger` that version `versions` answers; each version before it answers one less. It is stored beside a
    /// version that is generated, so that versions by schedule differ from those that a person asked for. Absent:
    /// `versions - 1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<u32>,
    /// Where version 1 comes from: the node never generates that version. Absent: the node generates it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<KeyImport>,
    /// The versions that custodians bring back: the node never generates those. Absent: there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<KeyRestore>,
}

impl Key {
    /// The `rotation.trigger` that a version answers if it is generated now.
    pub fn trigger_of(&self, version: u32) -> u32 {
        let newest = self.trigger.unwrap_or(self.versions.saturating_sub(1));
        newest.saturating_sub(self.versions.saturating_sub(version))
    }
}
