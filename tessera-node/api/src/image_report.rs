//! What a program says of itself before it runs as a node: `tessera-node --version` writes it to the file that
//! [`REPORT_TO`] names, as JSON.
//!
//! The operator never goes back to a program that cannot read what a newer one wrote, so it must know the format of each
//! before it runs. A program that writes no report is older than the report, and writes format 1.

use serde::{Deserialize, Serialize};

/// The environment variable that names the file. Unset: nothing is written.
pub const REPORT_TO: &str = "TESSERA_IMAGE_REPORT_TO";

/// The file that a kubelet reads when a container ends.
pub const TERMINATION_LOG: &str = "/dev/termination-log";

/// The format that programs without a report write and read.
pub const FIRST_FORMAT: u32 = 1;

/// What a program says of itself. Readers ignore members that they do not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageReport {
    /// The format of the payload store that it writes, which is the newest that it reads.
    pub store_format: u32,
}

impl ImageReport {
    /// As the file holds it.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a number serialises")
    }

    /// The format that a program writes which ended well with this termination message; `None`: it cannot be read.
    pub fn format_in(message: Option<&str>) -> Option<u32> {
        let Some(message) = message.map(str::trim).filter(|message| !message.is_empty()) else {
            return Some(FIRST_FORMAT);
        };
        serde_json::from_str::<Self>(message).ok().map(|report| report.store_format)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_a_report_is_of_the_first_format_and_an_unreadable_report_says_nothing() {
        assert_eq!(ImageReport::format_in(None), Some(FIRST_FORMAT));
        assert_eq!(ImageReport::format_in(Some("\n")), Some(FIRST_FORMAT));
        assert_eq!(ImageReport::format_in(Some(&ImageReport { store_format: 7 }.to_json())), Some(7));
        assert_eq!(ImageReport::format_in(Some(r#"{"storeFormat": 2, "later": {}}"#)), Some(2));
        assert_eq!(ImageReport::format_in(Some("tessera-node 0.1.0")), None);
    }
}
