//! What a process says of its logs: whether a collector has them, and whether they hold credentials.

use serde::{Deserialize, Serialize};

/// How often a node sends the collector of logs its canary record.
pub const CANARY_SECONDS: u32 = 60;

/// How a node's logs reach the collector. A collector that accepts a record has not said that it stores it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoggingStatus {
    /// The collector's base URL, as the node's configuration has it.
    pub endpoint: String,
    /// Since when the node ships there (RFC 3339).
    pub since: String,
    /// When the collector last accepted the node's canary record (RFC 3339): status 2xx, and none rejected. One is sent each
    /// [`CANARY_SECONDS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<String>,
    /// How many records the collector has rejected since the process started.
    pub rejected: u64,
    /// How many records the node has dropped since the process started: its buffer was full, or retries were used up.
    pub dropped: u64,
    /// When a record was last rejected or dropped (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_at: Option<String>,
    /// Why records do not reach the collector now. The same failure gives the same text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What the search of a process's own log for credentials came to, since the process started. Each line is searched before it is
/// written to standard output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogSearchStatus {
    /// How many rules search each line, names of peers and callers aside; absent: no line was written yet, a line of the last hour
    /// was too long to be searched whole, or the rules did not find the credential that is shown to them as a control.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<usize>,
    /// What was found: of each place once, sorted, at most 16, the newest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<FoundInLog>,
}

/// A credential in a log: where, never the credential.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundInLog {
    /// The rule that found it.
    pub rule: String,
    /// The module that wrote the line.
    pub target: String,
    /// When it did so last (RFC 3339).
    pub last_at: String,
}
