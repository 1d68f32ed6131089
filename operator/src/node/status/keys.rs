//! [pure] The keys of a node, as it reports them, and whether they are all that it is asked to have.

use jiff::{SignedDuration, Timestamp};
use tessera_crds::api::name::Timestamp as Text;
use tessera_crds::api::node::{KeyState, KeyStatus, StoreLocation};
use tessera_crds::condition::Reason;
use tessera_node_api::admin;

use super::imports::{self, IMPORTED_VERSION};
use super::{Seen, pods, restores};
use crate::node::resolve::Resolved;
use crate::node::resolve::keys::{Cause, PlannedKey};
use crate::report::conditions::{ConditionStatus, ConditionValue};

/// How much newer a push must be for the status to say so: pushes never end.
const LAST_PUSH_STEP: SignedDuration = SignedDuration::from_hours(1);

/// Keys as the node reports them. A key is an address permanently: one that was seen is never dropped from the status, and
/// another public key under its name and version is the loss of the first.
pub(super) fn keys(known: &[KeyStatus], seen: &Seen<'_>) -> (Vec<KeyStatus>, ConditionValue) {
    let unknown = || (ConditionStatus::Unknown, Reason::Waiting, "no pod of the node answers".to_owned());
    let reported = of_all_pods(seen);
    if pods::reports(seen.observed).next().is_none() {
        return (known.to_vec(), unknown());
    }
    let same = |a: &KeyStatus, b: &KeyStatus| a.name == b.name && a.version == b.version;
    let replaced = known
        .iter()
        .find(|old| reported.iter().any(|new| same(old, new) && old.public_key != new.public_key));
    if let Some(old) = replaced {
        let message = format!(
            "the secret store lost version {} of key {}, {}: restore it in the store; what the node holds now is another key",
            old.version, old.name, old.public_key
        );
        return (known.to_vec(), (ConditionStatus::False, Reason::KeyMissing, message));
    }
    let absent = known.iter().filter(|old| !reported.iter().any(|new| same(old, new))).cloned();
    let with_last_push = |new: &KeyStatus| {
        let before = known.iter().find(|old| same(old, new)).and_then(|old| old.last_push_at.as_ref());
        KeyStatus { last_push_at: last_push(before, new.last_push_at.as_ref()), ..new.clone() }
    };
    let mut keys: Vec<_> = absent.chain(reported.iter().map(with_last_push)).collect();
    keys.sort_by(|a, b| (&a.name, a.version).cmp(&(&b.name, b.version)));
    let ready = pods::worst(seen.observed, |report| {
        let of_pod: Vec<_> = report.keys.iter().map(key).collect();
        keys_ready(seen.node, &of_pod, report)
    });
    (keys, ready.unwrap_or_else(unknown))
}

/// Every version that a pod reports. It is default only where all pods that have it say so, and archived if one does.
fn of_all_pods(seen: &Seen<'_>) -> Vec<KeyStatus> {
    let mut all: Vec<KeyStatus> = Vec::new();
    for new in pods::reports(seen.observed).flat_map(|report| &report.keys).map(key) {
        let same = all.iter_mut().find(|known| {
            known.name == new.name && known.version == new.version && known.public_key == new.public_key
        });
        match same {
            None => all.push(new),
            Some(known) => {
                known.state = least(known.state, new.state);
                let later = [known.last_push_at.take(), new.last_push_at].into_iter().flatten();
                known.last_push_at = later.max_by_key(|time| time.parse::<Timestamp>().ok());
            }
        }
    }
    all
}

fn least(a: KeyState, b: KeyState) -> KeyState {
    if a == b || b == KeyState::Default { a } else { b }
}

/// In steps of [`LAST_PUSH_STEP`].
fn last_push(before: Option<&Text>, seen: Option<&Text>) -> Option<Text> {
    let time = |text: &Text| text.parse::<Timestamp>().ok();
    let is_newer = match (before.and_then(time), seen.and_then(time)) {
        (Some(before), Some(seen)) => seen.duration_since(before) >= LAST_PUSH_STEP,
        (None, Some(_)) => true,
        (_, None) => false,
    };
    if is_newer { seen.cloned() } else { before.cloned() }
}

fn keys_ready(node: &Resolved, reported: &[KeyStatus], report: &admin::Status) -> ConditionValue {
    let has = |key: &PlannedKey, version: u32| {
        reported
            .iter()
            .any(|reported| reported.name == *key.name && u32::try_from(reported.version) == Ok(version))
    };
    let missing =
        node.keys.iter().find_map(|key| Some((key, (1..=key.versions).find(|version| !has(key, *version))?)));
    if let Some((key, version)) = missing {
        if version == IMPORTED_VERSION
            && let Some(waiting) = imports::waiting(key, report)
        {
            return waiting;
        }
        if let Some(waiting) = restores::waiting(key, version, report) {
            return waiting;
        }
        let message = format!("version {version} of key {} is not in the node's memory yet", key.name);
        let message = match why_not_yet(report) {
            Some(why) => format!("{message}: {why}"),
            None => message,
        };
        let reason = match key.rotates {
            Some(Cause::Trigger | Cause::Age) => Reason::RotationInProgress,
            Some(Cause::First) | None => Reason::Waiting,
        };
        return (ConditionStatus::False, reason, message);
    }
    if let Some(waiting) = waits_for_replicas(report) {
        return (ConditionStatus::False, Reason::RotationInProgress, waiting);
    }
    if let Some(useless) = node.keys.iter().find_map(|key| key.useless_archive(reported)) {
        return (ConditionStatus::False, Reason::InvalidConfiguration, useless);
    }
    if let Some(failed) = imports::failed(node, report).or_else(|| restores::failed(node, report)) {
        return failed;
    }
    let all = "every key is in the secret store and in the node's memory";
    let message = match imports::left_over(node, report) {
        Some(left_over) => format!("{all}; {left_over}"),
        None => all.to_owned(),
    };
    (ConditionStatus::True, Reason::Ready, message)
}

/// A key that is in memory and not in use.
fn waits_for_replicas(report: &admin::Status) -> Option<String> {
    let key = report.keys.iter().find(|key| !key.waits_for.is_empty())?;
    Some(format!(
        "version {} of key {} is not in use yet: pods that have not loaded it: {}",
        key.version,
        key.name,
        key.waits_for.join(", ")
    ))
}

/// What a node awaits that does not serve; of one that does, why it has not all its keys.
fn why_not_yet(report: &admin::Status) -> Option<String> {
    let reasons = [&report.awaiting, &report.key_failures];
    reasons.into_iter().find(|reasons| !reasons.is_empty()).map(|reasons| reasons.join("; "))
}

pub(super) fn default_key(keys: &[KeyStatus]) -> Option<String> {
    let default = keys.iter().find(|key| key.state == KeyState::Default)?;
    Some(default.public_key.clone())
}

fn key(key: &admin::KeyStatus) -> KeyStatus {
    KeyStatus {
        name: key.name.clone(),
        version: i32::try_from(key.version).unwrap_or(i32::MAX),
        public_key: key.public_key.clone(),
        state: match key.state {
            admin::KeyState::Default => KeyState::Default,
            admin::KeyState::Receiving => KeyState::Receiving,
            admin::KeyState::Archived => KeyState::Archived,
        },
        imported: key.imported.then_some(true),
        born_at: key.born_at.as_deref().map(Into::into),
        // Each version of a key is a secret of its own, written once.
        store: key.store_path.clone().map(|path| StoreLocation { path, version: 1 }),
        trigger: key.trigger.and_then(|trigger| i32::try_from(trigger).ok()),
        last_push_at: key.last_pushed_at.as_deref().map(Into::into),
        backup: None,
    }
}
