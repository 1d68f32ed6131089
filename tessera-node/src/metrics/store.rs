//! The payload store's own numbers, read when scraped.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use tessera_store::{BATCH_SIZE_BOUNDS, Stats, Store};

pub(super) fn register(registry: &mut Registry, store: Store) {
    registry.register_collector(Box::new(StoreCollector(store)));
}

#[derive(Debug)]
struct StoreCollector(Store);

impl Collector for StoreCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let stats = self.0.stats();
        let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, value: u64| {
            let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            metric.encode(encoder.encode_descriptor(name, help, unit, metric.metric_type())?)
        };
        gauge("records", "Live records", None, stats.records)?;
        gauge("log", "The log on disk", Some(&Unit::Bytes), stats.log_bytes)?;
        gauge("segments", "Segment files", None, stats.segments)?;
        if let Some(free) = stats.free_bytes {
            gauge(
                "volume_free",
                "Bytes that the volume has left for new segments",
                Some(&Unit::Bytes),
                free,
            )?;
        }
        if let Some(quota) = stats.quota_bytes {
            gauge("quota", "Bytes that the store may take", Some(&Unit::Bytes), quota)?;
        }
        if let Some(free) = stats.quota_free_bytes {
            gauge("quota_free", "Bytes that the quota has left for new segments", Some(&Unit::Bytes), free)?;
        }
        gauge("corrupt_records", "Damaged records", None, stats.corrupt)?;
        let mut counter = |name: &str, help: &str, value: u64| {
            let metric = ConstCounter::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        counter("written_records", "Records written", stats.written)?;
        counter("syncs", "Times that the log was synced", stats.syncs)?;
        counter(
            "index_reads",
            "Writes that had to ask the index whether a hash is taken",
            stats.index_reads,
        )?;
        counter("full", "Batches refused because the disk was full", stats.full)?;
        counter("checkpoints", "Checkpoints of the index", stats.checkpoints)?;
        counter("checkpoint_failures", "Checkpoints that failed", stats.checkpoint_failures)?;
        compaction(&mut encoder, &stats)?;
        sync_time(&mut encoder, &stats)?;
        batch_sizes(&mut encoder, &stats)
    }
}

fn compaction(encoder: &mut DescriptorEncoder<'_>, stats: &Stats) -> fmt::Result {
    let mut counter = |name: &str, help: &str, unit: Option<&Unit>, value: u64| {
        let metric = ConstCounter::new(value);
        metric.encode(encoder.encode_descriptor(name, help, unit, metric.metric_type())?)
    };
    counter("compactions", "Segments that compaction removed", None, stats.compactions)?;
    let help = "Bytes that compaction gave back to the volume";
    counter("reclaimed", help, Some(&Unit::Bytes), stats.reclaimed_bytes)?;
    let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, value: u64| {
        let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        metric.encode(encoder.encode_descriptor(name, help, unit, metric.metric_type())?)
    };
    if let Some(live) = stats.live_bytes {
        gauge("live", "Bytes of the log that live records take", Some(&Unit::Bytes), live)?;
    }
    let help = "Segments that compaction leaves alone, since something in them is damaged";
    gauge("damaged_segments", help, None, stats.damaged_segments)
}

#[allow(clippy::cast_precision_loss)] // Nanoseconds of syncing lose a digit after a hundred days of it.
fn sync_time(encoder: &mut DescriptorEncoder<'_>, stats: &Stats) -> fmt::Result {
    let metric = ConstCounter::new(stats.sync_nanos as f64 / 1e9);
    let help = "Time spent syncing the log";
    metric.encode(encoder.encode_descriptor("sync_time", help, Some(&Unit::Seconds), metric.metric_type())?)
}

#[allow(clippy::cast_precision_loss)] // Bounds of a few hundred records.
fn batch_sizes(encoder: &mut DescriptorEncoder<'_>, stats: &Stats) -> fmt::Result {
    let bounds = BATCH_SIZE_BOUNDS.iter().map(|bound| *bound as f64).chain([f64::MAX]);
    let buckets: Vec<_> = bounds.zip(stats.batch_sizes).collect();
    let batches = stats.batch_sizes.iter().sum();
    let help = "Records that one sync made durable";
    let kind = prometheus_client::metrics::MetricType::Histogram;
    let mut metric = encoder.encode_descriptor("batch_size", help, None, kind)?;
    metric.encode_histogram::<[(&str, &str); 0]>(stats.written as f64, batches, &buckets, None)
}
