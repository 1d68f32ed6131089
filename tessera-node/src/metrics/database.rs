//! The database's numbers, read when scraped.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tessera_database::Database;

pub(super) fn register(registry: &mut Registry, database: Database) {
    registry.register_collector(Box::new(DatabaseCollector(database)));
}

#[derive(Debug)]
struct DatabaseCollector(Database);

impl Collector for DatabaseCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let up = ConstGauge::new(i64::from(self.0.health().failure().is_none()));
        up.encode(encoder.encode_descriptor(
            "up",
            "1 when the database can be used",
            None,
            up.metric_type(),
        )?)?;
        let stats = self.0.stats();
        for (name, help, value) in [
            ("written_rows", "Payloads inserted", stats.written),
            ("insert_statements", "Statements that inserted them, each with its own commit", stats.batches),
            ("connections_opened", "Connections made, renewed ones among them", stats.connections),
        ] {
            let metric = ConstCounter::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)?;
        }
        Ok(())
    }
}
