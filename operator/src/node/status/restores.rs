//! [pure] Versions that custodians bring back: what the node awaits.

use tessera_crds::condition::Reason;
use tessera_node_api::admin::{self, RestoreState, RestoreStatus};

use crate::node::resolve::Resolved;
use crate::node::resolve::keys::PlannedKey;
use crate::report::conditions::{ConditionStatus, ConditionValue};

/// A version that is there, and is another key than the one to restore.
pub(super) fn failed(node: &Resolved, report: &admin::Status) -> Option<ConditionValue> {
    let is_failed = |status: &&RestoreStatus| {
        let key = node.keys.iter().find(|key| key.name == status.key);
        status.state == RestoreState::Failed && key.is_some_and(|key| key.restore.is_some())
    };
    report.restores.iter().find(is_failed).map(of_failed)
}

fn of_failed(failed: &RestoreStatus) -> ConditionValue {
    let message = format!("version {} of key {}: {}", failed.version, failed.key, failed.message);
    (ConditionStatus::False, Reason::RestoreFailed, message)
}

/// Why `version` of `key` is not there yet, if that is for its restore to say.
pub(super) fn waiting(key: &PlannedKey, version: u32, report: &admin::Status) -> Option<ConditionValue> {
    let restored = key.restore.as_ref()?.public_keys.len();
    if usize::try_from(version).is_ok_and(|version| version > restored) {
        return None;
    }
    let of_key = || report.restores.iter().filter(|status| status.key == key.name);
    let has = |state| move |status: &&RestoreStatus| status.state == state;
    if let Some(failed) = of_key().find(has(RestoreState::Failed)) {
        return Some(of_failed(failed));
    }
    let awaited: Vec<_> =
        of_key().filter(has(RestoreState::Awaited)).map(|it| it.version.to_string()).collect();
    let first = of_key().find(has(RestoreState::Awaited))?;
    let message = format!(
        "the node awaits from a custodian: version {} of key {} (kubectl tessera backup restore)",
        awaited.join(", "),
        key.name
    );
    let message = if first.message.is_empty() { message } else { format!("{message}; {}", first.message) };
    Some((ConditionStatus::False, Reason::RestoreAwaited, message))
}
