//! The shipping of log records.

use std::sync::atomic::AtomicI64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// What came of the shipping, as numbers. Cheap to clone: clones count together.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(super) canary_accepted: Gauge<i64, AtomicI64>,
    pub(super) rejected: Counter,
    pub(super) dropped: Counter,
}

impl Metrics {
    /// Adds them to a registry: `canary_accepted_seconds`, `rejected_total` and `dropped_total`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "canary_accepted",
            "When the collector last accepted the canary record; 0: not yet",
            Unit::Seconds,
            self.canary_accepted.clone(),
        );
        registry.register("rejected", "Records that the collector rejected", self.rejected.clone());
        let help = "Records that were dropped: the buffer was full, or the collector stayed away";
        registry.register("dropped", help, self.dropped.clone());
    }
}
