//! What a scraper sees. Labels come from enums and constants: a peer, a key or a hash is never one.

use std::fmt::{self, Write as _};
use std::sync::atomic::AtomicI64;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use http::StatusCode;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::payload_store::PayloadStore;

mod database;
mod store;

/// A listener of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Port {
    Q2t,
    P2p,
    Admin,
    Metrics,
}

impl Port {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Q2t => "Q2T",
            Self::P2p => "P2P",
            Self::Admin => "admin",
            Self::Metrics => "metrics",
        }
    }
}

/// Spelled as in logs and messages.
impl EncodeLabelValue for Port {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(self.as_str())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    port: Port,
    route: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PortLabels {
    port: Port,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    port: Port,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// All metrics of a node.
#[derive(Debug)]
pub struct Metrics {
    registry: RwLock<Registry>,
    requests: Family<RequestLabels, Histogram, fn() -> Histogram>,
    connections: Family<PortLabels, Gauge>,
    handshakes: Family<PortLabels, Counter>,
    refused: Family<RefusedLabels, Counter>,
    pushes: Family<OutcomeLabels, Histogram, fn() -> Histogram>,
    keys: Gauge,
    ready: Gauge,
    peers_reached: Gauge,
    secret_store_up: Gauge,
    certificate_not_after: Gauge<i64, AtomicI64>,
    logs: tessera_log_shipping::Metrics,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All of them at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("tessera");
        let requests: Family<_, _, fn() -> Histogram> = Family::new_with_constructor(latency);
        let pushes: Family<_, _, fn() -> Histogram> = Family::new_with_constructor(latency);
        let metrics = Self {
            requests,
            pushes,
            connections: Family::default(),
            handshakes: Family::default(),
            refused: Family::default(),
            keys: Gauge::default(),
            ready: Gauge::default(),
            peers_reached: Gauge::default(),
            secret_store_up: Gauge::default(),
            certificate_not_after: Gauge::default(),
            logs: tessera_log_shipping::Metrics::default(),
            registry: RwLock::default(),
        };
        let m = &metrics;
        registry.register_with_unit(
            "request_duration",
            "Time to answer a request",
            Unit::Seconds,
            m.requests.clone(),
        );
        registry.register_with_unit(
            "push_duration",
            "Time of a push to a peer",
            Unit::Seconds,
            m.pushes.clone(),
        );
        registry.register("connections", "Open connections", m.connections.clone());
        registry.register(
            "handshakes",
            "TLS handshakes completed with an accepted peer",
            m.handshakes.clone(),
        );
        registry.register("refused_connections", "Connections refused in the handshake", m.refused.clone());
        registry.register("keys", "Keys in memory", m.keys.clone());
        registry.register("ready", "1 when the node serves", m.ready.clone());
        registry.register(
            "peers_reached",
            "Peers that answered the last announcement",
            m.peers_reached.clone(),
        );
        registry.register(
            "secret_store_up",
            "1 when the secret store answered last",
            m.secret_store_up.clone(),
        );
        registry.register_with_unit(
            "certificate_not_after",
            "End of validity of the served certificate",
            Unit::Seconds,
            m.certificate_not_after.clone(),
        );
        m.logs.register(registry.sub_registry_with_prefix("logs"));
        Self { registry: RwLock::new(registry), ..metrics }
    }

    /// Adds the metrics of the payload store; each scrape reads them.
    pub(crate) fn add_store(&self, store: &PayloadStore) {
        let mut registry = self.registry.write().unwrap_or_else(PoisonError::into_inner);
        match store {
            PayloadStore::Embedded(store) => {
                store::register(registry.sub_registry_with_prefix("store"), store.clone());
            }
            PayloadStore::Postgres(database) => {
                database::register(registry.sub_registry_with_prefix("database"), database.clone());
            }
        }
    }

    /// All of them as text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = encode(&mut text, &self.registry.read().unwrap_or_else(PoisonError::into_inner));
        text
    }

    pub(crate) fn answered(&self, port: Port, route: &'static str, status: StatusCode, took: Duration) {
        let labels = RequestLabels { port, route, status: class(status) };
        self.requests.get_or_create(&labels).observe(took.as_secs_f64());
    }

    pub(crate) fn pushed(&self, outcome: &'static str, took: Duration) {
        self.pushes.get_or_create(&OutcomeLabels { outcome }).observe(took.as_secs_f64());
    }

    pub(crate) fn connection_opened(&self, port: Port) {
        self.handshakes.get_or_create(&PortLabels { port }).inc();
        self.connections.get_or_create(&PortLabels { port }).inc();
    }

    pub(crate) fn connection_closed(&self, port: Port) {
        self.connections.get_or_create(&PortLabels { port }).dec();
    }

    pub(crate) fn refused(&self, port: Port, reason: &'static str) {
        self.refused.get_or_create(&RefusedLabels { port, reason }).inc();
    }

    pub(crate) fn set_keys(&self, keys: usize) {
        self.keys.set(i64::try_from(keys).unwrap_or(i64::MAX));
    }

    pub(crate) fn set_ready(&self, ready: bool) {
        self.ready.set(ready.into());
    }

    pub(crate) fn set_peers_reached(&self, peers: usize) {
        self.peers_reached.set(i64::try_from(peers).unwrap_or(i64::MAX));
    }

    pub(crate) fn set_secret_store(&self, up: bool) {
        self.secret_store_up.set(up.into());
    }

    pub(crate) fn logs(&self) -> tessera_log_shipping::Metrics {
        self.logs.clone()
    }

    pub(crate) fn set_certificate_not_after(&self, seconds: i64) {
        self.certificate_not_after.set(seconds);
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        2 => "2xx",
        4 => "4xx",
        5 => "5xx",
        _ => "other",
    }
}

/// From half a millisecond to the deadline of a send, and beyond.
fn latency() -> Histogram {
    Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 3.5, 5.0])
}
