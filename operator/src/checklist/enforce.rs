//! What `checklist.mode: Enforce` says of a change that widens what exists. Pure.
//!
//! ```text
//! Audit ──────────────────────────────────────────────────► free
//! Enforce ──► not judged yet ─────────────────────────────► waits until it is judged
//!         └─► a line is Violated now, and no Exception ───► held by that line
//!         └─► every other result, Unknown included ───────► free
//! ```
//!
//! The lines are those of the object that the change widens. A new node widens its network: all lines of the network count
//! while another node of it serves. Without such a node only the lines of the network itself do: what nodes show then speaks of
//! nothing that serves. Whatever else widens a node is judged by that node's own lines and those of the network itself.

use jiff::Timestamp;
use tessera_crds::checklist::{ChecklistStatus, Line, LineResult, LineStatus, Mode};

use super::NODE_LINES;
use super::statements::Statements;

/// What a change widens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Widened {
    /// The network, by one more node.
    Network,
    /// A node that is there.
    Node,
}

/// What is known of the checklist at a time.
pub struct Known<'a> {
    /// Whether violations hold changes back.
    pub mode: Mode,
    /// The network's lines, as its status has them.
    pub network: Option<&'a ChecklistStatus>,
    /// The node's lines, as its status has them.
    pub node: Option<&'a ChecklistStatus>,
    /// Whether another node of the network serves.
    pub another_serves: bool,
    /// What people state about the network, as far as it counts now.
    pub statements: &'a Statements,
}

/// A line that holds a change back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldingLine {
    /// Which.
    pub id: Line,
    /// Why it is violated, in one word.
    pub reason: String,
    /// What a person can do.
    pub remedy: String,
    /// How many lines more hold the change.
    pub others: usize,
}

/// Whether a change may go through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// It may.
    Free,
    /// Nobody knows yet: the checklist was not judged.
    NotJudged,
    /// It may not.
    Held(HoldingLine),
}

impl Gate {
    /// Whether the change goes through.
    pub fn is_free(&self) -> bool {
        *self == Self::Free
    }
}

/// Reasons of violations that lie in the network itself, of lines that also speak of its nodes.
const OF_NETWORK_ITSELF: [(Line, &str); 10] = [
    (Line::MutualTls, "NoClientCertificate"),
    (Line::KeyRotation, "NoCheckAndSet"),
    (Line::KeyRotation, "NoVersions"),
    (Line::KeyRotation, "VersionsDeleted"),
    (Line::CentralLogging, "NoCollector"),
    (Line::CentralLogging, "InvalidReference"),
    (Line::CentralLogging, "NoAuditDevice"),
    (Line::CentralLogging, "AuditLogsSecrets"),
    (Line::CentralLogging, "OperatorLogNotAccepted"),
    (Line::CentralLogging, "OperatorRecordsLost"),
];
/// The reason of a line whose facts this process has not gathered yet.
const NOT_ASKED_YET: &str = "NotAskedYet";

/// Whether a change that widens `what` may go through at `now`.
pub fn gate(what: Widened, known: &Known<'_>, now: Timestamp) -> Gate {
    if known.mode == Mode::Audit {
        return Gate::Free;
    }
    let Some(lines) = lines(what, known) else { return Gate::NotJudged };
    let mut holding: Vec<_> = lines.iter().filter(|line| holds(line, known.statements, now)).collect();
    // Network and node may both show it.
    holding.dedup_by_key(|line| line.id);
    if let Some((first, others)) = holding.split_first() {
        return Gate::Held(HoldingLine {
            id: first.id,
            reason: first.reason.clone(),
            remedy: first.remedy.clone().unwrap_or_default(),
            others: others.len(),
        });
    }
    let awaited = |line: &&LineStatus| line.reason == NOT_ASKED_YET;
    if lines.iter().any(awaited) { Gate::NotJudged } else { Gate::Free }
}

/// The lines that count, in the checklist's order; `None`: they are not there yet.
fn lines<'a>(what: Widened, known: &Known<'a>) -> Option<Vec<&'a LineStatus>> {
    let of_network = known.network?.lines.iter();
    let mut lines: Vec<_> = match what {
        Widened::Network if known.another_serves => of_network.collect(),
        Widened::Network => of_network.filter(|line| is_of_network_itself(line)).collect(),
        Widened::Node => {
            let of_node = known.node?.lines.iter();
            of_network.filter(|line| is_of_network_itself(line)).chain(of_node).collect()
        }
    };
    lines.sort_by_key(|line| line.id);
    Some(lines)
}

fn is_of_network_itself(line: &LineStatus) -> bool {
    let speaks_of_nodes = NODE_LINES.iter().any(|of_node| of_node.id == line.id);
    !speaks_of_nodes || OF_NETWORK_ITSELF.contains(&(line.id, line.reason.as_str()))
}

fn holds(line: &LineStatus, statements: &Statements, now: Timestamp) -> bool {
    line.result_at(now) == LineResult::Violated && statements.exception(line.id).is_none()
}

impl std::fmt::Display for HoldingLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, reason, remedy, others } = self;
        write!(f, "{id} is Violated ({reason})")?;
        match others {
            0 => {}
            1 => write!(f, ", and so is 1 line more")?,
            more => write!(f, ", and so are {more} lines more")?,
        }
        if !remedy.is_empty() {
            write!(f, "; what to do: {remedy}")?;
        }
        write!(
            f,
            "; or let a person accept the violation: a TesseraAttestation with line {id} and type Exception"
        )
    }
}
