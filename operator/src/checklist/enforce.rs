//! What `checklist.mode: Enforce` says of a change that widens what exists. Pure.
//!
//! ```text
//! Audit ──────────────────────────────────────────────────► free
//! Enforce ──► not judged yet ─────────────────────────────► waits until it is judged
//!         └─► a line is Violated now, and no Exception ───► held by that line
//!         └─► every other result, Unknown included ───────► free; what a line held before, it holds until it is seen satisfied
//! ```
//!
//! An observation that fails releases nothing: a store that does not answer for a moment, or nodes that restart, would else release
//! what was held, and nothing takes back what went through.
//!
//! The lines are those of the object that the change widens. A new node widens its network: all lines of the network count
//! while another node of it serves. Without such a node only the lines of the network itself do: what nodes show then speaks of
//! nothing that serves. Whatever else widens a node is judged by that node's own lines and those of the network itself.

use jiff::Timestamp;
use tessera_crds::checklist::{ChecklistStatus, HeldChange, Line, LineResult, LineStatus, Mode};

use super::NODE_LINES;
use super::central_logging::{OPERATOR_LOG_NOT_ACCEPTED, OPERATOR_RECORDS_LOST};
use super::finding::NOT_ASKED_YET;
use super::statements::Statements;
use crate::kube::events::EventRecord;

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
    /// What it is now: Violated, or Unknown of one that held the change before.
    pub result: LineResult,
    /// Why, in one word.
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
const OF_NETWORK_ITSELF: [(Line, &str); 12] = [
    (Line::MutualTls, "NoClientCertificate"),
    (Line::KeyRotation, "NoCheckAndSet"),
    (Line::KeyRotation, "NoVersions"),
    (Line::KeyRotation, "VersionsDeleted"),
    (Line::NoClearTextCredentials, "ClearText"),
    (Line::NoClearTextCredentials, "InOperatorLog"),
    (Line::CentralLogging, "NoCollector"),
    (Line::CentralLogging, "InvalidReference"),
    (Line::CentralLogging, "NoAuditDevice"),
    (Line::CentralLogging, "AuditLogsSecrets"),
    (Line::CentralLogging, OPERATOR_LOG_NOT_ACCEPTED),
    (Line::CentralLogging, OPERATOR_RECORDS_LOST),
];

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
        return Gate::Held(HoldingLine::new(first, now, others.len()));
    }
    let awaited = |line: &&LineStatus| line.reason == NOT_ASKED_YET;
    if lines.iter().any(awaited) { Gate::NotJudged } else { Gate::Free }
}

/// The gates of an object's changes: one of all, and one of each change that is held already.
#[derive(Debug, Clone)]
pub struct Gates {
    any: Gate,
    held: Vec<(String, Gate)>,
}

impl Gates {
    /// Those of changes that widen `what` at `now`, upon those that are `held`.
    pub fn new(what: Widened, known: &Known<'_>, held: &[HeldChange], now: Timestamp) -> Self {
        let any = gate(what, known, now);
        let still = |held: &HeldChange| {
            let holding = Gate::Held(not_seen_satisfied(held.line, what, known, now)?);
            Some((held.field.clone(), holding))
        };
        let held = if any.is_free() && known.mode == Mode::Enforce {
            held.iter().filter_map(still).collect()
        } else {
            Vec::new()
        };
        Self { any, held }
    }

    /// The same for each change.
    pub fn one(any: Gate) -> Self {
        Self { any, held: Vec::new() }
    }

    /// That of the change of `field`.
    pub fn of(&self, field: &str) -> &Gate {
        self.held.iter().find(|(held, _)| held == field).map_or(&self.any, |(_, gate)| gate)
    }

    /// Whether every change goes through.
    pub fn are_free(&self) -> bool {
        self.any.is_free() && self.held.is_empty()
    }
}

/// The reason of a line whose observation holds and which awaits a person's word: what was broken is repaired.
const NOT_ATTESTED: &str = "NotAttested";

/// The line `id`, which held a change before, if nobody has seen since that it is repaired, and nobody accepts it.
fn not_seen_satisfied(id: Line, what: Widened, known: &Known<'_>, now: Timestamp) -> Option<HoldingLine> {
    if known.statements.exception(id).is_some() {
        return None;
    }
    let is_repaired = |line: &LineStatus| {
        let result = line.result_at(now);
        result.is_satisfied() || (result == LineResult::Unknown && line.reason == NOT_ATTESTED)
    };
    let of = |checklist: Option<&ChecklistStatus>| {
        checklist.and_then(|checklist| checklist.lines.iter().find(|line| line.id == id)).cloned()
    };
    let of_network = of(known.network);
    let counts = match what {
        Widened::Network => [of_network, None],
        // What another node shows is none of this one's.
        Widened::Node => [of(known.node), of_network.filter(is_of_network_itself)],
    };
    let line = counts.into_iter().flatten().find(|line| !is_repaired(line))?;
    Some(HoldingLine::new(&line, now, 0))
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

/// What a status says, upon `before`, of the change of `field` that waits at `gate`. While nobody has judged, what was held stays held
/// and nothing else is.
pub fn held_change(field: String, gate: &Gate, before: &[HeldChange], now: Timestamp) -> Option<HeldChange> {
    let known = before.iter().find(|held| held.field == field);
    let line = match gate {
        Gate::Held(line) => line,
        Gate::NotJudged => return known.cloned(),
        Gate::Free => return None,
    };
    let begun = || Timestamp::from_second(now.as_second()).unwrap_or(now).to_string().into();
    let since = known.map_or_else(begun, |held| held.since.clone());
    Some(HeldChange { field, line: line.id, since })
}

/// Each change that is held back, once, and that it goes through.
pub fn events(before: &[HeldChange], after: &[HeldChange]) -> Vec<EventRecord> {
    let is_in = |list: &[HeldChange], held: &HeldChange| list.iter().any(|other| other.field == held.field);
    let begun = after.iter().filter(|held| !is_in(before, held)).map(|held| {
        let HeldChange { field, line, .. } = held;
        let note = format!(
            "{field} is held back: checklist.mode is Enforce, and line {line} is Violated without an Exception; the condition Ready says what to do"
        );
        EventRecord::warning("ChecklistHeld", note)
    });
    let ended = before.iter().filter(|held| !is_in(after, held)).map(|held| {
        let note = format!("{} is held back no longer", held.field);
        EventRecord::normal("ChecklistReleased", note)
    });
    begun.chain(ended).collect()
}

fn holds(line: &LineStatus, statements: &Statements, now: Timestamp) -> bool {
    line.result_at(now) == LineResult::Violated && statements.exception(line.id).is_none()
}

impl HoldingLine {
    fn new(line: &LineStatus, now: Timestamp, others: usize) -> Self {
        Self {
            id: line.id,
            result: line.result_at(now),
            reason: line.reason.clone(),
            remedy: line.remedy.clone().unwrap_or_default(),
            others,
        }
    }
}

impl std::fmt::Display for HoldingLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, result, reason, remedy, others } = self;
        let is = match result {
            LineResult::Violated => "is Violated".to_owned(),
            now => format!("was Violated, and nobody has seen it repaired: it is {now:?}"),
        };
        write!(f, "{id} {is} ({reason})")?;
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
