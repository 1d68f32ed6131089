//! The shipping of log records.

use std::sync::atomic::AtomicI64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Default)]
pub(super) struct Logs {
    pub(super) canary_accepted: Gauge<i64, AtomicI64>,
    pub(super) rejected: Counter,
    pub(super) dropped: Counter,
}

impl Logs {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "canary_accepted",
            "When the collector last accepted the canary record; 0: not yet",
            Unit::Seconds,
            self.canary_accepted.clone(),
        );
        registry.register("rejected", "Records that the collector rejected", self.rejected.clone());
        registry.register("dropped", "Records that the node dropped", self.dropped.clone());
    }
}
