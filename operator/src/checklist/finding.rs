//! What one line comes to. Pure.

use jiff::Timestamp;
use tessera_crds::checklist::{LinePart, LineResult, Observer, PartName};

/// The reason of a line whose facts this process has not gathered yet.
pub const NOT_ASKED_YET: &str = "NotAskedYet";

/// What a line comes to now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The result.
    pub result: LineResult,
    /// Why, in one word.
    pub reason: String,
    /// Who observed it.
    pub observer: Option<Observer>,
    /// What was observed, or why nothing was. The same observation gives the same text.
    pub observed: String,
    /// What a person can do.
    pub remedy: Option<String>,
    /// The parts that speak of pods and of hosts.
    pub parts: Vec<LinePart>,
    /// The end of the evidence that it rests on, if that may come before its own.
    pub rests_on_evidence_until: Option<Timestamp>,
    /// Nothing new is known: what was found before stands.
    pub keeps_known: bool,
}

impl Finding {
    fn new(result: LineResult, reason: &str, observed: impl Into<String>) -> Self {
        Self {
            result,
            reason: reason.to_owned(),
            observer: None,
            observed: observed.into(),
            remedy: None,
            parts: Vec::new(),
            rests_on_evidence_until: None,
            keeps_known: false,
        }
    }

    /// It was observed to hold.
    pub fn verified(observer: Observer, what: impl Into<String>) -> Self {
        Self { observer: Some(observer), ..Self::new(LineResult::Verified, "Observed", what) }
    }

    /// What brings it about is in place.
    pub fn enforced(reason: &str, observed: impl Into<String>, remedy: &str) -> Self {
        Self { remedy: Some(remedy.to_owned()), ..Self::new(LineResult::Enforced, reason, observed) }
    }

    /// A person states it, until `expires`.
    pub fn attested(observer: Observer, what: impl Into<String>, expires: Timestamp) -> Self {
        Self {
            observer: Some(observer),
            remedy: Some("have it stated anew before that".to_owned()),
            rests_on_evidence_until: Some(expires),
            ..Self::new(LineResult::Attested, "Stated", what)
        }
    }

    /// It was observed not to hold.
    pub fn violated(reason: &str, observer: Observer, what: impl Into<String>, remedy: &str) -> Self {
        Self {
            observer: Some(observer),
            remedy: Some(remedy.to_owned()),
            ..Self::new(LineResult::Violated, reason, what)
        }
    }

    /// Nothing can be said.
    pub fn unknown(reason: &str, observed: impl Into<String>, remedy: &str) -> Self {
        Self { remedy: Some(remedy.to_owned()), ..Self::new(LineResult::Unknown, reason, observed) }
    }

    /// This process has not asked `whom` yet: what was found before counts until its evidence is too old.
    pub fn not_asked_yet(whom: &str) -> Self {
        let observed = format!("{whom} was not asked yet");
        Self {
            keeps_known: true,
            ..Self::unknown(NOT_ASKED_YET, observed, "wait: it is asked within a minute")
        }
    }

    /// The worst of its parts, all of which are shown.
    pub fn of_parts(parts: Vec<(PartName, Self)>) -> Self {
        let shown = parts.iter().map(|(name, finding)| LinePart {
            name: *name,
            result: finding.result,
            observed: finding.observed.clone(),
        });
        let shown: Vec<_> = shown.collect();
        let ends = parts.iter().filter_map(|(_, finding)| finding.rests_on_evidence_until).min();
        let worst = parts.into_iter().map(|(_, finding)| finding).min_by_key(|finding| finding.result);
        let worst = worst.unwrap_or_else(|| Self::unknown("NotObserved", "nothing was observed", ""));
        Self { parts: shown, rests_on_evidence_until: ends, ..worst }
    }
}
