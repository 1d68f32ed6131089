//! `SecretStoreTenancy`: the secret store serves nobody else. Pure.
//!
//! - Enforced by: the secret store's owner. A person attests it.

use jiff::Timestamp;
use tessera_crds::checklist::Line;

use super::facts::NetworkFacts;
use super::finding::Finding;
use super::{EVIDENCE_LASTS, NetworkLine};

pub(super) const OF_NETWORK: NetworkLine =
    NetworkLine { id: Line::SecretStoreTenancy, evidence_lasts: EVIDENCE_LASTS, judge };

fn judge(facts: &NetworkFacts<'_>, _: Timestamp) -> Finding {
    facts.statements.attested(Line::SecretStoreTenancy, "the secret store serves this network alone")
}
