//! `NoCoreDumps`: key and payload bytes reach no disk by way of a core dump or of swap. Pure.
//!
//! - Enforced by: the node's boot hardening (core limit 0, not dumpable, keys in locked pages), without which it refuses to run.
//! - Observed by: the node, which reads the limits back that the kernel holds for it now, each time it is asked.
//! - A person attests: that the machine collects no dumps of other kinds.

use jiff::Timestamp;
use tessera_crds::checklist::{Line, Observer, PartName};
use tessera_node_api::admin::Hardening;

use super::facts::{NodeFacts, PodFacts};
use super::finding::Finding;
use super::{EVIDENCE_LASTS, NetworkLine, NodeLine, nodes};

pub(super) const OF_NODE: NodeLine =
    NodeLine { id: Line::NoCoreDumps, evidence_lasts: EVIDENCE_LASTS, judge: of_node };
pub(super) const OF_NETWORK: NetworkLine = NetworkLine {
    id: Line::NoCoreDumps,
    evidence_lasts: EVIDENCE_LASTS,
    judge: |facts, now| nodes::worst(facts, Line::NoCoreDumps, now),
};

fn of_node(facts: &NodeFacts, _: Timestamp) -> Finding {
    let host = facts.statements.attested(Line::NoCoreDumps, "the machine keeps no memory dumps");
    Finding::of_parts(vec![(PartName::Pod, facts.worst_pod(of_pod)), (PartName::Host, host)])
}

fn of_pod(pod: &PodFacts) -> Finding {
    let Some(report) = &pod.report else { return pod.silent() };
    let Some(hardening) = &report.hardening else { return pod.too_old("whether it can be dumped") };
    let violated = |reason, what: String, remedy| {
        Finding::violated(reason, Observer::Node, format!("pod {}: {what}", pod.name), remedy)
    };
    let restart = "find out who changed it on the machine, and restart the pod: kubectl tessera restart";
    if let Some(limit) = core_limit(hardening) {
        return violated("CoreLimitRaised", format!("its core limit is {limit}, not 0"), restart);
    }
    if hardening.dumpable {
        return violated("Dumpable", "the kernel may dump it".to_owned(), restart);
    }
    if hardening.locked_kib == 0 {
        return violated("KeysNotLocked", "none of its memory is locked".to_owned(), restart);
    }
    if hardening.swap_kib > 0 {
        let what = format!("its memory may go to {} KiB of swap", hardening.swap_kib);
        return violated(
            "SwapOn",
            what,
            "turn swap off on the machine, or deny it to pods in the kubelet's configuration",
        );
    }
    Finding::verified(
        Observer::Node,
        format!(
            "core limit 0, not dumpable (core pattern {:?}), {} KiB of keys locked, no swap",
            hardening.core_pattern, hardening.locked_kib
        ),
    )
}

/// A limit other than 0. A raised hard limit is the soft one in waiting.
fn core_limit(hardening: &Hardening) -> Option<String> {
    [hardening.core_soft_limit, hardening.core_hard_limit]
        .into_iter()
        .find(|limit| *limit != Some(0))
        .map(|limit| limit.map_or_else(|| "unlimited".to_owned(), |bytes| format!("{bytes} bytes")))
}
