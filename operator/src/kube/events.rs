//! Events: what a person wants to know, at the moment it becomes so. Never needed for anything: a failure is logged.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

/// One Event about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRecord {
    /// Whether a person should look.
    pub warning: bool,
    /// One word in CamelCase.
    pub reason: &'static str,
    /// One sentence.
    pub note: String,
}

impl EventRecord {
    /// Good to know.
    pub fn normal(reason: &'static str, note: impl Into<String>) -> Self {
        Self { warning: false, reason, note: note.into() }
    }

    /// A person should look.
    pub fn warning(reason: &'static str, note: impl Into<String>) -> Self {
        Self { warning: true, reason, note: note.into() }
    }
}

/// Publishes Events.
#[derive(Clone)]
pub struct Events {
    client: Client,
    reporter: Reporter,
    /// Counts repetitions, for which it keeps each Event whole for six minutes.
    warnings: Recorder,
}

impl Events {
    /// Reports as this operator, from `instance` (its pod).
    pub fn new(client: Client, instance: &str) -> Self {
        let reporter =
            Reporter { controller: super::FIELD_MANAGER.to_owned(), instance: Some(instance.to_owned()) };
        Self { warnings: Recorder::new(client.clone(), reporter.clone()), client, reporter }
    }

    /// What is as it should be happens once to each object: there is nothing to count, and while a fleet comes up much of the
    /// memory would be kept for it.
    fn recorder(&self, record: &EventRecord) -> Recorder {
        if record.warning {
            self.warnings.clone()
        } else {
            Recorder::new(self.client.clone(), self.reporter.clone())
        }
    }

    /// Publishes each record about the object `about`.
    pub async fn publish(&self, about: &ObjectReference, records: &[EventRecord]) {
        for record in records {
            let event = Event {
                type_: if record.warning { EventType::Warning } else { EventType::Normal },
                reason: record.reason.to_owned(),
                // The recorder counts an Event as a repetition of another of the same action and reason, whatever it says:
                // what happened to one object would be reported as what happened to another.
                action: truncated(&record.note, ACTION_LIMIT),
                note: Some(truncated(&record.note, NOTE_LIMIT)),
                secondary: None,
            };
            if let Err(error) = self.recorder(record).publish(&event, about).await {
                tracing::warn!(%error, reason = record.reason, "an event could not be published");
            }
        }
    }
}

/// What the API takes, in bytes.
const NOTE_LIMIT: usize = 1000;
const ACTION_LIMIT: usize = 120;

fn truncated(text: &str, limit: usize) -> String {
    let end = (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::truncated;

    #[test]
    fn a_long_note_is_cut_at_a_character() {
        assert_eq!(truncated("short", 7), "short");
        assert_eq!(truncated(&"é".repeat(600), 999).len(), 998);
    }
}
