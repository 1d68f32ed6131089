//! `SecretStoreIsolation`: the secret store is isolated from external networks. Pure.
//!
//! - Enforced by: the secret store's owner. Observed by: nobody yet.

use jiff::Timestamp;
use tessera_crds::checklist::Line;

use super::facts::NetworkFacts;
use super::finding::Finding;
use super::{EVIDENCE_LASTS, NetworkLine};

pub(super) const OF_NETWORK: NetworkLine =
    NetworkLine { id: Line::SecretStoreIsolation, evidence_lasts: EVIDENCE_LASTS, judge };

fn judge(_: &NetworkFacts<'_>, _: Timestamp) -> Finding {
    Finding::unknown(
        "NotObserved",
        "nobody looked at who can reach the secret store",
        "let no LoadBalancer, NodePort, Ingress or route lead to the store; this version does not look itself",
    )
}
