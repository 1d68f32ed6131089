//! [pure] The backup of a node's keys: what of it is stored, what custodians have proven, and where keys that come back are sealed to.

use tessera_crds::TesseraNodeStatus;
use tessera_crds::api::key_backup::{KeyBackupStatus, RestoreRecipient, VersionBackup};
use tessera_crds::api::node::KeyStatus;
use tessera_crds::condition::Reason;
use tessera_crds::names;
use tessera_node_api::admin::{self, RestoreState};

use super::{Seen, pods, report};
use crate::backup::challenge::{self, Facts};
use crate::backup::custodians::{Custodians, listed};
use crate::report::conditions::{ConditionStatus, ConditionValue};

/// How a person proves custody, for messages.
const COMMANDS: &str = "kubectl tessera backup export copies the backup, kubectl tessera backup confirm proves that the copy opens";

/// Backups of the versions in `status`, and the state of their custody.
pub(super) fn set(status: &mut TesseraNodeStatus, known: &[KeyStatus], seen: &Seen<'_>) {
    let custodians = seen.node.custodians.as_ref();
    for key in &mut status.keys {
        key.backup = stored(key, known, seen);
    }
    let before = status.key_backup.take().unwrap_or_default();
    let facts = Facts {
        custodians,
        keys: &status.keys,
        accepted: &seen.observed.backup.accepted,
        fresh: &seen.observed.backup.fresh,
        now: seen.now,
    };
    let mut backup = challenge::next(&before, &facts);
    if seen.observed.backup.stored.is_some() {
        backup.config_map = Some(names::node::key_backup(&seen.node.owner.namespace, &seen.node.name));
    }
    // Of several pods the first that awaits a restore: the others find in the store what that one writes.
    let awaited = pods::reports(seen.observed).map(restore_recipients).find(|awaited| !awaited.is_empty());
    backup.restore_recipients = awaited.unwrap_or_default();
    status.key_backup = (custodians.is_some() || backup != KeyBackupStatus::default()).then_some(backup);
}

/// What the ConfigMap has of `key`; before the ConfigMaps are listed what was known before.
fn stored(key: &KeyStatus, known: &[KeyStatus], seen: &Seen<'_>) -> Option<VersionBackup> {
    let backup = &seen.observed.backup;
    if !backup.is_listed {
        let same = |old: &&KeyStatus| {
            old.name == key.name && old.version == key.version && old.public_key == key.public_key
        };
        return known.iter().find(same)?.backup.clone();
    }
    let version = u32::try_from(key.version).ok()?;
    let entry = backup.stored.as_ref()?.entry(&key.name, version, &key.public_key)?;
    let names = seen.node.custodians.as_ref().map(|all| all.names_of(&entry.recipients));
    Some(VersionBackup { fingerprint: entry.fingerprint.clone(), recipients: names.unwrap_or_default() })
}

fn restore_recipients(report: &admin::Status) -> Vec<RestoreRecipient> {
    let awaited = report.restores.iter().filter(|restore| restore.state == RestoreState::Awaited);
    let recipients = awaited.filter_map(|restore| {
        Some(RestoreRecipient {
            key: restore.key.clone(),
            version: i32::try_from(restore.version).ok()?,
            public_key: restore.public_key.clone(),
            recipient: restore.recipient.clone()?,
        })
    });
    recipients.collect()
}

/// `BackupCurrent`; `None`: the network asks for no backup, and none was made.
pub(super) fn current(status: &TesseraNodeStatus, seen: &Seen<'_>) -> Option<ConditionValue> {
    let backup = status.key_backup.as_ref()?;
    let Some(custodians) = &seen.node.custodians else {
        let map = backup.config_map.as_ref()?;
        let message = format!(
            "spec.keyBackup of TesseraNetwork {} names nobody; what was sealed stays in ConfigMap {map}",
            seen.node.network
        );
        return Some((ConditionStatus::False, Reason::NoRecipients, message));
    };
    if let Some(message) = not_sealed(status, custodians, seen) {
        return Some((ConditionStatus::False, Reason::NotSealed, message));
    }
    if let Some(why) = unknown(status, seen) {
        return Some((ConditionStatus::Unknown, Reason::Waiting, why));
    }
    Some(custody(status, backup, custodians, seen))
}

/// A stopped node gets no other keys, so what is known of it stays so.
fn unknown(status: &TesseraNodeStatus, seen: &Seen<'_>) -> Option<String> {
    if status.keys.is_empty() {
        return Some("the node has shown no key yet".to_owned());
    }
    if !seen.observed.backup.is_listed {
        return Some("the operator has not listed the backups yet".to_owned());
    }
    let is_silent = seen.node.replicas > 0 && report(seen.observed).is_none();
    is_silent.then(|| "no pod of the node answers".to_owned())
}

fn not_sealed(status: &TesseraNodeStatus, custodians: &Custodians, seen: &Seen<'_>) -> Option<String> {
    if let Some(name) = custodians.malformed().first() {
        return Some(format!(
            "what spec.keyBackup.recipients[{name}] of TesseraNetwork {} has is no age recipient: put there what age-keygen -y prints",
            seen.node.network
        ));
    }
    let backup = &seen.observed.backup;
    let key = status.keys.iter().find(|key| backup.is_listed && !is_sealed(key, custodians))?;
    let names: Vec<_> = custodians.usable().iter().map(|one| one.name.as_str()).collect();
    let message = format!(
        "the operator has no copy of version {} of key {} that is sealed to {}",
        key.version,
        key.name,
        listed(&names)
    );
    Some(match &backup.failure {
        Some(failure) => format!("{message}: {failure}"),
        None => message,
    })
}

/// Whether each custodian can open what is stored of `key`.
fn is_sealed(key: &KeyStatus, custodians: &Custodians) -> bool {
    let names = key.backup.as_ref().map(|backup| backup.recipients.as_slice()).unwrap_or_default();
    custodians.usable().iter().all(|one| names.contains(&one.name))
}

fn custody(
    status: &TesseraNodeStatus,
    backup: &KeyBackupStatus,
    custodians: &Custodians,
    seen: &Seen<'_>,
) -> ConditionValue {
    let (proven, missing) = custodians.proven(&backup.custodians, &status.keys, seen.now);
    let versions = status.keys.len();
    if proven.len() >= custodians.threshold {
        let message = format!("{} opened their copies of all {versions} versions", listed(&proven));
        let message = match missing.as_slice() {
            [] => message,
            missing => format!("{message}; {} did not of late", listed(missing)),
        };
        return (ConditionStatus::True, Reason::Current, message);
    }
    let message = format!(
        "{} of {} custodians showed of late that their copies of the keys of node {} open, and {} must: {} did not. {COMMANDS}",
        proven.len(),
        custodians.usable().len(),
        seen.node.name,
        custodians.threshold,
        listed(&missing)
    );
    (ConditionStatus::False, Reason::ChallengeDue, message)
}
