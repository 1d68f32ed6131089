//! The only place that reads the time of day.

use jiff::Timestamp;

/// Now, to the second, as RFC 3339: what goes into statuses.
pub(crate) fn now_rfc3339() -> String {
    rfc3339(now())
}

/// Now.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// `at`, to the second, as RFC 3339.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    // Whole seconds are always representable.
    Timestamp::from_second(at.as_second()).map_or_else(|_| at.to_string(), |at| at.to_string())
}
