//! What the kubelet and a scraper ask, over plain HTTP: nothing here is secret, and the kubelet has no certificate.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::process::metrics::Metrics;

/// A watch that has failed for this long without a pause will not recover: a new process might.
const STUCK_AFTER: Duration = Duration::from_mins(10);
/// The longest pause between two failures of one outage: the longest backoff, and time for the attempt.
const OUTAGE_GAP: Duration = Duration::from_secs(90);

/// How the process is.
#[derive(Default)]
pub struct Health {
    ready: AtomicBool,
    outages: Mutex<HashMap<String, Outage>>,
}

#[derive(Clone, Copy)]
struct Outage {
    refused: bool,
    first: Instant,
    last: Instant,
}

impl Health {
    /// Caches are filled, or this process stands by.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    /// A watch made progress.
    pub fn progressed(&self, watch: &str) {
        self.outages().remove(watch);
    }

    /// A watch failed; and whether the outage is new. Success shows only with the next change, so a failure long ago says nothing.
    /// One that is `refused` for lack of rights would be refused a new process, too, and is no reason to start one: the
    /// rights of a namespace go with the namespace.
    pub fn failed(&self, watch: &str, refused: bool, now: Instant) -> bool {
        let mut outages = self.outages();
        let goes_on =
            |outage: &Outage| outage.refused == refused && now.duration_since(outage.last) <= OUTAGE_GAP;
        let before = outages.get(watch).filter(|outage| goes_on(outage)).copied();
        let first = before.map_or(now, |outage| outage.first);
        outages.insert(watch.to_owned(), Outage { refused, first, last: now });
        before.is_none()
    }

    /// A watch that has been failing for too long.
    fn stuck(&self, now: Instant) -> Option<String> {
        let is_stuck = |outage: &Outage| {
            !outage.refused
                && now.duration_since(outage.last) < OUTAGE_GAP
                && outage.last.duration_since(outage.first) > STUCK_AFTER
        };
        let outages = self.outages();
        outages.iter().find(|(_, outage)| is_stuck(outage)).map(|(watch, _)| watch.clone())
    }

    fn outages(&self) -> std::sync::MutexGuard<'_, HashMap<String, Outage>> {
        self.outages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone)]
struct Shared {
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

/// Answers on `address` until `stop`.
pub async fn serve(
    address: SocketAddr,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> Result<impl Future<Output = String>, std::io::Error> {
    let listener = TcpListener::bind(address).await?;
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

async fn ready(State(shared): State<Shared>) -> (StatusCode, &'static str) {
    if shared.health.ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "caches are being filled\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_is_stuck_only_after_a_long_unbroken_outage() {
        let health = Health::default();
        let begin = Instant::now();
        let mut now = begin;
        while now.duration_since(begin) <= STUCK_AFTER {
            assert_eq!(health.failed("pods", false, now), now == begin, "reported only at its beginning");
            assert_eq!(health.stuck(now), None);
            now += Duration::from_secs(30);
        }
        health.failed("pods", false, now);
        assert_eq!(health.stuck(now).as_deref(), Some("pods"));
        assert_eq!(health.stuck(now + OUTAGE_GAP), None, "quiet since then: it recovered");
        assert!(health.failed("pods", false, now + OUTAGE_GAP * 2));
        assert_eq!(health.stuck(now + OUTAGE_GAP * 2), None, "another outage begins");
        health.progressed("pods");
        assert_eq!(health.stuck(now), None);
    }

    #[test]
    fn a_watch_that_is_refused_is_no_reason_to_start_again() {
        let health = Health::default();
        let begin = Instant::now();
        for half_minutes in 0..60 {
            let now = begin + Duration::from_secs(30) * half_minutes;
            assert_eq!(health.failed("pods in a deleted namespace", true, now), half_minutes == 0);
            assert_eq!(health.stuck(now), None);
        }
    }
}
