//! The report as JSON: the fields of [`Report`], whose names and meanings stay within one `format`. Pure.

use super::model::Report;

/// The document.
pub(super) fn render(report: &Report) -> serde_json::Result<String> {
    serde_json::to_string_pretty(report).map(|text| text + "\n")
}
