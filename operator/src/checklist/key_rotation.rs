//! `KeyRotation`: the secret store supports the rotation of keys, and keys are rotated. Pure.
//!
//! - Enforced by: versions of keys, each written once; `keys[].rotation.trigger` makes the next.
//! - Observed by: the secret store, which shows its auditor the settings of the key-value engine. Nothing says how old a key may be
//!   (there is no schedule), so this is at most Enforced.

use jiff::Timestamp;
use tessera_crds::checklist::{Line, LineResult, Observer};
use tessera_node_api::admin::KeyState;

use super::facts::{NetworkFacts, NodeFacts};
use super::finding::Finding;
use super::store_facts::{AuditorAnswer, AuditorFacts};
use super::{EVIDENCE_LASTS, NetworkLine, NodeLine, nodes};

pub(super) const OF_NODE: NodeLine =
    NodeLine { id: Line::KeyRotation, evidence_lasts: EVIDENCE_LASTS, judge: of_node };
pub(super) const OF_NETWORK: NetworkLine =
    NetworkLine { id: Line::KeyRotation, evidence_lasts: EVIDENCE_LASTS, judge: of_network };

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

fn of_network(facts: &NetworkFacts<'_>, now: Timestamp) -> Finding {
    let nodes = nodes::worst(facts, Line::KeyRotation, now);
    if nodes.result == LineResult::Violated {
        return nodes;
    }
    let engine = match facts.auditor() {
        // A violation of before must not turn into less for that.
        AuditorAnswer::NotAskedYet => return Finding::not_asked_yet("the secret store"),
        AuditorAnswer::Shows(shown) => match of_engine(shown) {
            Ok(engine) => engine,
            Err(violated) => return *violated,
        },
        _ => None,
    };
    let engine = engine.unwrap_or_else(|| "nobody read the settings of its key-value engine".to_owned());
    Finding { observed: format!("{}; the secret store: {engine}", nodes.observed), ..nodes }
}

/// The settings of the engine; `None`: they were not read.
fn of_engine(shown: &AuditorFacts) -> Result<Option<String>, Box<Finding>> {
    let Some(kv) = &shown.kv else { return Ok(None) };
    let mount = &shown.wanted.kv_mount;
    let violated = |reason, observed, remedy: String| {
        Err(Box::new(Finding::violated(reason, Observer::Store, observed, &remedy)))
    };
    if !kv.is_version_2 {
        let observed = format!("the key-value engine at {mount}/ keeps no versions");
        return violated("NoVersions", observed, format!("vault kv enable-versioning {mount}/"));
    }
    if !kv.cas_required {
        return violated(
            "NoCheckAndSet",
            format!(
                "the key-value engine at {mount}/ does not require check-and-set: a key can be written over unawares"
            ),
            format!(
                "vault write {mount}/config cas_required=true, once all who write there use check-and-set: the nodes do"
            ),
        );
    }
    if let Some(after) = &kv.deletes_after {
        return violated(
            "VersionsDeleted",
            format!(
                "the key-value engine at {mount}/ deletes each version after {after}: keys would be lost"
            ),
            format!("vault write {mount}/config delete_version_after=0s"),
        );
    }
    Ok(Some(format!("{mount}/ requires check-and-set and deletes no version by itself")))
}
