//! `NetworkSegment`: nodes run in an independent network segment. Pure.
//!
//! - Enforced by: NetworkPolicies that deny everything both ways but an exact list.
//! - Observed by: nobody yet. A stranger must fail to connect while the admin port answers and a control on the same port
//!   shows the stranger free to; until something tries, this is Enforced.

use jiff::Timestamp;
use tessera_crds::checklist::Line;

use super::facts::NodeFacts;
use super::finding::Finding;
use super::{EVIDENCE_LASTS, NetworkLine, NodeLine, nodes};

pub(super) const OF_NODE: NodeLine =
    NodeLine { id: Line::NetworkSegment, evidence_lasts: EVIDENCE_LASTS, judge: of_node };
pub(super) const OF_NETWORK: NetworkLine = NetworkLine {
    id: Line::NetworkSegment,
    evidence_lasts: EVIDENCE_LASTS,
    judge: |facts, now| nodes::worst(facts, Line::NetworkSegment, now),
};

fn of_node(facts: &NodeFacts, _: Timestamp) -> Finding {
    match facts.policies_in_place {
        Some(true) => Finding::enforced(
            "PolicyOnly",
            "its NetworkPolicies are in place; nobody tried to connect past them, and other pods share its machine",
            "give the network machines of its own; this version does not try connects itself",
        ),
        Some(false) => Finding::unknown(
            "PolicyNotWritten",
            "a NetworkPolicy of the node could not be written",
            "kubectl describe the TesseraNode: its conditions say why",
        ),
        None => Finding::unknown(
            "Paused",
            "paused: its NetworkPolicies are not looked at",
            "set spec.paused to false",
        ),
    }
}
