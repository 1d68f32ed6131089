//! Spans of time, as they appear in specs.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A span of time as Go writes it, in hours, minutes and seconds: `24h`, `90m`, `1h30m`.
#[derive(Debug, Clone)]
pub struct Duration {
    text: String,
    value: std::time::Duration,
}

/// Why a text is not a [`Duration`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("duration {0:?} is not of the form 24h, 90m or 1h30m")]
pub struct DurationError(String);

impl Duration {
    /// So many hours; `hours` is above zero and at most 99,999.
    pub(crate) fn from_hours(hours: u64) -> Self {
        Self { text: format!("{hours}h"), value: std::time::Duration::from_secs(hours * 3600) }
    }

    /// So many minutes; `minutes` is above zero and at most 99,999.
    pub(crate) fn from_mins(minutes: u64) -> Self {
        Self { text: format!("{minutes}m"), value: std::time::Duration::from_secs(minutes * 60) }
    }

    /// The span of time.
    pub fn as_std(&self) -> std::time::Duration {
        self.value
    }

    /// The text as the user wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let seconds = seconds_of(text).filter(|seconds| *seconds > 0);
        let seconds = seconds.ok_or_else(|| DurationError(text.to_owned()))?;
        Ok(Self { text: text.to_owned(), value: std::time::Duration::from_secs(seconds) })
    }
}

/// Hours, then minutes, then seconds, each at most once and of at most five digits, so that the sum cannot overflow.
fn seconds_of(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut seconds = 0;
    for (unit, factor) in [('h', 3600), ('m', 60), ('s', 1)] {
        let Some((digits, tail)) = rest.split_once(unit) else { continue };
        if digits.is_empty() || digits.len() > 5 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        seconds += digits.parse::<u64>().ok()? * factor;
        rest = tail;
    }
    (rest.is_empty() && !text.is_empty()).then_some(seconds)
}

/// Two durations are equal if they are the same span, however written.
impl PartialEq for Duration {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Eq for Duration {}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 2,
            "maxLength": 18,
            "x-kubernetes-validations": [{
                // The second half refuses 0h, 0m and 0h0s.
                "rule": "self.matches('^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,5}s)?$') && self.matches('[1-9]')",
                "message": "must be a duration of hours, minutes and seconds above zero, for example 24h, 90m or 1h30m",
            }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_parse_as_go_writes_them() {
        for (text, seconds) in
            [("24h", 86_400), ("90m", 5_400), ("1h30m", 5_400), ("45s", 45), ("8760h", 31_536_000)]
        {
            assert_eq!(text.parse::<Duration>().unwrap().as_std().as_secs(), seconds, "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_by_name() {
        for text in ["", "h", "24", "1d", "-1h", "1.5h", "30m1h", "1h1h", "0h", "123456h", "1h "] {
            let error = text.parse::<Duration>().unwrap_err();
            assert_eq!(error, DurationError(text.to_owned()));
        }
    }

    #[test]
    fn a_duration_is_written_back_as_it_was_read() {
        let duration: Duration = serde_json::from_str("\"1h30m\"").unwrap();
        assert_eq!(serde_json::to_string(&duration).unwrap(), "\"1h30m\"");
    }
}
