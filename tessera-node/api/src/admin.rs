//! The admin protocol: `GET /v1/status` over mTLS, JSON. Only the operator's identity under the admin CA is served.

mod logs;

use serde::{Deserialize, Serialize};

pub use crate::key_backup::{BackupStatus, RestoreState, RestoreStatus};
pub use crate::key_import::{ImportState, ImportStatus};
pub use logs::{CANARY_SECONDS, FoundInLog, LogSearchStatus, LoggingStatus};

/// The path of the status.
pub const STATUS_PATH: &str = "/v1/status";
/// The protocol that this crate describes.
pub const PROTOCOL: u32 = 1;

/// What a node says of itself. Readers ignore members that they do not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// The node's own version, for example `0.1.0`.
    pub node_version: String,
    /// The node's identity URI.
    pub identity: String,
    /// When the process started (RFC 3339).
    pub started_at: String,
    /// Whether it serves: keys in memory, database open, own valid certificate.
    pub ready: bool,
    /// What it still awaits, one short sentence each; empty when ready.
    pub awaiting: Vec<String>,
    /// The keys in memory, in configuration order, versions ascending.
    pub keys: Vec<KeyStatus>,
    /// Why versions of keys that the configuration asks for are not in memory, of a node that has others; empty in the status of
    /// older nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key_failures: Vec<String>,
    /// The keys that the configuration has an import for, in its order; empty in the status of older nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub imports: Vec<ImportStatus>,
    /// The versions that the configuration has a restore for, in its order; empty in the status of older nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restores: Vec<RestoreStatus>,
    /// The secret store as this node last saw it; absent when keys come from files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_store: Option<DependencyStatus>,
    /// The payload store.
    pub database: DependencyStatus,
    /// Which payload store it is; absent in the status of older nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_store: Option<PayloadStoreStatus>,
    /// The certificate served on P2P, Q2T and metrics.
    pub certificate: Option<CertificateStatus>,
    /// Fingerprints (SHA-256 of the DER, lower-case hex) of the roots that P2P trusts now.
    pub trust_fingerprints: Vec<String>,
    /// The certificate served on the admin port; absent in the status of older nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_certificate: Option<CertificateStatus>,
    /// The same fingerprints of the roots that the admin port trusts now; empty in the status of older nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub admin_trust_fingerprints: Vec<String>,
    /// The clients of Q2T and metrics that this process has served, sorted by identity; empty unless the node trusts more than
    /// one root, and in the status of older nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub callers: Vec<SeenCaller>,
    /// Why the newest files on disk are not in use: the certificate Secret or the dynamic configuration is bad. Empty
    /// when the newest are in use.
    pub reload_errors: Vec<String>,
    /// SHA-256 (hex) of the dynamic configuration in use; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dynamic_config_sha256: Option<String>,
    /// Since when the node knows its egress closed (RFC 3339); absent: not examined, or found open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress_closed_since: Option<String>,
    /// The URLs of the peers that this node has reached with party info, sorted.
    pub peers_reached: Vec<String>,
    /// What keeps its memory off every disk, read back now; absent in the status of older nodes, and where it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardening: Option<Hardening>,
    /// The day (UTC) of the source that the program was built from, for example `2026-11-29`; absent if the build did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built_on: Option<String>,
    /// How the node's listeners treated clients that they must not serve, when the node tried them last; absent before the
    /// first time, and in the status of older nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener_trials: Option<ListenerTrials>,
    /// How its logs reach the collector; absent in the status of older nodes, and if the network names no collector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logging: Option<LoggingStatus>,
    /// What the search of the process's own log for credentials came to; absent in the status of older nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_search: Option<LogSearchStatus>,
    /// The node's connects to what its pod must not reach, when it tried them last; absent before the first time, without an
    /// egress guard, and in the status of older nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress_trials: Option<EgressTrials>,
    /// The servers that the node shows its certificate, each as it was tried last; empty before the first time, without such
    /// servers, and in the status of older nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub server_trials: Vec<TriedServer>,
    /// The node's time when it answered (RFC 3339, with fractions of a second); absent in the status of older nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<String>,
}

/// The node's connects from its pod, over TCP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EgressTrials {
    /// When they ended (RFC 3339).
    pub tried_at: String,
    /// What it must not reach: the egress guard's address, then those that the network names.
    pub forbidden: Vec<EgressTrial>,
    /// What it must reach, tried after them: the secret store.
    pub allowed: EgressTrial,
}

/// One target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EgressTrial {
    /// `host:port`, as the configuration has it.
    pub target: String,
    /// Whether it was reached.
    pub reach: Reach,
}

/// How connects to a target ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reach {
    /// One was made.
    Reached,
    /// All were refused, or nothing answered in time.
    Failed,
    /// Neither can be said: its name was not resolved, or a connect was not sent.
    #[serde(other)]
    Unclear,
}

/// The node's trials of its own listeners, over loopback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerTrials {
    /// When they ended (RFC 3339).
    pub tried_at: String,
    /// The listeners, in the order in which they were bound.
    pub listeners: Vec<TriedListener>,
}

/// [`TriedServer::name`] of the secret store.
pub const SECRET_STORE: &str = "secret store";
/// [`TriedServer::name`] of the collector of logs.
pub const COLLECTOR: &str = "collector";

/// [`TriedServer::name`] of the database of payloads.
pub const DATABASE: &str = "database";

/// [`TriedServer::name`] of the servers of a partner.
pub fn partner_server(partner: &str) -> String {
    format!("partner {partner}")
}

/// A server that the node depends on and shows its certificate, and the node's trials of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TriedServer {
    /// [`SECRET_STORE`], [`COLLECTOR`], [`DATABASE`] or [`partner_server`]. A partner's servers are tried only while certificates of authorities are
    /// shown with the node's own, and only with [`Shown::OwnAlone`].
    pub name: String,
    /// Its URL, as the node's configuration has it; of a database the hosts of the connection string, `host:port` each.
    pub address: String,
    /// When the trials ended (RFC 3339).
    pub tried_at: String,
    /// What was tried, in order.
    pub trials: Vec<Trial>,
}

/// One listener and its trials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TriedListener {
    /// `admin`, `metrics`, `P2P` or `Q2T`.
    pub name: String,
    /// What was tried, in order.
    pub trials: Vec<Trial>,
}

/// One connect to a listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trial {
    /// What the client showed.
    pub shown: Shown,
    /// How the listener treated it.
    pub outcome: Outcome,
    /// Why the outcome is unclear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What a client shows to a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shown {
    /// HTTP without TLS.
    Plain,
    /// TLS without a certificate.
    NoCertificate,
    /// A certificate of a CA that nobody trusts.
    ForeignCA,
    /// A certificate of the right CA, past its end.
    Expired,
    /// The node's own certificate, with those of authorities that it shows to everybody.
    Own,
    /// The node's own certificate alone: who serves it trusts the authority that signed it, and not only the one before.
    OwnAlone,
    /// What this version does not know.
    #[serde(other)]
    Other,
}

/// How a listener treats a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Refused, for the reason that belongs to what the client showed.
    Refused,
    /// Served.
    Served,
    /// Neither can be said.
    #[serde(other)]
    Unclear,
}

/// What keeps the memory of a process off every disk, as the kernel has it now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hardening {
    /// The soft limit of a core file, in bytes; absent: unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub core_soft_limit: Option<u64>,
    /// The hard limit of a core file, in bytes; absent: unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub core_hard_limit: Option<u64>,
    /// Whether the kernel may dump the process, or let others of its user read its memory.
    pub dumpable: bool,
    /// How much of its memory is locked, in KiB: never swapped.
    pub locked_kib: u64,
    /// How much swap its memory may go to, in KiB; 0 if the machine has none or its control group may use none.
    pub swap_kib: u64,
    /// Where the kernel puts core dumps: a file, or a program after `|`.
    pub core_pattern: String,
}

/// One version of one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyStatus {
    /// The key's name.
    pub name: String,
    /// Its version, from 1.
    pub version: u32,
    /// The public key in base64.
    pub public_key: String,
    /// What it is used for.
    pub state: KeyState,
    /// Whether it was imported, as stamped in the secret store.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub imported: bool,
    /// When it was generated or imported (RFC 3339), as stamped in the secret store; absent for a key from a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub born_at: Option<String>,
    /// Where it lies in the secret store: `<mount>/<path>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_path: Option<String>,
    /// The `rotation.trigger` that it answers, as stamped in the secret store; absent for a key from a file, and in the status
    /// of older nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<u32>,
    /// When this process last accepted a push for it (RFC 3339), while it was not the default; absent: it accepted none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_pushed_at: Option<String>,
    /// Whether the payload that the node sealed to itself when it generated the key can be read; absent for keys that were
    /// generated without one, before the first time, and in the status of older nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<SampleStatus>,
    /// To whom it is sealed as a backup; absent: to nobody, for a key from a file, and in the status of older nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupStatus>,
    /// Other replicas of the node that live and have not loaded it, by the names of their pods: it is neither default nor advertised
    /// until they have. Empty in the status of older nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<String>,
}

/// A read of the sample payload of a key: sealed by the key to itself when the node generated it, and kept in the payload store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SampleStatus {
    /// How it ended.
    pub outcome: SampleOutcome,
    /// When (RFC 3339).
    pub read_at: String,
}

/// How the read of a sample ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SampleOutcome {
    /// It was found, opened, and says what was sealed.
    Read,
    /// It was kept on another volume than the node has now.
    OtherVolume,
    /// The payload store, which is the one that it was kept in, says that it is not there.
    Missing,
    /// It is there, and the key does not open it.
    NotOpened,
    /// The payload store could not say, or it is an outcome that this version does not know.
    #[serde(other)]
    Unclear,
}

/// What a key is used for. A key that a stored payload needs is never destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyState {
    /// New sends without `from` use it; advertised.
    Default,
    /// Advertised, accepts pushes, may be named in `from`.
    Receiving,
    /// Not advertised, refuses pushes and sends; still reads what it has received.
    Archived,
}

/// Something that the node depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DependencyStatus {
    /// Whether its last use succeeded; of the payload store, whether it has refused nothing for a minute.
    pub available: bool,
    /// Why not, without any secret; when available, what a person should look at, mostly nothing.
    pub message: String,
    /// Since when it is so (RFC 3339).
    pub since: String,
}

/// The identity of the payload store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PayloadStoreStatus {
    /// The identifier of the store on the node's volume.
    pub id: String,
    /// Stores that the node's keys name, that are not here, and whose loss nobody has accepted. While there is one, a
    /// payload that is not found is answered with 503.
    pub lost: Vec<String>,
    /// The format that the node writes, which is the newest that it reads; absent in the status of older nodes, of which each
    /// writes and reads format 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<u32>,
}

/// A certificate in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// Serial number, lower-case hex.
    pub serial: String,
    /// End of validity (RFC 3339).
    pub not_after: String,
    /// SHA-256 of the DER, lower-case hex.
    pub fingerprint: String,
    /// The name of the authority that signed it, as it stands in the certificate, for example `CN=org-a network CA`; absent in
    /// the status of older nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Whether certificates of authorities are shown with it.
    #[serde(default)]
    pub chained: bool,
}

/// A client of Q2T or metrics, by the certificates that it showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenCaller {
    /// Its identity URI.
    pub identity: String,
    /// The issuer of the certificate in its last handshake, as in [`CertificateStatus::issuer`].
    pub issuer: String,
    /// The issuers of the certificates of its connections that are open now, sorted, each once.
    pub open: Vec<String>,
}
