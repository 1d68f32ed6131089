//! What pods answered of late, and the credentials for asking them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tessera_node_api::admin;
use tessera_pki::CaState;

use super::admin::{AdminClient, AdminError};
use crate::memory::backoff::Backoff;
use crate::memory::per_object::{PerObject, Registry};

/// How often a pod that answers is asked, and the longest wait for one that does not.
pub(super) const PERIOD: Duration = Duration::from_secs(30);
const FIRST_BACKOFF: Duration = Duration::from_secs(3);

/// What the pods answered, and what it takes to ask them. Shared by all namespaces.
pub struct NodeAnswers {
    clients: Arc<PerObject<AdminClient>>,
    answers: Arc<PerObject<Kept>>,
    pub(super) backoff: Backoff,
    issuing: Mutex<()>,
}

/// What one pod answered of late.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answers {
    /// The last answer, and when it came.
    pub last: Option<(admin::Status, Timestamp)>,
    /// The moment of the last answer, which no change of a clock moves.
    answered: Option<Instant>,
    /// Why the attempt after it failed.
    pub failure: Option<String>,
}

/// What is kept of that: a thousand answers as text take a third of the memory.
#[derive(Debug, Clone, Default)]
struct Kept {
    last: Option<(Box<str>, Timestamp)>,
    answered: Option<Instant>,
    failure: Option<String>,
}

impl Kept {
    fn read(self) -> Answers {
        let parse = |text: &str| serde_json::from_str(text).expect("`keep` wrote it");
        Answers {
            last: self.last.map(|(text, at)| (parse(&text), at)),
            answered: self.answered,
            failure: self.failure,
        }
    }

    fn keep(answers: &Answers) -> Self {
        let text = |status| serde_json::to_string(status).expect("a status serialises").into_boxed_str();
        Self {
            last: answers.last.as_ref().map(|(status, at)| (text(status), *at)),
            answered: answers.answered,
            failure: answers.failure.clone(),
        }
    }
}

/// How old an answer may be that says what time it is at the node.
const TIME_COUNTS: Duration = Duration::from_secs(90);

impl Answers {
    /// How far the node's clock was ahead of ours when its last answer came. The exchange took a part of that.
    pub fn clock_skew(&self) -> Option<SignedDuration> {
        let (status, at) = self.last.as_ref()?;
        let node: Timestamp = status.now.as_deref()?.parse().ok()?;
        Some(node.duration_since(*at))
    }

    /// What the node's clock says now, by its last answer and by what went by since. Our own clock may jump meanwhile.
    pub fn node_time(&self) -> Option<Timestamp> {
        let (status, _) = self.last.as_ref()?;
        let elapsed = self.answered?.elapsed();
        let node: Timestamp = status.now.as_deref()?.parse().ok()?;
        (elapsed <= TIME_COUNTS).then(|| node.checked_add(elapsed).ok())?
    }
}

impl NodeAnswers {
    /// No answers yet.
    pub fn new(registry: &Registry) -> Self {
        Self {
            clients: registry.per_object(),
            answers: registry.per_object(),
            backoff: Backoff::new(registry, FIRST_BACKOFF, PERIOD),
            issuing: Mutex::new(()),
        }
    }

    /// What the pod with this UID answered; `None`: it was not asked yet.
    pub fn of(&self, pod_uid: &str) -> Option<Answers> {
        self.answers.get(pod_uid).map(Kept::read)
    }

    /// Takes in one attempt; returns whether it says something else than the one before.
    pub(super) fn take_in(
        &self,
        pod_uid: &str,
        attempt: Result<admin::Status, String>,
        now: Timestamp,
    ) -> bool {
        self.answers.with_default(pod_uid, |kept| {
            let before = std::mem::take(kept).read();
            let after = match attempt {
                Ok(status) => {
                    Answers { last: Some((status, now)), answered: Some(Instant::now()), failure: None }
                }
                Err(failure) => Answers { failure: Some(failure), ..before.clone() },
            };
            *kept = Kept::keep(&after);
            let content = |answers: &Answers| answers.last.as_ref().map(|(status, _)| lasting(status));
            before.failure != after.failure || content(&before) != content(&after)
        })
    }

    /// Credentials for the admin ports of the network with this UID.
    pub(super) fn client(
        &self,
        network_uid: &str,
        trust_domain: &str,
        authorities: &CaState,
        now: Timestamp,
    ) -> Result<AdminClient, AdminError> {
        // One at a time: when credentials run out, all workers need new ones.
        let _issuing = self.issuing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.clients.get(network_uid);
        if let Some(client) = known.filter(|client| client.is_current(authorities, now)) {
            return Ok(client);
        }
        let client = AdminClient::new(authorities, trust_domain, now)?;
        self.clients.put(network_uid, client.clone());
        Ok(client)
    }
}

/// The status without what changes each minute or with each record. Whether there is such a thing counts, and an error says when
/// it stays away; how old it is, the node's next reconcile sees.
fn lasting(status: &admin::Status) -> admin::Status {
    let mut status = status.clone();
    status.now = None;
    if let Some(trials) = &mut status.egress_trials {
        trials.tried_at.clear();
    }
    if let Some(trials) = &mut status.listener_trials {
        trials.tried_at.clear();
    }
    for caller in &mut status.callers {
        caller.open.clear();
    }
    for server in &mut status.server_trials {
        server.tried_at.clear();
    }
    for found in status.log_search.iter_mut().flat_map(|search| &mut search.found) {
        found.last_at.clear();
    }
    if let Some(logging) = &mut status.logging {
        let seen = |time: &mut Option<String>| time.iter_mut().for_each(String::clear);
        seen(&mut logging.accepted_at);
        seen(&mut logging.lost_at);
        (logging.rejected, logging.dropped) = (0, 0);
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{now, report_of_a_ready_node};

    #[test]
    fn only_what_changes_is_passed_on_and_a_failure_keeps_the_last_answer() {
        let answers = NodeAnswers::new(&Registry::default());
        let silent = || Err("no answer".to_owned());
        assert!(answers.take_in("p", Ok(report_of_a_ready_node()), now()));
        let later = now() + SignedDuration::from_secs(30);
        assert!(!answers.take_in("p", Ok(report_of_a_ready_node()), later), "the same");
        assert_eq!(answers.of("p").and_then(|answers| answers.last).map(|last| last.1), Some(later));
        assert!(answers.take_in("p", silent(), later));
        assert!(!answers.take_in("p", silent(), later), "as silent as before");
        let all = answers.of("p").unwrap();
        assert_eq!((all.last.is_some(), all.failure.as_deref()), (true, Some("no answer")));
        assert!(answers.take_in("p", Ok(report_of_a_ready_node()), later));
    }

    #[test]
    fn the_time_at_a_node_follows_from_its_own_clock_whatever_ours_does() {
        let answers = NodeAnswers::new(&Registry::default());
        let mut report = report_of_a_ready_node();
        report.now = Some("2027-01-01T00:00:00Z".into());
        let a_day_ahead = now() + SignedDuration::from_hours(24);
        answers.take_in("p", Ok(report), a_day_ahead);
        let time = answers.of("p").and_then(|answers| answers.node_time()).unwrap();
        assert!(time.duration_since(now()) < SignedDuration::from_mins(1), "{time}");
        answers.take_in("q", Ok(report_of_a_ready_node()), now());
        assert_eq!(answers.of("q").and_then(|answers| answers.node_time()), None, "it does not say");
    }

    #[test]
    fn a_clock_is_compared_and_its_ticking_is_no_news() {
        let answers = NodeAnswers::new(&Registry::default());
        let report = |at: &str| {
            let mut report = report_of_a_ready_node();
            report.now = Some(at.into());
            Ok(report)
        };
        assert!(answers.take_in("p", report("2027-01-01T00:00:06.5Z"), now()));
        let skew = || answers.of("p").and_then(|answers| answers.clock_skew());
        assert_eq!(skew(), Some(SignedDuration::from_millis(6500)));
        assert!(!answers.take_in("p", report("2027-01-01T00:00:00Z"), now()));
        assert_eq!(skew(), Some(SignedDuration::ZERO));
        assert!(!answers.take_in("p", report("late"), now()));
        assert_eq!(skew(), None);
    }

    #[test]
    fn an_accepted_canary_is_passed_on_once_and_an_error_at_once() {
        let answers = NodeAnswers::new(&Registry::default());
        let report = |accepted: Option<&str>, error: Option<&str>| {
            let mut report = report_of_a_ready_node();
            report.logging = Some(admin::LoggingStatus {
                endpoint: "https://otel:4318".into(),
                accepted_at: accepted.map(str::to_owned),
                error: error.map(str::to_owned),
                ..admin::LoggingStatus::default()
            });
            Ok(report)
        };
        assert!(answers.take_in("p", report(None, None), now()));
        assert!(answers.take_in("p", report(Some("2027-01-01T00:00:00Z"), None), now()));
        assert!(!answers.take_in("p", report(Some("2027-01-01T00:01:00Z"), None), now()));
        let kept = answers.of("p").and_then(|answers| answers.last).unwrap().0;
        assert_eq!(
            kept.logging.unwrap().accepted_at.as_deref(),
            Some("2027-01-01T00:01:00Z"),
            "the newest is kept"
        );
        assert!(answers.take_in("p", report(Some("2027-01-01T00:01:00Z"), Some("gone")), now()));
    }
}
