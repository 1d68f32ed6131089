//! [pure] Keys to import: what the node awaits of their Secrets, and which Secrets are no longer needed.

use tessera_crds::api::node::{KeyImport, SecretKeyRef};
use tessera_crds::condition::Reason;
use tessera_node_api::admin::{self, ImportState, ImportStatus};

use crate::node::resolve::Resolved;
use crate::node::resolve::keys::PlannedKey;
use crate::report::conditions::{ConditionStatus, ConditionValue};

/// The version that an import becomes.
pub(super) const IMPORTED_VERSION: u32 = 1;

/// Why version 1 of `key` is not there yet, if that is for its import to say.
pub(super) fn waiting(key: &PlannedKey, report: &admin::Status) -> Option<ConditionValue> {
    let import = key.import.as_ref()?;
    let status = report.imports.iter().find(|status| status.key == key.name);
    let status = status.filter(|status| !status.message.is_empty())?;
    let reason = match status.state {
        ImportState::Awaited => Reason::ImportAwaited,
        ImportState::Failed => Reason::ImportFailed,
        ImportState::Adopted | ImportState::Other => return None,
    };
    let message = format!("{} (import reads {})", status.message, listed(import));
    Some((ConditionStatus::False, reason, message))
}

/// An import into a key that is there, and is another one.
pub(super) fn failed(node: &Resolved, report: &admin::Status) -> Option<ConditionValue> {
    let is_failed = |(_, status): &(&KeyImport, &ImportStatus)| status.state == ImportState::Failed;
    let (_, failed) = of_both(node, report).find(is_failed)?;
    Some((ConditionStatus::False, Reason::ImportFailed, failed.message.clone()))
}

/// The Secrets that still hold keys which are in the secret store.
pub(super) fn left_over(node: &Resolved, report: &admin::Status) -> Option<String> {
    let is_left = |status: &ImportStatus| status.state == ImportState::Adopted && status.files_present;
    let left = of_both(node, report).filter(|(_, status)| is_left(status));
    let left: Vec<_> = left
        .map(|(import, status)| {
            format!("key {} is adopted: delete {}, which the node needs no more", status.key, names(import))
        })
        .collect();
    (!left.is_empty()).then(|| left.join("; "))
}

fn of_both<'a>(
    node: &'a Resolved,
    report: &'a admin::Status,
) -> impl Iterator<Item = (&'a KeyImport, &'a ImportStatus)> {
    report.imports.iter().filter_map(|status| {
        let key = node.keys.iter().find(|key| key.name == status.key)?;
        Some((key.import.as_ref()?, status))
    })
}

fn parts(import: &KeyImport) -> impl Iterator<Item = &SecretKeyRef> {
    [&import.secret_ref].into_iter().chain(&import.password_secret_ref)
}

fn listed(import: &KeyImport) -> String {
    let parts: Vec<_> = parts(import).map(|part| format!("{} of Secret {}", part.key, part.name)).collect();
    parts.join(" and ")
}

fn names(import: &KeyImport) -> String {
    let mut names: Vec<_> = parts(import).map(|part| format!("Secret {}", part.name)).collect();
    names.dedup();
    names.join(" and ")
}
