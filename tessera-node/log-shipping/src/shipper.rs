//! Takes batches from the queue to the collector, and a canary each minute.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message;
use tessera_node_api::admin::CANARY_SECONDS;
use tokio::time::{Instant, sleep, sleep_until};

use super::collector::{Client, Outcome};
use super::{Collector, Origin, Queue, Reports, Source, Target};

const CANARY_EVERY: Duration = Duration::from_secs(CANARY_SECONDS as u64);
/// How long a record waits for others of its batch.
const GATHER: Duration = Duration::from_millis(500);
/// After a failure: doubled with each, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Attempts at one batch, each after a canary was accepted; then the batch is dropped.
const MAX_ATTEMPTS: u32 = 5;

/// Ships the records of one process. While the collector fails, the canary alone is tried and records wait in the queue, so
/// that no record is lost to a refusal that concerns all of them.
pub struct Shipper<S> {
    queue: Arc<Queue>,
    source: S,
    client: Client,
    origin: Origin,
    reports: Reports,
    canary_due: Instant,
    /// Not before that the collector is asked again.
    retry_at: Instant,
    pause: Duration,
    /// A batch that the collector has not taken yet.
    pending: Option<Batch>,
}

struct Batch {
    body: Bytes,
    records: u64,
    attempts: u32,
}

impl<S: Source> Shipper<S> {
    /// Ships what is in `queue`.
    pub fn new(queue: Arc<Queue>, source: S, origin: Origin, reports: Reports) -> Self {
        let now = Instant::now();
        Self {
            queue,
            source,
            client: Client::new(origin.user_agent()),
            origin,
            reports,
            canary_due: now,
            retry_at: now,
            pause: FIRST_PAUSE,
            pending: None,
        }
    }

    /// Ships until it is stopped.
    pub async fn run(mut self) -> Result<(), Infallible> {
        let mut known = None;
        loop {
            let collector = self.follow();
            if collector != known {
                // What is known of one collector says nothing of another.
                (self.canary_due, self.retry_at, self.pause) = (Instant::now(), Instant::now(), FIRST_PAUSE);
                known.clone_from(&collector);
            }
            match collector {
                Some(collector) => self.step(&collector).await,
                None => self.source.changed().await,
            }
        }
    }

    /// Where records go now.
    fn follow(&mut self) -> Option<Collector> {
        let target = self.source.target();
        if target == Target::None {
            self.queue.close();
            self.pending = None;
        } else {
            self.queue.open();
        }
        let collector = match target {
            Target::Collector(collector) => Some(collector),
            Target::NotKnownYet | Target::None => None,
        };
        self.reports.follow(collector.as_ref().map(|collector| &collector.endpoint));
        collector
    }

    /// A canary or a batch, or the wait for either.
    async fn step(&mut self, collector: &Collector) {
        self.reports.dropped(self.queue.take_dropped());
        let now = Instant::now();
        if now < self.retry_at {
            return self.wait_until(self.retry_at).await;
        }
        if now >= self.canary_due {
            return self.send_canary(collector).await;
        }
        if let Some(batch) = self.pending.take().or_else(|| self.next_batch()) {
            return self.send_batch(collector, batch).await;
        }
        // Until the next one there is nothing to keep a connection for.
        self.client.close();
        let filled = Arc::clone(&self.queue);
        tokio::select! {
            () = filled.filled() => sleep(GATHER).await,
            () = self.wait_until(self.canary_due) => {}
        }
    }

    /// The canary goes alone, so that it is known which record was rejected.
    async fn send_canary(&mut self, collector: &Collector) {
        let body = self.body(vec![self.origin.canary()]);
        match self.client.send(collector, &self.source, body).await {
            Outcome::Answered { rejected: 0, .. } => {
                self.reports.accepted_canary();
                self.canary_due = Instant::now() + CANARY_EVERY;
                self.pause = FIRST_PAUSE;
            }
            Outcome::Answered { rejected, reason } => {
                self.reports.rejected(rejected);
                self.reports.refused(&format!("it rejected the canary record: {reason}"));
                self.back_off();
            }
            Outcome::Refused(why) => {
                self.reports.refused(&why);
                self.back_off();
            }
            Outcome::Failed(why) => {
                self.reports.failed(&why);
                self.back_off();
            }
        }
    }

    async fn send_batch(&mut self, collector: &Collector, mut batch: Batch) {
        match self.client.send(collector, &self.source, batch.body.clone()).await {
            Outcome::Answered { rejected, .. } => self.reports.rejected(rejected.min(batch.records)),
            Outcome::Refused(why) => {
                tracing::warn!(error = why, records = batch.records, "the collector of logs refused records");
                self.reports.rejected(batch.records);
            }
            Outcome::Failed(why) => {
                self.reports.failed(&why);
                batch.attempts += 1;
                if batch.attempts < MAX_ATTEMPTS {
                    self.pending = Some(batch);
                } else {
                    self.reports.dropped(batch.records);
                }
                // The canary shows when the collector is back.
                self.canary_due = Instant::now();
                self.back_off();
            }
        }
    }

    fn back_off(&mut self) {
        self.retry_at = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    async fn wait_until(&mut self, time: Instant) {
        tokio::select! {
            () = sleep_until(time) => {}
            () = self.source.changed() => {}
        }
    }

    fn next_batch(&self) -> Option<Batch> {
        let records = self.queue.take_batch();
        let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
        (count > 0).then(|| Batch { body: self.body(records), records: count, attempts: 0 })
    }

    fn body(&self, records: Vec<LogRecord>) -> Bytes {
        self.origin.request(records).encode_to_vec().into()
    }
}
