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
    exceptions: Family<AcceptedLine, Gauge>,
    certificates: Family<OfNetwork, Gauge>,
    logs: tessera_log_shipping::Metrics,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LineOfNetwork {
    namespace: String,
    network: String,
    line: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfNetwork {
    namespace: String,
    network: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AcceptedLine {
    namespace: String,
    network: String,
    line: &'static str,
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
        let exceptions = Family::<AcceptedLine, Gauge>::default();
        let help = "1 for each line of the security checklist whose violation an exception accepts";
        registry.register("checklist_exception", help, exceptions.clone());
        let certificates = Family::<OfNetwork, Gauge>::default();
        let help = "1 if the network's condition CertificatesCurrent is True, else 0";
        registry.register("certificates_current", help, certificates.clone());
        let logs = tessera_log_shipping::Metrics::default();
        logs.register(registry.sub_registry_with_prefix("logs"));
        Self {
            registry,
            durations,
            failures,
            requests,
            event_lists,
            checklist,
            exceptions,
            certificates,
            logs,
        }
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

    /// Counts what comes of the operator's own log.
    pub fn logs(&self) -> tessera_log_shipping::Metrics {
        self.logs.clone()
    }

    /// One list of the Events of a pod that does not come up.
    pub fn event_list(&self) {
        self.event_lists.inc();
    }

    /// The checklist of a network; no lines: the network is gone.
    pub fn checklist(&self, namespace: &str, network: &str, lines: &[LineStatus]) {
        for line in Line::ALL {
            self.exception(namespace, network, *line, lines);
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

    /// Whether what a network renews is current; `None`: the network is gone.
    pub fn certificates(&self, namespace: &str, network: &str, are_current: Option<bool>) {
        let labels = OfNetwork { namespace: namespace.to_owned(), network: network.to_owned() };
        match are_current {
            Some(are_current) => {
                self.certificates.get_or_create(&labels).set(i64::from(are_current));
            }
            None => {
                self.certificates.remove(&labels);
            }
        }
    }

    fn exception(&self, namespace: &str, network: &str, line: Line, lines: &[LineStatus]) {
        let (namespace, network) = (namespace.to_owned(), network.to_owned());
        let labels = AcceptedLine { namespace, network, line: line.as_str() };
        if lines.iter().any(|found| found.id == line && found.exception.is_some()) {
            self.exceptions.get_or_create(&labels).set(1);
        } else {
            self.exceptions.remove(&labels);
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
    use tessera_crds::checklist::LineException;

    use super::*;

    fn violated() -> LineStatus {
        LineStatus {
            id: Line::HardwareKeys,
            result: LineResult::Violated,
            reason: String::new(),
            observer: None,
            observed: String::new(),
            remedy: None,
            parts: Vec::new(),
            exception: None,
            last_transition_time: "2027-01-01T00:00:00Z".into(),
            valid_until: None,
        }
    }

    fn exception() -> LineException {
        let (name, by) = ("software-seal".to_owned(), "ana".to_owned());
        LineException { name, by, expires: "2027-06-01T00:00:00Z".into() }
    }

    #[test]
    fn the_chart_has_an_alert_with_a_runbook_for_each_line() {
        let alerts = include_str!("../../../charts/tessera-operator/files/alerts.yaml");
        let alerts: Vec<serde_json::Map<String, serde_json::Value>> = serde_yaml::from_str(alerts).unwrap();
        let lines: Vec<_> = alerts.iter().map(|alert| alert["line"].as_str().unwrap()).collect();
        assert_eq!(lines, Line::ALL.iter().map(|line| line.as_str()).collect::<Vec<_>>());
        for alert in &alerts {
            for text in ["demands", "runbook"] {
                assert!(alert[text].as_str().is_some_and(|text| text.len() > 10), "{alert:?}");
            }
        }
    }

    #[test]
    fn the_chart_s_alerts_name_metrics_and_labels_that_there_are() {
        let template = include_str!("../../../charts/tessera-operator/templates/alerts.yaml");
        let metrics = Metrics::default();
        metrics.checklist("org-a", "net", &[LineStatus { exception: Some(exception()), ..violated() }]);
        metrics.certificates("org-a", "net", Some(false));
        let encoded = metrics.encode();
        let word = |char: char| !(char.is_alphanumeric() || char == '_');
        let named = template.split(word).filter(|name| name.starts_with("tessera_operator_"));
        let named: std::collections::BTreeSet<_> = named.collect();
        assert_eq!(named.len(), 3);
        for name in named {
            assert!(encoded.contains(&format!("# HELP {name} ")), "{name}: {encoded}");
        }
    }

    #[test]
    fn an_accepted_violation_is_shown_while_it_is_accepted() {
        let metrics = Metrics::default();
        let mut line = violated();
        let series =
            r#"tessera_operator_checklist_exception{namespace="org-a",network="net",line="HardwareKeys"} 1"#;
        let shown = |line: &LineStatus| {
            metrics.checklist("org-a", "net", std::slice::from_ref(line));
            metrics.encode().contains(series)
        };
        assert!(!shown(&line));
        line.exception = Some(exception());
        assert!(shown(&line));
        line.exception = None;
        assert!(!shown(&line));
    }

    #[test]
    fn a_line_has_one_result_and_a_network_that_is_gone_has_none() {
        let metrics = Metrics::default();
        let line = |result| LineStatus { result, ..violated() };
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
