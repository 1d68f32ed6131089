//! From an event of `tracing` to a log record of OTLP.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::Context;

use super::Queue;

/// The longest text of a record; what is longer is cut.
const MAX_TEXT: usize = 4 << 10;
/// Libraries under the shipping itself. What they say below a warning of each request would be another record to ship.
const TRANSPORT: [&str; 6] = ["hyper", "hyper_util", "rustls", "tokio", "mio", "tokio_rustls"];

/// Puts each event into the queue, if it is open.
#[derive(Debug)]
pub struct Layer(pub Arc<Queue>);

impl<S: Subscriber> tracing_subscriber::Layer<S> for Layer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if self.0.is_open() && !is_of_transport(event) {
            self.0.push(record(event));
        }
    }
}

fn is_of_transport(event: &Event<'_>) -> bool {
    let library = event.metadata().target().split("::").next().unwrap_or_default();
    *event.metadata().level() > Level::WARN && TRANSPORT.contains(&library)
}

fn record(event: &Event<'_>) -> LogRecord {
    let level = *event.metadata().level();
    let mut fields = Fields::default();
    event.record(&mut fields);
    fields.attribute("target", text(event.metadata().target()));
    LogRecord {
        severity_number: severity(level).into(),
        severity_text: level.as_str().to_owned(),
        body: fields.message,
        attributes: fields.attributes,
        ..at_now()
    }
}

/// A record of this moment.
pub(super) fn at_now() -> LogRecord {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
    LogRecord { time_unix_nano: nanos, observed_time_unix_nano: nanos, ..LogRecord::default() }
}

fn severity(level: Level) -> SeverityNumber {
    match level {
        Level::TRACE => SeverityNumber::Trace,
        Level::DEBUG => SeverityNumber::Debug,
        Level::INFO => SeverityNumber::Info,
        Level::WARN => SeverityNumber::Warn,
        Level::ERROR => SeverityNumber::Error,
    }
}

/// A value of text, cut to [`MAX_TEXT`].
pub(super) fn text(text: impl Into<String>) -> AnyValue {
    let mut text = text.into();
    if text.len() > MAX_TEXT {
        text.truncate(text.floor_char_boundary(MAX_TEXT));
    }
    AnyValue { value: Some(Value::StringValue(text)) }
}

/// An attribute of a record or of a resource.
pub(super) fn attribute(key: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

/// The fields of one event.
#[derive(Default)]
struct Fields {
    message: Option<AnyValue>,
    attributes: Vec<KeyValue>,
}

impl Fields {
    fn attribute(&mut self, key: &str, value: AnyValue) {
        self.attributes.push(attribute(key, value));
    }

    fn add(&mut self, field: &Field, value: AnyValue) {
        if field.name() == "message" {
            self.message = Some(value);
        } else {
            self.attribute(field.name(), value);
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, text(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, text(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, AnyValue { value: Some(Value::BoolValue(value)) });
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, AnyValue { value: Some(Value::IntValue(value)) });
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        // OTLP has no unsigned number.
        match i64::try_from(value) {
            Ok(value) => self.record_i64(field, value),
            Err(_) => self.add(field, text(value.to_string())),
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, AnyValue { value: Some(Value::DoubleValue(value)) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::registry;

    fn shipped(log: impl FnOnce()) -> Vec<LogRecord> {
        let queue = Arc::new(Queue::default());
        tracing::subscriber::with_default(registry().with(Layer(Arc::clone(&queue))), log);
        queue.take_batch()
    }

    #[test]
    fn a_record_has_the_event_s_level_message_and_fields() {
        let records = shipped(|| tracing::warn!(peer = "b", tries = 3_u32, up = false, "no answer"));
        let [record] = &records[..] else { panic!("{records:?}") };
        assert_eq!((record.severity_number(), record.severity_text.as_str()), (SeverityNumber::Warn, "WARN"));
        assert_eq!(record.body, Some(text("no answer")));
        let value = |key: &str| record.attributes.iter().find(|it| it.key == key)?.value.clone();
        assert_eq!(value("peer"), Some(text("b")));
        assert_eq!(value("tries"), Some(AnyValue { value: Some(Value::IntValue(3)) }));
        assert_eq!(value("up"), Some(AnyValue { value: Some(Value::BoolValue(false)) }));
        assert_eq!(value("target"), Some(text(module_path!())));
        assert!(record.time_unix_nano > 0);
    }

    #[test]
    fn the_transport_s_own_records_are_shipped_from_a_warning_up() {
        let records = shipped(|| {
            tracing::debug!(target: "hyper::proto", "flushed");
            tracing::warn!(target: "rustls::conn", "alert");
        });
        assert_eq!(records.len(), 1);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let records = shipped(|| tracing::info!("{}", "é".repeat(MAX_TEXT)));
        let Some(Value::StringValue(body)) = records[0].body.clone().unwrap().value else {
            panic!("no text")
        };
        assert!(body.len() <= MAX_TEXT && body.ends_with('é'));
    }
}
