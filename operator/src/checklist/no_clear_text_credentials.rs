//! `NoClearTextCredentials`: no credential and no connection string lies in clear text in configuration. Pure.
//!
//! - Enforced by: the API, no field of which takes a credential; keys and tokens never pass through an object.
//! - Observed by: nobody yet. Objects that others wrote are not searched, so this is Enforced.

use jiff::Timestamp;
use tessera_crds::checklist::Line;

use super::facts::NetworkFacts;
use super::finding::Finding;
use super::{EVIDENCE_LASTS, NetworkLine};

pub(super) const OF_NETWORK: NetworkLine =
    NetworkLine { id: Line::NoClearTextCredentials, evidence_lasts: EVIDENCE_LASTS, judge };

fn judge(_: &NetworkFacts<'_>, _: Timestamp) -> Finding {
    Finding::enforced(
        "NoSuchField",
        "no field of a TesseraNetwork or TesseraNode takes a credential; nobody searched the objects of others",
        "search the namespace's ConfigMaps and pods for credentials; this version does not search itself",
    )
}
