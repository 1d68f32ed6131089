//! [pure] What a person wants to know of a network, at the moment it becomes so.

use tessera_crds::TesseraNetworkStatus;
use tessera_crds::api::network::RolloverPhase;
use tessera_crds::condition::{ConditionType, Reason};

use super::apply::Applied;
use super::resolve::Resolved;
use crate::checklist::{enforce, summary};
use crate::issue::leaf::Leaf;
use crate::kube::drift::Drift;
use crate::kube::events::EventRecord;
use crate::kube::object_id::ObjectId;
use crate::kube::writer::Outcome;
use crate::report::conditions::find;

/// Of what was written: new authorities, what was put back.
pub(super) fn of_writes(network: &Resolved, applied: &Applied) -> Vec<EventRecord> {
    let reissued = |object: &ObjectId| {
        let is_new = |leaf: &Leaf| leaf.reissued.is_some() && leaf.secret == *object;
        network.client_leaves.iter().any(is_new)
    };
    let mut records = Vec::new();
    if network.authorities_are_new && !applied.written.is_empty() {
        let certificate = network.authorities.network.issuing.certificate();
        let note =
            format!("the network's CA is {} until {}", certificate.fingerprint(), certificate.not_after());
        records.push(EventRecord::normal("AuthorityCreated", note));
    }
    for (object, outcome) in &applied.written {
        if let Outcome::Replaced(drift @ (Drift::Changed(_) | Drift::Added(_))) = outcome
            && !reissued(object)
        {
            records.push(EventRecord::warning("DriftCorrected", format!("{object} was put back: {drift}")));
        }
    }
    records
}

/// Of a change of status: readiness, certificates, partners and the secret store, gained or lost; a CA that was made anew.
pub(super) fn of_transition(before: &TesseraNetworkStatus, after: &TesseraNetworkStatus) -> Vec<EventRecord> {
    let types = [
        ConditionType::PartnersAccepted,
        ConditionType::Ready,
        ConditionType::CertificatesCurrent,
        ConditionType::SecretStoreReady,
        ConditionType::AuthorityReplaced,
    ];
    let conditions = types.into_iter().filter_map(|type_| of_condition(type_, before, after));
    let checklist = summary::events(before.checklist.as_ref(), after.checklist.as_ref());
    conditions
        .chain(store_ca_changed(before, after))
        .chain(rollover(before, after))
        .chain(checklist)
        .chain(enforce::events(&before.held, &after.held))
        .collect()
}

/// Each phase of a rollover, once.
fn rollover(before: &TesseraNetworkStatus, after: &TesseraNetworkStatus) -> Option<EventRecord> {
    let phase = |status: &TesseraNetworkStatus| status.rollover.as_ref().map(|rollover| rollover.phase);
    let (then, now) = (phase(before), phase(after));
    if then == now {
        return None;
    }
    let note = match now {
        Some(RolloverPhase::Trusting) => "the CAs are being replaced: everybody learns to trust the new ones",
        Some(RolloverPhase::Reissuing) => "the new CAs sign: everybody gets a certificate of theirs",
        Some(RolloverPhase::Retiring) => "nodes trust the new CAs alone; the old ones go when all others do",
        None => {
            "the rollover has ended: status.cas has the CAs that everybody trusts, and the keys of others are gone"
        }
    };
    let reason = if now.is_some() { "RollingOver" } else { "RolledOver" };
    Some(EventRecord::normal(reason, note.to_owned()))
}

/// A node that starts shows its token to whom the bundle verifies, so each change of it is reported.
fn store_ca_changed(before: &TesseraNetworkStatus, after: &TesseraNetworkStatus) -> Option<EventRecord> {
    let (then, now) = (before.secret_store.as_ref()?, after.secret_store.as_ref()?);
    let note = format!(
        "the secret store's CA bundle changed: SHA-256 was {} and is {}. Nodes go on with the one that they have for as long as it verifies the store",
        then.ca_bundle_sha256, now.ca_bundle_sha256
    );
    (then != now).then(|| EventRecord::warning("SecretStoreCAChanged", note))
}

/// Reasons of Ready: nodes report their own coming and going, and the store's state by its own condition; of what is held back each
/// change is an Event of its own.
const REPORTED_ELSEWHERE: [Reason; 9] = [
    Reason::ChecklistHeld,
    Reason::NodesNotReady,
    Reason::StoreUnreachable,
    Reason::LoginDenied,
    Reason::NotProvisioned,
    Reason::ClientCertificateRequired,
    Reason::ClientCertificateRefused,
    Reason::ClientCANotInstalled,
    Reason::Paused,
];

fn of_condition(
    type_: ConditionType,
    before: &TesseraNetworkStatus,
    after: &TesseraNetworkStatus,
) -> Option<EventRecord> {
    let now = find(&after.conditions, type_)?;
    let then = find(&before.conditions, type_);
    if then.is_some_and(|then| then.status == now.status && then.reason == now.reason) {
        return None;
    }
    if now.status == "Unknown" {
        return None;
    }
    if type_ == ConditionType::AuthorityReplaced {
        return Some(EventRecord::warning(type_.as_str(), now.message.clone()));
    }
    if now.status == "True" {
        return Some(EventRecord::normal(type_.as_str(), now.message.clone()));
    }
    let reason: Reason = now.reason.parse().ok()?;
    let reported_elsewhere = type_ == ConditionType::Ready && REPORTED_ELSEWHERE.contains(&reason);
    (!reported_elsewhere).then(|| EventRecord::warning(reason.as_str(), now.message.clone()))
}

#[cfg(test)]
mod tests {
    use tessera_crds::api::network::SecretStoreStatus;

    use super::*;

    #[test]
    fn each_change_of_the_store_s_ca_bundle_is_reported_once_and_its_first_reading_is_none() {
        let status = |sha256: Option<&str>| TesseraNetworkStatus {
            secret_store: sha256.map(|sha256| SecretStoreStatus { ca_bundle_sha256: sha256.to_owned() }),
            ..TesseraNetworkStatus::default()
        };
        let reported = |before, after| of_transition(&status(before), &status(after));
        assert!(reported(None, Some("aa")).is_empty(), "the first reading is no change");
        assert!(reported(Some("aa"), Some("aa")).is_empty() && reported(Some("aa"), None).is_empty());
        let [event] = reported(Some("aa"), Some("bb")).try_into().unwrap();
        assert!(event.warning && event.reason == "SecretStoreCAChanged");
        assert!(event.note.contains("was aa and is bb"), "{}", event.note);
    }
}
