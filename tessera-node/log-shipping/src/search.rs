//! The search of a process's own log for credentials, by the rules of the crate `tessera-clear-text`.
//!
//! ```text
//! tracing ──► fmt ──line──► Searched ──► standard output
//!                              └──► rules ──► LogSearch ──► status: rule, module, when; never the line
//! ```
//!
//! The search costs a few microseconds a line. A process that has nothing to say writes none.
//!
//! Names that others chose ([`NAMES_OF_OTHERS`]) are not searched: a peer could give itself a name that looks like a credential, and
//! so violate a line of everybody who logs it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tessera_clear_text::{RULES, control, scan};
use tessera_node_api::admin::{FoundInLog, LogSearchStatus};
use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

use super::reports::rfc3339;

/// How many places are kept.
const MAX_FOUND: usize = 16;

/// Fields that hold nothing but a name or an address, which the other side of a connection chose.
const NAMES_OF_OTHERS: [&str; 3] = ["address", "caller", "peer"];

/// How long a line that could not be searched whole counts.
const CUT_COUNTS: SignedDuration = SignedDuration::from_hours(1);

/// Whether the rules work, which is asked once: their automaton takes ten milliseconds to make.
static CONTROL: LazyLock<bool> = LazyLock::new(control);

/// What was found.
#[derive(Debug, Default)]
pub struct LogSearch(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    has_searched: bool,
    /// When a line was last not searched whole.
    cut_at: Option<Timestamp>,
    found: BTreeMap<Place, Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    rule: &'static str,
    target: String,
}

impl LogSearch {
    /// That of this process, which has one log.
    pub fn of_process() -> &'static Arc<Self> {
        static SEARCH: LazyLock<Arc<LogSearch>> = LazyLock::new(Arc::default);
        &SEARCH
    }

    /// What the status says.
    pub fn status(&self) -> LogSearchStatus {
        self.status_at(Timestamp::now())
    }

    fn status_at(&self, now: Timestamp) -> LogSearchStatus {
        let state = self.lock();
        let is_whole = state.cut_at.is_none_or(|at| now.duration_since(at) > CUT_COUNTS);
        let found = state.found.iter().map(|(place, at)| FoundInLog {
            rule: place.rule.to_owned(),
            target: place.target.clone(),
            last_at: rfc3339(*at),
        });
        LogSearchStatus {
            rules: (state.has_searched && is_whole && *CONTROL).then_some(RULES.len()),
            found: found.collect(),
        }
    }

    fn line(&self, target: &str, line: &[u8], now: Timestamp) {
        let line = String::from_utf8_lossy(line);
        let (rules, is_whole) = rules_that_find(&line);
        let mut state = self.lock();
        state.has_searched = true;
        if !is_whole {
            state.cut_at = Some(now);
        }
        for rule in rules {
            state.note(Place { rule, target: target.to_owned() }, now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that panics runs under it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, place: Place, now: Timestamp) {
        if self.found.len() >= MAX_FOUND && !self.found.contains_key(&place) {
            let oldest = self.found.iter().min_by_key(|(_, at)| **at).map(|(place, _)| place.clone());
            oldest.and_then(|oldest| self.found.remove(&oldest));
        }
        self.found.insert(place, now);
    }
}

/// The rules that find a credential in a line, and in the texts that JSON escapes in it: a line break in one is no line break. And
/// whether all of it was searched.
fn rules_that_find(line: &str) -> (Vec<&'static str>, bool) {
    let has_names = NAMES_OF_OTHERS.iter().any(|name| line.contains(name));
    let has_escapes = line.contains('\\');
    let fields = if has_names || has_escapes { serde_json::from_str(line).ok() } else { None };
    let Some(Value::Object(mut fields)) = fields else { return rules_of([line]) };
    fields.retain(|name, _| !NAMES_OF_OTHERS.contains(&name.as_str()));
    let whole = Value::Object(fields.clone()).to_string();
    let escaped = fields.values().filter_map(Value::as_str).filter(|_| has_escapes);
    rules_of([whole.as_str()].into_iter().chain(escaped))
}

fn rules_of<'t>(texts: impl IntoIterator<Item = &'t str>) -> (Vec<&'static str>, bool) {
    let (mut rules, mut is_whole) = (Vec::new(), true);
    for text in texts {
        let found = scan(text);
        is_whole &= found.complete;
        rules.extend(found.hits.into_iter().map(|hit| hit.rule));
    }
    rules.sort_unstable();
    rules.dedup();
    (rules, is_whole)
}

/// Where a log goes, and is searched on its way.
#[derive(Debug)]
pub struct Searched<M> {
    to: M,
    search: Arc<LogSearch>,
}

impl<M> Searched<M> {
    /// What is written to `to` is searched first.
    pub fn new(to: M, search: Arc<LogSearch>) -> Self {
        Self { to, search }
    }
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Searched<M> {
    type Writer = Line<'a, M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Line { to: self.to.make_writer(), target: String::new(), search: &self.search }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Self::Writer {
        let target = metadata.target().to_owned();
        Line { to: self.to.make_writer_for(metadata), target, search: &self.search }
    }
}

/// One line of a log on its way; `tracing` writes each with one call.
#[derive(Debug)]
pub struct Line<'a, W> {
    to: W,
    target: String,
    search: &'a LogSearch,
}

impl<W: Write> Write for Line<'_, W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_all(line).map(|()| line.len())
    }

    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        self.search.line(&self.target, line, Timestamp::now());
        self.to.write_all(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::{fmt, registry};

    use super::*;

    fn search_of(log: impl FnOnce()) -> LogSearchStatus {
        let search = Arc::new(LogSearch::default());
        let to = Searched::new(io::sink, Arc::clone(&search));
        let lines = fmt::layer().json().flatten_event(true).with_writer(to);
        tracing::subscriber::with_default(registry().with(lines), log);
        search.status()
    }

    fn rules(status: &LogSearchStatus) -> Vec<&str> {
        status.found.iter().map(|found| found.rule.as_str()).collect()
    }

    #[test]
    fn nothing_was_searched_before_the_first_line() {
        assert_eq!(search_of(|| {}), LogSearchStatus::default());
        let clean = search_of(|| tracing::info!(peer = "https://b:9001", "the peer answers"));
        assert_eq!(clean, LogSearchStatus { rules: Some(RULES.len()), found: Vec::new() });
    }

    #[test]
    fn a_credential_is_found_by_rule_and_module_and_is_not_kept() {
        let status = search_of(|| {
            tracing::warn!(target: "store", error = "jdbc:postgresql://db/t?user=t&password=hunter2", "down");
            tracing::warn!(target: "store", error = "jdbc:postgresql://db/t?user=t&password=hunter2", "down");
        });
        let [found] = &status.found[..] else { panic!("{status:?}") };
        assert_eq!((found.rule.as_str(), found.target.as_str()), ("assignment", "store"));
        assert!(!format!("{status:?}").contains("hunter2"));
    }

    #[test]
    fn a_text_of_several_lines_is_searched_as_such() {
        let status = search_of(|| tracing::warn!("cannot read\ndb:\n  password: hunter2\n"));
        assert_eq!(rules(&status), ["yaml-field"]);
        let quoted = search_of(|| {
            tracing::warn!(body = r#"{"client_token":"hvs.CAESIJ1hunter2hunter2hunter2"}"#, "no");
        });
        assert!(!quoted.found.is_empty());
    }

    #[test]
    fn a_name_that_a_peer_gave_itself_violates_nothing() {
        for name in [
            "sk-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "glpat-aaaaaaaaaaaaaaaaaaaa",
            "hvs.aaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            let line = format!("{name}.example:9000");
            let by_a_peer = search_of(|| {
                tracing::warn!(peer = line, caller = %line, address = line, "its certificate is not for it\n");
            });
            assert_eq!(rules(&by_a_peer), [""; 0], "{name}");
            let by_us = search_of(|| tracing::warn!(token = line, address = "b:9000", "no"));
            assert!(!by_us.found.is_empty(), "control: {name}");
        }
    }

    #[test]
    fn a_line_that_was_not_searched_whole_is_no_proof_for_an_hour() {
        let search = LogSearch::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        search.line("m", &vec![b'a'; tessera_clear_text::MAX_TEXT + 1], at(0));
        search.line("m", b"{}", at(1));
        assert_eq!(search.status_at(at(3600)).rules, None);
        assert_eq!(search.status_at(at(3601)).rules, Some(RULES.len()));
    }

    #[test]
    fn the_newest_places_are_kept() {
        let search = LogSearch::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        for second in 0..100 {
            search.line(&format!("m{second:02}"), b"password=hunter2", at(second));
        }
        let found = search.status().found;
        assert_eq!(found.len(), MAX_FOUND);
        assert!(found.iter().any(|found| found.target == "m99"), "{found:?}");
        assert!(found.iter().all(|found| *found.target >= *"m84"), "{found:?}");
    }
}
