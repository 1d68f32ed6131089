//! `CentralLogging`: logs of nodes and their dependencies are kept remotely, in one place. Pure.
//!
//! - Enforced by: nothing yet. This version writes its logs to standard error and ships none.

use jiff::Timestamp;
use tessera_crds::checklist::{Line, Observer};

use super::facts::NetworkFacts;
use super::finding::Finding;
use super::{EVIDENCE_LASTS, NetworkLine};

pub(super) const OF_NETWORK: NetworkLine =
    NetworkLine { id: Line::CentralLogging, evidence_lasts: EVIDENCE_LASTS, judge };

fn judge(_: &NetworkFacts<'_>, _: Timestamp) -> Finding {
    Finding::violated(
        "NoCollector",
        Observer::ApiServer,
        "the network names no collector of logs",
        "collect the pods' logs with an agent on each machine; this version ships no logs itself",
    )
}
