//! `OfflineKeyBackup`: encryption keys are backed up in offline, secured locations. Pure.
//!
//! - Enforced by: the network's `keyBackup`; nodes seal each version of their keys to custodians, and the operator keeps the ciphertext.
//! - Observed by: the nodes, which verify by HMAC that a custodian's copy opens. Where custodians keep their copies nobody observes, so the
//!   line is never Verified.

use jiff::Timestamp;
use tessera_crds::api::key_backup::KeyBackupStatus;
use tessera_crds::api::node::KeyStatus;
use tessera_crds::checklist::{Line, Observer};
use tessera_crds::condition::ConditionType;
use tessera_crds::{TesseraNode, TesseraNodeStatus};

use super::facts::NetworkFacts;
use super::finding::Finding;
use super::{EVIDENCE_LASTS, NetworkLine};
use crate::backup::custodians::{Custodians, listed};
use crate::kube::meta::name_of;
use crate::report::conditions::find;

pub(super) const OF_NETWORK: NetworkLine =
    NetworkLine { id: Line::OfflineKeyBackup, evidence_lasts: EVIDENCE_LASTS, judge };

/// Nodes and versions that a text names, before it counts the others.
const NAMED: usize = 3;

/// How the backup of one node is.
enum NodeBackup<'a> {
    /// This version is not stored, sealed to all custodians.
    NotSealed(String),
    /// These custodians have not shown of late that their copies open.
    NotProven(Vec<&'a str>),
    /// Nobody knows; why.
    Unknown(&'static str),
    /// So many custodians have, for so many versions; until then.
    Proven { custodians: usize, versions: usize, until: Timestamp },
}

fn judge(facts: &NetworkFacts<'_>, now: Timestamp) -> Finding {
    let Some(custodians) = &facts.custodians else {
        return Finding::violated(
            "NoRecipients",
            Observer::ApiServer,
            "the network names nobody who keeps a backup of its keys",
            "name custodians and their age recipients in spec.keyBackup.recipients of the TesseraNetwork",
        );
    };
    if facts.nodes.is_empty() {
        return Finding::unknown("NoNode", "the network has no node", "create a TesseraNode");
    }
    let nodes: Vec<_> =
        facts.nodes.iter().map(|node| (name_of(&**node), of_node(custodians, node, now))).collect();
    not_sealed(custodians, &nodes)
        .or_else(|| not_proven(custodians, &nodes))
        .or_else(|| unknown(&nodes))
        .unwrap_or_else(|| proven(&nodes))
}

fn not_sealed(custodians: &Custodians, nodes: &[(&str, NodeBackup<'_>)]) -> Option<Finding> {
    if let Some(name) = custodians.malformed().first() {
        return Some(Finding::violated(
            "NotSealed",
            Observer::ApiServer,
            format!(
                "what spec.keyBackup.recipients[{name}] has is no age recipient: nothing is sealed to it"
            ),
            "put there what age-keygen -y prints for the custodian's identity",
        ));
    }
    let of = |(name, backup): &(&str, NodeBackup<'_>)| match backup {
        NodeBackup::NotSealed(version) => Some(format!("{version} of node {name}")),
        _ => None,
    };
    let named: Vec<_> = nodes.iter().filter_map(of).collect();
    (!named.is_empty()).then(|| {
        Finding::violated(
            "NotSealed",
            Observer::Node,
            format!("the operator has no copy, sealed to each custodian, of {}", few(&named)),
            "kubectl describe the TesseraNode: BackupCurrent says why",
        )
    })
}

fn not_proven(custodians: &Custodians, nodes: &[(&str, NodeBackup<'_>)]) -> Option<Finding> {
    let of = |(name, backup): &(&str, NodeBackup<'_>)| match backup {
        NodeBackup::NotProven(missing) => Some(format!("for node {name} {} did not", listed(missing))),
        _ => None,
    };
    let named: Vec<_> = nodes.iter().filter_map(of).collect();
    (!named.is_empty()).then(|| {
        Finding::violated(
            "CustodyNotProven",
            Observer::Node,
            format!(
                "{} of {} custodians must show that their copies open: {}",
                custodians.threshold,
                custodians.usable().len(),
                few(&named)
            ),
            "let them copy the backup with kubectl tessera backup export, and prove with kubectl tessera backup confirm that the copy opens",
        )
    })
}

fn unknown(nodes: &[(&str, NodeBackup<'_>)]) -> Option<Finding> {
    let of = |(name, backup): &(&str, NodeBackup<'_>)| match backup {
        NodeBackup::Unknown(why) => Some(format!("node {name}: {why}")),
        _ => None,
    };
    let named: Vec<_> = nodes.iter().filter_map(of).collect();
    (!named.is_empty()).then(|| {
        let remedy = "kubectl describe the TesseraNode: BackupCurrent and Ready say why";
        Finding::unknown("NodeSilent", few(&named), remedy)
    })
}

fn proven(nodes: &[(&str, NodeBackup<'_>)]) -> Finding {
    let (mut least, mut all, mut end) = (usize::MAX, 0, Timestamp::MAX);
    for (_, backup) in nodes {
        if let NodeBackup::Proven { custodians, versions, until } = backup {
            (least, all, end) = (least.min(*custodians), all + versions, end.min(*until));
        }
    }
    let observed = format!(
        "proofs in the names of {least} custodians show that copies of all {all} versions of {} nodes open; who opens one can answer for all, and where they keep the copies nobody observes",
        nodes.len()
    );
    let remedy = "keep the copies and the custodians' identities offline, each in a secured place";
    Finding { rests_on_evidence_until: Some(end), ..Finding::enforced("CustodyProven", observed, remedy) }
}

fn of_node<'a>(custodians: &'a Custodians, node: &TesseraNode, now: Timestamp) -> NodeBackup<'a> {
    let Some(status) = &node.status else { return NodeBackup::Unknown("it was not looked at yet") };
    let Some(first) = status.keys.first() else { return NodeBackup::Unknown("it has shown no key yet") };
    // Of other custodians than those that the spec names now, the status says nothing that counts.
    let Some(backup) = status.key_backup.as_ref().filter(|backup| is_of(custodians, backup)) else {
        return NodeBackup::NotSealed(version(first));
    };
    if let Some(key) = status.keys.iter().find(|key| !is_sealed(custodians, key)) {
        return NodeBackup::NotSealed(version(key));
    }
    let (_, missing) = custodians.proven(&backup.custodians, &status.keys, now);
    let Some((count, until)) = enough(custodians, backup, &status.keys, now) else {
        return NodeBackup::NotProven(missing);
    };
    if !is_known(status) {
        return NodeBackup::Unknown("nobody can say which keys it has now");
    }
    NodeBackup::Proven { custodians: count, versions: status.keys.len(), until }
}

/// How many custodians have proven custody, if they are as many as must, and until when so many have.
fn enough(
    custodians: &Custodians,
    backup: &KeyBackupStatus,
    keys: &[KeyStatus],
    now: Timestamp,
) -> Option<(usize, Timestamp)> {
    let of = |name: &str| custodians.proven_until(name, &backup.custodians, keys, now);
    let mut ends: Vec<_> = custodians.usable().iter().filter_map(|one| of(&one.name)).collect();
    ends.sort_unstable_by(|a, b| b.cmp(a));
    Some((ends.len(), *ends.get(custodians.threshold - 1)?))
}

fn is_of(custodians: &Custodians, backup: &KeyBackupStatus) -> bool {
    let wanted = custodians.usable().iter().map(|one| (&one.name, &one.age));
    wanted.eq(backup.custodians.iter().map(|one| (&one.name, &one.age)))
}

fn is_sealed(custodians: &Custodians, key: &KeyStatus) -> bool {
    let names = key.backup.as_ref().map(|backup| backup.recipients.as_slice()).unwrap_or_default();
    custodians.usable().iter().all(|one| names.contains(&one.name))
}

/// Whether it is known now which keys the node has.
fn is_known(status: &TesseraNodeStatus) -> bool {
    find(&status.conditions, ConditionType::BackupCurrent)
        .is_some_and(|condition| condition.status == "True" || condition.status == "False")
}

fn version(key: &KeyStatus) -> String {
    format!("version {} of key {}", key.version, key.name)
}

fn few(named: &[String]) -> String {
    match named.get(NAMED..) {
        Some(others) if !others.is_empty() => {
            format!("{}; and so {} more", named[..NAMED].join("; "), others.len())
        }
        _ => named.join("; "),
    }
}
