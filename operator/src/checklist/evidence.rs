//! From findings to the lines of a status: since when, and until when the evidence counts. Pure.
//!
//! A line is written when it says something new, and again when the evidence that was written for it runs out; in between, the
//! same evidence observed once more changes nothing.

use jiff::{SignedDuration, Timestamp};
use tessera_crds::checklist::{Line, LineException, LineResult, LineStatus};

use super::finding::Finding;
use super::statements::Statements;

/// A finding, and how long its evidence lasts.
pub struct Judged {
    /// The line.
    pub id: Line,
    /// What it comes to.
    pub finding: Finding,
    /// How long its evidence lasts.
    pub lasts: SignedDuration,
    /// Who accepts that the line is violated, if it is.
    pub exception: Option<LineException>,
}

impl Judged {
    /// `finding` of the line `id`, with what people state about it.
    pub fn new(id: Line, finding: Finding, lasts: SignedDuration, statements: &Statements) -> Self {
        let finding = bounded(finding);
        let exception = (finding.result == LineResult::Violated).then(|| statements.exception(id)).flatten();
        Self { id, finding, lasts, exception }
    }
}

/// The longest text that the API takes: people's statements and the machine's words end in it.
const LONGEST: usize = 1024;

fn bounded(mut finding: Finding) -> Finding {
    let texts = finding.parts.iter_mut().map(|part| &mut part.observed);
    for text in texts.chain([&mut finding.observed]).chain(&mut finding.remedy) {
        if let Some((end, _)) = text.char_indices().nth(LONGEST) {
            text.truncate(end);
        }
    }
    finding
}

/// When evidence is written again.
#[derive(Debug, Clone, Copy)]
pub enum Renew {
    /// When half of its time is gone.
    AtHalf,
    /// When a quarter of its time is left: for what rests on evidence that is itself renewed at half.
    AtThreeQuarters,
}

/// The lines of the next status, upon `before`.
pub fn lines(before: &[LineStatus], judged: Vec<Judged>, renew: Renew, now: Timestamp) -> Vec<LineStatus> {
    let find = |id| before.iter().find(|line| line.id == id);
    // One write renews all lines together.
    let renews =
        judged.iter().any(|judged| find(judged.id).is_some_and(|line| is_due(line, judged, renew, now)));
    judged
        .into_iter()
        .map(|judged| {
            let known = find(judged.id);
            let kept = known.filter(|line| {
                if judged.finding.keeps_known {
                    line.result_at(now) == line.result
                } else {
                    !renews && says_the_same(line, &judged)
                }
            });
            kept.cloned().unwrap_or_else(|| line(judged, known, now))
        })
        .collect()
}

fn line(judged: Judged, known: Option<&LineStatus>, now: Timestamp) -> LineStatus {
    let valid_until = end(&judged, now).map(|end| whole_second(end).to_string().into());
    let finding = judged.finding;
    let since = known.filter(|line| line.result == finding.result);
    LineStatus {
        id: judged.id,
        result: finding.result,
        reason: finding.reason,
        observer: finding.observer,
        observed: finding.observed,
        remedy: finding.remedy,
        parts: finding.parts,
        exception: judged.exception,
        last_transition_time: since
            .map_or_else(|| whole_second(now).to_string().into(), |line| line.last_transition_time.clone()),
        valid_until,
    }
}

/// What nobody observed does not grow old.
fn end(judged: &Judged, now: Timestamp) -> Option<Timestamp> {
    judged.finding.observer?;
    let end = now + judged.lasts;
    Some(judged.finding.rests_on_evidence_until.map_or(end, |base| end.min(base)))
}

fn is_due(line: &LineStatus, judged: &Judged, renew: Renew, now: Timestamp) -> bool {
    let Some(next) = end(judged, now) else { return false };
    let written = line.valid_until.as_deref().and_then(|end| end.parse::<Timestamp>().ok());
    let left = match renew {
        Renew::AtHalf => judged.lasts / 2,
        Renew::AtThreeQuarters => judged.lasts / 4,
    };
    written.is_none_or(|written| written.duration_since(now) < left && whole_second(next) > written)
}

fn says_the_same(line: &LineStatus, judged: &Judged) -> bool {
    let finding = &judged.finding;
    line.result == finding.result
        && line.exception == judged.exception
        && line.reason == finding.reason
        && line.observer == finding.observer
        && line.observed == finding.observed
        && line.remedy == finding.remedy
        && line.parts == finding.parts
}

fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
