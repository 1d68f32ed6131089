//! `HostFirewall`: a node reaches its secret store, DNS and its peers, and nothing else; so do the machines. Pure.
//!
//! - Enforced by: the egress rules of the node's NetworkPolicy.
//! - Observed by: the node, which fetches no key before a forbidden connect has failed beside an allowed one that was made.
//!   That is at its start alone, over TCP and from its pod, so it is Enforced and not Verified.
//! - A person attests: the firewalls of the machines and of the secret store's machines, their clocks included.

use jiff::Timestamp;
use tessera_crds::checklist::{Line, Observer, PartName};

use super::facts::{NodeFacts, PodFacts};
use super::finding::Finding;
use super::{EVIDENCE_LASTS, NetworkLine, NodeLine, nodes};

pub(super) const OF_NODE: NodeLine =
    NodeLine { id: Line::HostFirewall, evidence_lasts: EVIDENCE_LASTS, judge: of_node };
pub(super) const OF_NETWORK: NetworkLine = NetworkLine {
    id: Line::HostFirewall,
    evidence_lasts: EVIDENCE_LASTS,
    judge: |facts, now| nodes::worst(facts, Line::HostFirewall, now),
};

fn of_node(facts: &NodeFacts, _: Timestamp) -> Finding {
    let stated = |what| facts.statements.attested(Line::HostFirewall, what);
    let host = stated("a firewall limits what the machine reaches and who reaches it");
    let store = stated("a firewall limits what the secret store's machine reaches and who reaches it");
    Finding::of_parts(vec![
        (PartName::Pod, facts.worst_pod(of_pod)),
        (PartName::Host, host),
        (PartName::StoreHost, store),
    ])
}

fn of_pod(pod: &PodFacts) -> Finding {
    let Some(report) = &pod.report else { return pod.silent() };
    match &report.egress_closed_since {
        Some(_) => Finding::enforced(
            "SeenAtStart",
            "when the node started, a connect to a forbidden address failed and one to the secret store was made (TCP, from its pod)",
            "nothing: the node looks once, before it fetches its keys",
        ),
        None if !report.ready => Finding::unknown(
            "NodeStarting",
            format!("pod {}: the node is starting", pod.name),
            "kubectl describe the TesseraNode: Ready says why",
        ),
        None => Finding::violated(
            "EgressOpen",
            Observer::Node,
            format!("pod {}: the node did not find its egress closed when it started", pod.name),
            "use a network plug-in that enforces NetworkPolicy, then restart the pod: kubectl tessera restart",
        ),
    }
}
