//! What the kubelet and a scraper ask, over plain HTTP: nothing here is secret, and the kubelet has no certificate.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use crate::process::listen;
use crate::process::metrics::Metrics;

/// A watch that has failed for this long without a pause will not recover: a new process might.
const STUCK_AFTER: Duration = Duration::from_mins(10);
/// The longest pause between two failures of one outage: the longest backoff, and time for the attempt. Success shows only
/// with the next change, so a failure longer ago says nothing.
const OUTAGE_GAP: Duration = Duration::from_secs(90);
/// Distinct messages of one outage that are logged.
const MAX_MESSAGES: usize = 4;

/// How the process is.
#[derive(Default)]
pub struct Health {
    standing_by: AtomicBool,
    watches: Mutex<BTreeMap<String, Watch>>,
}

struct Watch {
    namespace: String,
    filled: bool,
    outage: Option<Outage>,
}

struct Outage {
    refused: bool,
    first: Instant,
    last: Instant,
    reported: Vec<String>,
}

impl Outage {
    fn goes_on(&self, now: Instant) -> bool {
        now.duration_since(self.last) <= OUTAGE_GAP
    }
}

impl Health {
    /// This process waits to lead: it is ready to take over.
    pub fn set_standing_by(&self, standing_by: bool) {
        self.standing_by.store(standing_by, Ordering::Relaxed);
    }

    /// There is a watch of this name, and its cache is not filled yet.
    pub fn expect_watch(&self, watch: &str, namespace: &str) {
        let expected = Watch { namespace: namespace.to_owned(), filled: false, outage: None };
        self.watches().insert(watch.to_owned(), expected);
    }

    /// A watch made progress; `filled`: its first list is complete. A list that succeeds before each watch that fails does
    /// not end an outage.
    pub fn progressed(&self, watch: &str, filled: bool, now: Instant) {
        if let Some(watch) = self.watches().get_mut(watch) {
            watch.filled |= filled;
            if watch.outage.as_ref().is_some_and(|outage| !outage.goes_on(now)) {
                watch.outage = None;
            }
        }
    }

    /// A watch failed; returns whether the failure is to be logged: each distinct message once in an outage. One that is
    /// `refused` for lack of rights would be refused a new process, too, and is no reason to start one: the rights of a
    /// namespace go with the namespace.
    pub fn failed(&self, watch: &str, refused: bool, message: &str, now: Instant) -> bool {
        let mut watches = self.watches();
        let Some(watch) = watches.get_mut(watch) else { return true };
        let before = watch.outage.take().filter(|outage| outage.goes_on(now));
        let mut outage =
            before.unwrap_or_else(|| Outage { refused, first: now, last: now, reported: Vec::new() });
        outage.last = now;
        outage.refused = refused;
        let is_new =
            outage.reported.len() < MAX_MESSAGES && !outage.reported.iter().any(|old| old == message);
        if is_new {
            outage.reported.push(message.to_owned());
        }
        watch.outage = Some(outage);
        is_new
    }

    /// A watch that has been failing for too long.
    fn stuck(&self, now: Instant) -> Option<String> {
        let is_stuck = |outage: &Outage| {
            !outage.refused && outage.goes_on(now) && outage.last.duration_since(outage.first) > STUCK_AFTER
        };
        let watches = self.watches();
        let stuck = watches.iter().find(|(_, watch)| watch.outage.as_ref().is_some_and(is_stuck));
        stuck.map(|(name, _)| name.clone())
    }

    /// Whether the process does its work, and what a person should know of it. Caches that do not fill make it unready, but
    /// for a namespace that grants nothing at all: it was deleted, or is not there yet.
    fn readiness(&self) -> (bool, String) {
        if self.standing_by.load(Ordering::Relaxed) {
            return (true, "standing by\n".to_owned());
        }
        let watches = self.watches();
        let is_refused =
            |watch: &Watch| !watch.filled && watch.outage.as_ref().is_some_and(|outage| outage.refused);
        let absent =
            |namespace: &str| watches.values().filter(|watch| watch.namespace == namespace).all(is_refused);
        let (mut ready, mut text) = (!watches.is_empty(), String::new());
        for (name, watch) in watches.iter().filter(|(_, watch)| !watch.filled) {
            let is_absent = absent(&watch.namespace);
            ready &= is_absent;
            let failure = watch.outage.as_ref().and_then(|outage| outage.reported.last());
            let failure = failure.map_or("being listed", String::as_str);
            let scope = if is_absent { " (namespace not managed: it grants nothing)" } else { "" };
            let _ = writeln!(text, "cache of {name} is not filled{scope}: {failure}");
        }
        text.push_str(if ready { "ok\n" } else { "not ready\n" });
        (ready, text)
    }

    fn watches(&self) -> MutexGuard<'_, BTreeMap<String, Watch>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone)]
struct Shared {
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

/// Answers on `address` until `stop`.
pub fn serve(
    address: SocketAddr,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> Result<impl Future<Output = String> + use<>, std::io::Error> {
    let listener = listen::bind(address)?;
    tracing::info!(address = %listener.local_addr()?, "serving health and metrics");
    let routes = Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(async |State(shared): State<Shared>| shared.metrics.encode()))
        .with_state(Shared { health, metrics });
    Ok(async move {
        let served = axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await;
        format!("the health server ended: {served:?}")
    })
}

async fn live(State(shared): State<Shared>) -> (StatusCode, String) {
    match shared.health.stuck(Instant::now()) {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(watch) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("the watch of {watch} makes no progress\n"))
        }
    }
}

async fn ready(State(shared): State<Shared>) -> (StatusCode, String) {
    let (ready, text) = shared.health.readiness();
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(watches: &[(&str, &str)]) -> Health {
        let health = Health::default();
        for (watch, namespace) in watches {
            health.expect_watch(watch, namespace);
        }
        health
    }

    #[test]
    fn a_watch_is_stuck_only_after_a_long_unbroken_outage() {
        let health = health(&[("pods", "n")]);
        let begin = Instant::now();
        let mut now = begin;
        while now.duration_since(begin) <= STUCK_AFTER {
            assert_eq!(health.failed("pods", false, "no", now), now == begin, "logged at its beginning");
            assert_eq!(health.stuck(now), None);
            now += Duration::from_secs(30);
        }
        health.failed("pods", false, "no", now);
        assert_eq!(health.stuck(now).as_deref(), Some("pods"));
        assert_eq!(health.stuck(now + OUTAGE_GAP * 2), None, "quiet since then: it recovered");
        assert!(health.failed("pods", false, "no", now + OUTAGE_GAP * 2));
        assert_eq!(health.stuck(now + OUTAGE_GAP * 2), None, "another outage begins");
    }

    #[test]
    fn a_watch_that_lists_and_fails_in_turn_is_one_outage() {
        let health = health(&[("pods", "n")]);
        let begin = Instant::now();
        let logged = (0..60).filter(|second| {
            let now = begin + Duration::from_secs(2) * *second;
            health.progressed("pods", true, now);
            health.failed("pods", false, "the watch is not allowed", now)
        });
        assert_eq!(logged.count(), 1);
        assert!(health.failed("pods", false, "another reason", begin), "what changed is logged");
        let messages = (0..100).filter(|n| health.failed("pods", false, &n.to_string(), begin));
        assert!(messages.count() < MAX_MESSAGES, "bounded whatever the server says");
    }

    #[test]
    fn a_watch_that_is_refused_is_no_reason_to_start_again() {
        let health = health(&[("pods", "n")]);
        let begin = Instant::now();
        for half_minutes in 0..60 {
            let now = begin + Duration::from_secs(30) * half_minutes;
            assert_eq!(health.failed("pods", true, "no", now), half_minutes == 0);
            assert_eq!(health.stuck(now), None);
        }
    }

    #[test]
    fn a_cache_that_does_not_fill_is_named_and_makes_the_process_unready() {
        let health = health(&[("pods in a", "a"), ("secrets in a", "a")]);
        health.progressed("pods in a", true, Instant::now());
        health.failed("secrets in a", true, "cannot list secrets", Instant::now());
        let (ready, text) = health.readiness();
        assert!(!ready && text.contains("secrets in a") && text.contains("cannot list secrets"), "{text}");
        health.progressed("secrets in a", true, Instant::now());
        assert!(health.readiness().0);
    }

    #[test]
    fn a_namespace_that_grants_nothing_is_said_but_keeps_no_upgrade_waiting() {
        let health = health(&[("pods in a", "a"), ("pods in gone", "gone"), ("nodes in gone", "gone")]);
        health.progressed("pods in a", true, Instant::now());
        for watch in ["pods in gone", "nodes in gone"] {
            assert!(!health.readiness().0, "it may yet fill");
            health.failed(watch, true, "forbidden", Instant::now());
        }
        let (ready, text) = health.readiness();
        assert!(ready && text.contains("pods in gone is not filled (namespace not managed"), "{text}");
    }

    #[test]
    fn a_process_that_stands_by_is_ready_and_one_that_leads_is_not_before_its_caches_are_filled() {
        let health = Health::default();
        health.set_standing_by(true);
        assert!(health.readiness().0);
        health.set_standing_by(false);
        assert!(!health.readiness().0);
    }
}
