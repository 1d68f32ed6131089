//! The operator's own metrics, in the text format of Prometheus.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Which kind was reconciled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Kind {
    /// A TesseraNetwork.
    Network,
    /// A TesseraNode.
    Node,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: Kind,
}

/// Counters and histograms.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    durations: Family<OfKind, Histogram>,
    failures: Family<OfKind, Counter>,
    requests: Counter,
    event_lists: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("tessera_operator");
        let durations = Family::<OfKind, Histogram>::new_with_constructor(histogram as fn() -> Histogram);
        let failures = Family::<OfKind, Counter>::default();
        registry.register("reconcile_duration_seconds", "How long a reconcile took", durations.clone());
        registry.register("reconcile_failures", "Reconciles that will be tried again", failures.clone());
        let requests = Counter::default();
        registry.register("reconcile_requests", "Requests of reconciles to the API server", requests.clone());
        let event_lists = Counter::default();
        let help = "Lists of the Events of a pod that does not come up";
        registry.register("event_lists", help, event_lists.clone());
        Self { registry, durations, failures, requests, event_lists }
    }
}

fn histogram() -> Histogram {
    Histogram::new([0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
}

impl Metrics {
    /// One reconcile.
    pub fn reconciled(&self, kind: Kind, took: Duration, succeeded: bool) {
        self.durations.get_or_create(&OfKind { kind }).observe(took.as_secs_f64());
        if !succeeded {
            self.failures.get_or_create(&OfKind { kind }).inc();
        }
    }

    /// Counts requests of reconciles to the API server.
    pub fn requests(&self) -> Counter {
        self.requests.clone()
    }

    /// One list of the Events of a pod that does not come up.
    pub fn event_list(&self) {
        self.event_lists.inc();
    }

    /// All of them as text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)
            .expect("writing to a String does not fail");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_reconcile_is_counted_by_kind() {
        let metrics = Metrics::default();
        metrics.reconciled(Kind::Node, Duration::from_millis(7), false);
        let text = metrics.encode();
        assert!(text.contains(r#"tessera_operator_reconcile_failures_total{kind="Node"} 1"#), "{text}");
        assert!(
            text.contains(r#"tessera_operator_reconcile_duration_seconds_count{kind="Node"} 1"#),
            "{text}"
        );
    }
}
