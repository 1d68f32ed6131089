//! `KeyRotation`: the secret store supports the rotation of keys, and keys are rotated. Pure.
//!
//! - Enforced by: versions of keys, each written once; `keys[].rotation.trigger` makes the next.
//! - Observed by: nobody yet. Nothing says how old a key may be (there is no schedule), so this is at most Enforced.

use jiff::Timestamp;
use tessera_crds::checklist::Line;
use tessera_node_api::admin::KeyState;

use super::facts::NodeFacts;
use super::finding::Finding;
use super::{EVIDENCE_LASTS, NetworkLine, NodeLine, nodes};

pub(super) const OF_NODE: NodeLine =
    NodeLine { id: Line::KeyRotation, evidence_lasts: EVIDENCE_LASTS, judge: of_node };
pub(super) const OF_NETWORK: NetworkLine = NetworkLine {
    id: Line::KeyRotation,
    evidence_lasts: EVIDENCE_LASTS,
    judge: |facts, now| nodes::worst(facts, Line::KeyRotation, now),
};

fn of_node(facts: &NodeFacts, _: Timestamp) -> Finding {
    facts.worst_pod(|pod| {
        let Some(report) = &pod.report else { return pod.silent() };
        let Some(key) = report.keys.iter().find(|key| key.state == KeyState::Default) else {
            let remedy = "kubectl describe the TesseraNode: KeysReady says why";
            return Finding::unknown("NoKey", "the node has no default key yet", remedy);
        };
        let born = key.born_at.as_deref().unwrap_or("a time that nobody knows");
        Finding::enforced(
            "NoSchedule",
            format!(
                "the default key is version {} of {}, of {born}; nothing says when the next is due",
                key.version, key.name
            ),
            "raise keys[].rotation.trigger when a new key is due",
        )
    })
}
