//! What people state about the network, and whether each statement counts. Pure.
//!
//! The operator decides in the same way, in `operator/src/checklist/statements.rs`.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use serde::Serialize;
use tessera_crds::TesseraAttestation;
use tessera_crds::api::attestation::AttestationType;
use tessera_crds::checklist::Line;

use crate::evidence::has_passed;

/// How long a statement may count.
const MOST: SignedDuration = SignedDuration::from_hours(366 * 24);

/// Why a statement does not count whose time is over.
pub(super) const EXPIRED: &str = "it has expired";

/// A person's statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Statement {
    /// The name of the object.
    pub(crate) name: String,
    /// The line that it speaks of.
    pub(crate) line: Line,
    /// Attestation or Exception.
    pub(crate) r#type: AttestationType,
    /// What is stated.
    #[serde(rename = "statement")]
    pub(crate) text: String,
    /// Who states it.
    pub(crate) by: String,
    /// When it was stated, by the API server's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<String>,
    /// Until when it counts.
    pub(crate) expires: String,
    /// Whether it counts now.
    pub(crate) counts: bool,
    /// Why it does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ignored_because: Option<&'static str>,
}

impl Statement {
    /// The statement of `attestation` for a reader at `now`.
    pub(super) fn new(attestation: &TesseraAttestation, now: Timestamp) -> Self {
        let spec = &attestation.spec;
        let ignored_because = ignored_because(attestation, now);
        Self {
            name: attestation.name_any(),
            line: spec.line,
            r#type: spec.r#type,
            text: spec.statement.clone(),
            by: spec.by.clone(),
            created: attestation.metadata.creation_timestamp.as_ref().map(|time| time.0.to_string()),
            expires: spec.expires.to_string(),
            counts: ignored_because.is_none(),
            ignored_because,
        }
    }
}

fn ignored_because(attestation: &TesseraAttestation, now: Timestamp) -> Option<&'static str> {
    let spec = &attestation.spec;
    let Some(created) = attestation.metadata.creation_timestamp.as_ref() else {
        return Some("the API server has not dated it");
    };
    let Ok(expires) = spec.expires.parse::<Timestamp>() else { return Some("its expiry cannot be read") };
    if has_passed(&spec.expires, now) {
        Some(EXPIRED)
    } else if expires.duration_since(created.0) > MOST {
        Some("it would count for more than 366 days")
    } else if attestation.metadata.deletion_timestamp.is_some() {
        Some("it is being deleted")
    } else if spec.r#type == AttestationType::Attestation && !Line::ATTESTABLE.contains(&spec.line) {
        Some("nobody can attest this line")
    } else {
        None
    }
}
