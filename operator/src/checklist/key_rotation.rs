//! `KeyRotation`: the secret store supports the rotation of keys, and keys are rotated. Pure.
//!
//! - Enforced by: versions of keys, each written once; `keys[].rotation.every` and `rotation.trigger` make the next.
//! - Observed by: the node, which reports how old its keys are, and reads a payload that each version sealed to itself when it was
//!   generated; the secret store, which shows its auditor the settings of the key-value engine. Without `rotation.every` nothing
//!   says how old a key may be, and before the first rotation nobody has seen one: at most Enforced.

use jiff::{SignedDuration, Timestamp};
use tessera_crds::checklist::{Line, LineResult, Observer};
use tessera_node_api::admin::{KeyState, KeyStatus, SampleOutcome};

use super::facts::{NetworkFacts, NodeFacts, PodFacts};
use super::finding::Finding;
use super::fresh::is_fresh;
use super::store_facts::{AuditorAnswer, AuditorFacts};
use super::{EVIDENCE_LASTS, NetworkLine, NodeLine, nodes};

pub(super) const OF_NODE: NodeLine =
    NodeLine { id: Line::KeyRotation, evidence_lasts: EVIDENCE_LASTS, judge: of_node };
pub(super) const OF_NETWORK: NetworkLine =
    NetworkLine { id: Line::KeyRotation, evidence_lasts: EVIDENCE_LASTS, judge: of_network };

/// How late a rotation by schedule may be: a node that is away, or a store that is sealed, makes none.
const OVERDUE_AFTER: SignedDuration = SignedDuration::from_hours(1);

fn of_node(facts: &NodeFacts, now: Timestamp) -> Finding {
    facts.worst_pod(|pod| of_pod(facts, pod, now))
}

fn of_pod(facts: &NodeFacts, pod: &PodFacts, now: Timestamp) -> Finding {
    let Some(report) = &pod.report else { return pod.silent() };
    let Some(default) = report.keys.iter().find(|key| key.state == KeyState::Default) else {
        let remedy = "kubectl describe the TesseraNode: KeysReady says why";
        return Finding::unknown("NoKey", "the node has no default key yet", remedy);
    };
    overdue(facts, &report.keys, now)
        .or_else(|| unread(facts, pod, &report.keys, now))
        .unwrap_or_else(|| of_default(facts, default, &report.keys))
}

/// The default key, with nothing wrong about any.
fn of_default(facts: &NodeFacts, default: &KeyStatus, keys: &[KeyStatus]) -> Finding {
    let born = default.born_at.as_deref().unwrap_or("a time that nobody knows");
    let is = format!("the default key is version {} of {}, of {born}", default.version, default.name);
    let due = facts.rotate_every.get(&default.name).and_then(|every| after(default, *every));
    let Some(due) = due else {
        return Finding::enforced(
            "NoSchedule",
            format!("{is}; nothing says when the next is due"),
            "set keys[].rotation.every, or raise keys[].rotation.trigger when a new key is due",
        );
    };
    let is = format!("{is}, and another follows at {due}");
    let others: Vec<_> = keys.iter().filter(|key| !is_same(key, default)).collect();
    if others.is_empty() {
        return Finding::enforced(
            "NotRotatedYet",
            format!("{is}; nobody has seen a rotation of this node yet"),
            "wait for it, or raise keys[].rotation.trigger",
        );
    }
    let without = others.iter().find(|key| !is_read(key)).or((!is_read(default)).then_some(&default));
    if let Some(key) = without {
        let why = match &key.sample {
            Some(_) => "kept its sample payload on a volume that was lost",
            None => "was generated without a sample payload",
        };
        return Finding::enforced(
            "NotAllRead",
            format!("{is}; version {} of {} {why}", key.version, key.name),
            "nothing can be done about that version; the versions after it have samples",
        );
    }
    Finding::verified(
        Observer::Node,
        format!(
            "{is}; of each of the {} other versions the node read a payload that was sealed when it was generated",
            others.len()
        ),
    )
}

/// The key that should have another version by now.
fn overdue(facts: &NodeFacts, keys: &[KeyStatus], now: Timestamp) -> Option<Finding> {
    facts.rotate_every.iter().find_map(|(name, every)| {
        let newest = keys.iter().filter(|key| key.name == *name).max_by_key(|key| key.version)?;
        let due = after(newest, *every)?;
        let late = now.duration_since(due) > OVERDUE_AFTER;
        late.then(|| {
            Finding::violated(
                "Overdue",
                Observer::Node,
                format!("version {} of key {name} should have been followed by another at {due}", newest.version),
                "kubectl describe the TesseraNode: KeysReady says what is in the way; a node has at most 256 versions",
            )
        })
    })
}

/// A version whose sample is lost, does not open, or was not read of late.
fn unread(facts: &NodeFacts, pod: &PodFacts, keys: &[KeyStatus], now: Timestamp) -> Option<Finding> {
    let failed = |outcome| {
        keys.iter().find(move |key| key.sample.as_ref().is_some_and(|sample| sample.outcome == outcome))
    };
    let lost = |key: &KeyStatus, reason, what: &str| {
        Finding::violated(
            reason,
            Observer::Node,
            format!(
                "pod {}: the payload that version {} of {} sealed when it was generated {what}",
                pod.name, key.version, key.name
            ),
            "stop the node and find out what happened to its payload store: restore its volume from a snapshot",
        )
    };
    if let Some(key) = failed(SampleOutcome::NotOpened) {
        return Some(lost(key, "OldKeyDoesNotOpen", "is not opened by it"));
    }
    if let Some(key) = failed(SampleOutcome::Missing) {
        return Some(lost(key, "SampleLost", "is not in the payload store"));
    }
    let stale = keys.iter().find(|key| {
        key.sample.as_ref().is_some_and(|sample| {
            sample.outcome == SampleOutcome::Unclear || !is_fresh(&sample.read_at, facts.probe_every, now)
        })
    })?;
    Some(Finding::unknown(
        "NotReadRecently",
        format!(
            "the node in pod {} could not read the sample payload of version {} of {} recently",
            pod.name, stale.version, stale.name
        ),
        "read the node's log: why can its payload store not be read? compare the clocks of the machines",
    ))
}

fn is_read(key: &KeyStatus) -> bool {
    key.sample.as_ref().is_some_and(|sample| sample.outcome == SampleOutcome::Read)
}

fn is_same(a: &KeyStatus, b: &KeyStatus) -> bool {
    a.name == b.name && a.version == b.version
}

fn after(key: &KeyStatus, every: SignedDuration) -> Option<Timestamp> {
    key.born_at.as_deref()?.parse::<Timestamp>().ok()?.checked_add(every).ok()
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
    let Some(engine) = engine else {
        let unread = "nobody read the settings of the secret store's key-value engine";
        let observed = format!("{}; {unread}", nodes.observed);
        if nodes.result == LineResult::Verified {
            let remedy = "let the store's owner make the auditor's role: kubectl tessera store-setup --dry-run prints how";
            return Finding::enforced("StoreNotRead", observed, remedy);
        }
        return Finding { observed, ..nodes };
    };
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
