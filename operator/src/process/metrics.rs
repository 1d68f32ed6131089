//! The operator's own metrics, in the text format of Prometheus.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tessera_crds::checklist::{Line, LineResult, LineStatus};

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
    checklist: Family<LineOfNetwork, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LineOfNetwork {
    namespace: String,
    network: String,
    line: &'static str,
    result: &'static str,
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
        let checklist = Family::<LineOfNetwork, Gauge>::default();
        let help = "The result of each line of the security checklist: 1 for the one that it has";
        registry.register("checklist_line", help, checklist.clone());
        Self { registry, durations, failures, requests, event_lists, checklist }
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

    /// The checklist of a network; no lines: the network is gone.
    pub fn checklist(&self, namespace: &str, network: &str, lines: &[LineStatus]) {
        for line in Line::ALL {
            for result in LineResult::ALL {
                let labels = LineOfNetwork {
                    namespace: namespace.to_owned(),
                    network: network.to_owned(),
                    line: line.as_str(),
                    result: result.as_str(),
                };
                if lines.iter().any(|found| found.id == *line && found.result == *result) {
                    self.checklist.get_or_create(&labels).set(1);
                } else {
                    self.checklist.remove(&labels);
                }
            }
        }
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
    fn a_line_has_one_result_and_a_network_that_is_gone_has_none() {
        let metrics = Metrics::default();
        let line = |result| LineStatus {
            id: Line::HardwareKeys,
            result,
            reason: String::new(),
            observer: None,
            observed: String::new(),
            remedy: None,
            parts: Vec::new(),
            exception: None,
            last_transition_time: "2027-01-01T00:00:00Z".into(),
            valid_until: None,
        };
        let shown = |lines: &[LineStatus]| {
            metrics.checklist("org-a", "net", lines);
            let text = metrics.encode();
            text.lines()
                .filter(|line| line.starts_with("tessera_operator_checklist_line{"))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        shown(&[line(LineResult::Unknown)]);
        assert_eq!(
            shown(&[line(LineResult::Violated)]),
            [
                r#"tessera_operator_checklist_line{namespace="org-a",network="net",line="HardwareKeys",result="Violated"} 1"#
            ]
        );
        assert!(shown(&[]).is_empty());
    }

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
