//! The checklist: fourteen lines, each with its result, the evidence for it, and what to do where it does not hold.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};

use super::name::{AddressAndPort, Duration, Timestamp};

/// A line of the security checklist, in the checklist's order.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    Display,
    IntoStaticStr,
    VariantArray,
)]
pub enum Line {
    /// Nodes run in an independent network segment.
    NetworkSegment,
    /// Every dependency is authenticated with certificates, both ways.
    MutualTls,
    /// Encryption keys live in HSM-class storage.
    HardwareKeys,
    /// The secret store supports the rotation of keys, and keys are rotated.
    KeyRotation,
    /// Encryption keys are backed up in offline, secured locations.
    OfflineKeyBackup,
    /// The secret store is isolated from external networks.
    SecretStoreIsolation,
    /// No credential and no connection string lies in clear text in configuration.
    NoClearTextCredentials,
    /// The secret store serves nobody else.
    SecretStoreTenancy,
    /// Traffic in and out is limited to the services used, DNS and time included.
    HostFirewall,
    /// The secret store is reachable from allow-listed addresses only, and asks people for a second factor.
    SecretStoreAccess,
    /// No remote root access to the hosts of nodes and secret store.
    NoRemoteRoot,
    /// Logs of nodes and their dependencies are kept remotely, in one place.
    CentralLogging,
    /// No core dumps.
    NoCoreDumps,
    /// Upgrades are immutable and frequent.
    ImmutableUpgrades,
}

impl Line {
    /// All of them, in the checklist's order.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The lines of which a person may state that they hold, for machines that a cluster does not see.
    pub const ATTESTABLE: [Self; 4] =
        [Self::SecretStoreTenancy, Self::HostFirewall, Self::NoRemoteRoot, Self::NoCoreDumps];

    /// The id, as it stands in status, metrics and documents.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What can be said of a line. The order is that of severity: of several parts the worst counts, and it comes first.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    Display,
    IntoStaticStr,
    VariantArray,
)]
pub enum LineResult {
    /// It was observed not to hold.
    Violated,
    /// It could not be observed, or the evidence is too old.
    Unknown,
    /// A person states it, for a time; only of what a cluster cannot see.
    Attested,
    /// The objects that bring it about are in place; that they do was not observed.
    Enforced,
    /// It was observed, by something that could have come out otherwise.
    Verified,
}

impl LineResult {
    /// All of them, the worst first.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// Whether the line counts as satisfied.
    pub fn is_satisfied(self) -> bool {
        self >= Self::Attested
    }

    /// The result, as it stands in status, metrics and documents.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Who observed a line.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    Display,
    IntoStaticStr,
)]
pub enum Observer {
    /// The node, of itself.
    Node,
    /// The operator, by trying it.
    Operator,
    /// The API server, by its objects.
    ApiServer,
    /// Nobody: a person states it.
    Person,
    /// The secret store, of itself.
    Store,
}

/// One line of the checklist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct LineStatus {
    /// Which line.
    pub id: Line,
    /// Verified: observed. Enforced: the objects are in place. Attested: stated by a person. Violated: observed not to hold.
    /// Unknown: none of these.
    pub result: LineResult,
    /// Why, in one word.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// Who observed it; absent if nobody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observer: Option<Observer>,
    /// What was observed, or why nothing was.
    #[schemars(length(max = 1024))]
    pub observed: String,
    /// What a person can do about it; absent if nothing is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub remedy: Option<String>,
    /// The parts of a line that speaks of hosts; the worst of them is the line's result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub parts: Vec<LinePart>,
    /// The statement that accepts the violation; absent: nobody accepts it, or there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception: Option<LineException>,
    /// Since when the result is this one.
    pub last_transition_time: Timestamp,
    /// Past this time the evidence is too old, and the line counts as Unknown; absent: it does not grow old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
}

impl LineStatus {
    /// The result for a reader at `now`: Unknown, once the evidence is too old.
    pub fn result_at(&self, now: jiff::Timestamp) -> LineResult {
        match self.valid_until.as_deref().map(str::parse::<jiff::Timestamp>) {
            None => self.result,
            Some(Ok(end)) if now <= end => self.result,
            // What cannot be read proves nothing.
            Some(_) => LineResult::Unknown,
        }
    }
}

impl LineStatus {
    /// Whether nothing is to be done: the line is satisfied, or a person accepts that it is not.
    pub fn is_settled(&self) -> bool {
        self.result.is_satisfied() || self.exception.is_some()
    }
}

/// A person's acceptance of a violation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LineException {
    /// The TesseraAttestation.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Who accepts it.
    #[schemars(length(max = 256))]
    pub by: String,
    /// Until when.
    pub expires: Timestamp,
}

/// Whom a part of a line speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Display)]
pub enum PartName {
    /// The node's pods.
    Pod,
    /// The machines that they run on.
    Host,
    /// The machines of the secret store.
    StoreHost,
}

/// A part of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinePart {
    /// Whom it speaks of.
    pub name: PartName,
    /// Its own result.
    pub result: LineResult,
    /// What was observed, or why nothing was.
    #[schemars(length(max = 1024))]
    pub observed: String,
}

/// The checklist of a network or of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChecklistStatus {
    /// How many lines are Verified, Enforced or Attested, of how many: 9/14.
    #[schemars(length(max = 5))]
    pub summary: String,
    /// The lines, in the checklist's order. Those of a network stand for all of its nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 14))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into()]))]
    pub lines: Vec<LineStatus>,
}

/// What the checklist demands of a network, where there is a choice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Checklist {
    /// How often a node tries its own listeners with wrong clients and what it must not reach; and how often the operator tries to
    /// connect to the node where it must not get in, reads the cluster around it, and asks the secret store as its auditor.
    #[serde(default = "Checklist::default_probe_every")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10s') && duration(self) <= duration('6h')")
        .message("probeEvery must be 10s to 6h"))]
    pub probe_every: Duration,
    /// How old the image of a node may be; an older one violates ImmutableUpgrades.
    #[serde(default = "Checklist::default_max_image_age")]
    pub max_image_age: Duration,
    /// What no node may reach, by address and TCP port, beside the API server and the cloud's metadata service: each node tries
    /// to connect at each probeEvery. Name what listens, for example a database of another team: where nothing listens every
    /// connect fails, and that proves nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub must_not_reach: Vec<AddressAndPort>,
    /// Audit: the checklist is reported. Enforce: a change that widens what exists (a new node, more replicas, a new client, a
    /// new source of a client) waits while a line is violated for the object that the change widens and no exception accepts
    /// the violation. Nothing that exists is stopped, and repair, renewal, rotation, a change of the image, scale-down and
    /// deletion never wait.
    #[serde(default)]
    pub mode: Mode,
    /// What HardwareKeys demands.
    #[serde(default)]
    pub hardware: Hardware,
}

/// Whether violations hold changes back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// No: they are reported.
    #[default]
    Audit,
    /// Those that widen what exists.
    Enforce,
}

/// What HardwareKeys demands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hardware {
    /// SealedStore: the secret store is sealed by hardware or by a cloud's key service, which protects its disk; the key is plain
    /// to readers of its path and in the node's memory. TpmSealed: a TPM releases the key to the node's machine alone.
    /// NonExtractable: the key never leaves a token. A lower level, and any level in software, violates HardwareKeys.
    #[serde(default)]
    pub minimum: HardwareLevel,
}

/// How well hardware protects a node's keys, the weakest first.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    Display,
    VariantArray,
)]
pub enum HardwareLevel {
    /// The secret store that holds the key is sealed by hardware.
    #[default]
    SealedStore,
    /// A TPM seals the key.
    TpmSealed,
    /// The key never leaves a token.
    NonExtractable,
}

impl HardwareLevel {
    /// All of them, the weakest first.
    pub const ALL: &'static [Self] = Self::VARIANTS;
}

/// A change that `checklist.mode: Enforce` holds back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldChange {
    /// What waits: spec for a new node as a whole, or a field of it.
    #[schemars(length(max = 128))]
    pub field: String,
    /// The line that holds it: violated, and accepted by no exception.
    pub line: Line,
    /// Since when it waits.
    pub since: Timestamp,
}

impl Checklist {
    fn default_probe_every() -> Duration {
        Duration::from_mins(15)
    }

    fn default_max_image_age() -> Duration {
        Duration::from_hours(2160)
    }
}

impl Default for Checklist {
    fn default() -> Self {
        Self {
            probe_every: Self::default_probe_every(),
            max_image_age: Self::default_max_image_age(),
            must_not_reach: Vec::new(),
            mode: Mode::default(),
            hardware: Hardware::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(result: LineResult, valid_until: Option<&str>) -> LineStatus {
        LineStatus {
            id: Line::NoCoreDumps,
            result,
            reason: String::new(),
            observer: None,
            observed: String::new(),
            remedy: None,
            parts: Vec::new(),
            exception: None,
            last_transition_time: "2027-01-01T00:00:00Z".into(),
            valid_until: valid_until.map(Into::into),
        }
    }

    #[test]
    fn evidence_that_is_too_old_or_unreadable_proves_nothing() {
        let now = "2027-01-01T12:00:00Z".parse().unwrap();
        let at = |result, until| line(result, until).result_at(now);
        assert_eq!(at(LineResult::Verified, Some("2027-01-01T13:00:00Z")), LineResult::Verified);
        assert_eq!(at(LineResult::Verified, Some("2027-01-01T11:59:59Z")), LineResult::Unknown);
        assert_eq!(at(LineResult::Verified, Some("tomorrow")), LineResult::Unknown);
        assert_eq!(at(LineResult::Enforced, None), LineResult::Enforced);
    }

    #[test]
    fn there_are_fourteen_lines() {
        assert_eq!(Line::ALL.len(), 14);
    }
}
