//! What a process says of its shipping: in its status, and as metrics.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tessera_node_api::admin::LoggingStatus;

use super::{Endpoint, Metrics};

/// Failed attempts in a row before the status says so: a collector that restarts is back after one or two.
const REPORTED_AFTER: u32 = 3;

/// The state of the shipping. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reports {
    state: Arc<Mutex<State>>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct State {
    /// Its endpoint is empty while there is no collector.
    status: LoggingStatus,
    failed: u32,
}

impl Reports {
    /// No collector yet.
    pub fn new(metrics: Metrics) -> Self {
        Self { state: Arc::default(), metrics }
    }

    /// What the status says; none without a collector.
    pub fn status(&self) -> Option<LoggingStatus> {
        let status = self.lock().status.clone();
        (!status.endpoint.is_empty()).then_some(status)
    }

    /// The collector is this one now. What another accepted says nothing of it; what was lost stays lost.
    pub fn follow(&self, collector: Option<&Endpoint>) {
        let endpoint = collector.map(Endpoint::as_str).unwrap_or_default();
        let mut state = self.lock();
        if state.status.endpoint != endpoint {
            let LoggingStatus { rejected, dropped, lost_at, .. } = std::mem::take(&mut state.status);
            let (endpoint, since) = (endpoint.to_owned(), now_rfc3339());
            state.status =
                LoggingStatus { endpoint, since, rejected, dropped, lost_at, ..LoggingStatus::default() };
            state.failed = 0;
        }
    }

    /// An attempt failed. The error ends with an accepted canary only.
    pub(super) fn failed(&self, why: &str) {
        let mut state = self.lock();
        state.failed = state.failed.saturating_add(1);
        if state.failed < REPORTED_AFTER || state.status.error.as_deref() == Some(why) {
            return;
        }
        state.status.error = Some(why.to_owned());
        drop(state);
        tracing::warn!(error = why, "the collector of logs does not accept records; they wait in memory");
    }

    /// The collector refused the canary: no retry changes that.
    pub(super) fn refused(&self, why: &str) {
        self.lock().failed = REPORTED_AFTER;
        self.failed(why);
    }

    /// The collector accepted the canary.
    pub(super) fn accepted_canary(&self) {
        let mut state = self.lock();
        state.failed = 0;
        state.status.accepted_at = Some(now_rfc3339());
        let was_failing = state.status.error.take().is_some();
        drop(state);
        self.metrics.canary_accepted.set(Timestamp::now().as_second());
        if was_failing {
            tracing::info!("the collector of logs accepts records again");
        }
    }

    /// The collector rejected `records`.
    pub(super) fn rejected(&self, records: u64) {
        self.lost(records, |status| &mut status.rejected);
        self.metrics.rejected.inc_by(records);
    }

    /// The process dropped `records`.
    pub(super) fn dropped(&self, records: u64) {
        self.lost(records, |status| &mut status.dropped);
        self.metrics.dropped.inc_by(records);
    }

    fn lost(&self, records: u64, count: impl FnOnce(&mut LoggingStatus) -> &mut u64) {
        if records == 0 {
            return;
        }
        let mut state = self.lock();
        let count = count(&mut state.status);
        *count = count.saturating_add(records);
        state.status.lost_at = Some(now_rfc3339());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that panics runs under it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now_rfc3339() -> String {
    rfc3339(Timestamp::now())
}

/// A time, to the second, as RFC 3339.
pub(super) fn rfc3339(time: Timestamp) -> String {
    // Whole seconds are always representable.
    Timestamp::from_second(time.as_second()).map_or_else(|_| time.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports() -> Reports {
        let reports = Reports::new(Metrics::default());
        reports.follow(Endpoint::parse("https://a").as_ref());
        reports
    }

    fn status(reports: &Reports) -> LoggingStatus {
        reports.status().unwrap()
    }

    #[test]
    fn an_error_is_reported_after_some_failures_and_ends_with_an_accepted_canary_only() {
        let reports = reports();
        reports.failed("gone");
        reports.failed("gone");
        assert_eq!(status(&reports).error, None);
        reports.failed("gone");
        assert_eq!(status(&reports).error.as_deref(), Some("gone"));
        assert_eq!(status(&reports).accepted_at, None);
        reports.accepted_canary();
        assert_eq!(status(&reports).error, None);
        assert!(status(&reports).accepted_at.is_some());
        reports.refused("full");
        assert_eq!(status(&reports).error.as_deref(), Some("full"), "at once");
    }

    #[test]
    fn what_was_lost_is_counted_and_outlives_a_change_of_collector() {
        let reports = reports();
        reports.dropped(0);
        assert_eq!(status(&reports).lost_at, None);
        reports.dropped(2);
        reports.rejected(3);
        reports.accepted_canary();
        reports.follow(Endpoint::parse("https://b").as_ref());
        let status = status(&reports);
        assert_eq!((status.endpoint.as_str(), status.dropped, status.rejected), ("https://b", 2, 3));
        assert!(status.lost_at.is_some() && status.accepted_at.is_none());
        reports.follow(None);
        assert_eq!(reports.status(), None);
    }
}
