//! [pure] What a person wants to know of a network, at the moment it becomes so.

use tessera_crds::TesseraNetworkStatus;
use tessera_crds::condition::{ConditionType, Reason};

use super::apply::Applied;
use super::resolve::Resolved;
use crate::conditions::find;
use crate::kube::drift::Drift;
use crate::kube::events::Happening;
use crate::kube::writer::Outcome;

/// Of what was written: new authorities, what was put back.
pub(super) fn of_writes(network: &Resolved, applied: &Applied) -> Vec<Happening> {
    let reissued = |object: &str| {
        network
            .monitoring
            .iter()
            .any(|leaf| leaf.reissued.is_some() && object.ends_with(&format!("/{}", leaf.secret)))
    };
    let mut happenings = Vec::new();
    if network.authorities_are_new && !applied.written.is_empty() {
        let certificate = network.authorities.network.certificate();
        let note =
            format!("the network's CA is {} until {}", certificate.fingerprint(), certificate.not_after());
        happenings.push(Happening::normal("AuthorityCreated", note));
    }
    for (object, outcome) in &applied.written {
        if let Outcome::Replaced(drift @ (Drift::Changed(_) | Drift::Added(_))) = outcome
            && !reissued(object)
        {
            happenings.push(Happening::warning("DriftCorrected", format!("{object} was put back: {drift}")));
        }
    }
    happenings
}

/// Of a change of status: readiness, certificates and the secret store, gained or lost.
pub(super) fn of_transition(before: &TesseraNetworkStatus, after: &TesseraNetworkStatus) -> Vec<Happening> {
    let types = [ConditionType::Ready, ConditionType::CertificatesCurrent, ConditionType::SecretStoreReady];
    types.into_iter().filter_map(|type_| of_condition(type_, before, after)).collect()
}

/// Reasons of Ready: that nodes come and go is told by the nodes, and the store's state by its own condition.
const TOLD_ELSEWHERE: [Reason; 5] = [
    Reason::NodesNotReady,
    Reason::StoreUnreachable,
    Reason::LoginDenied,
    Reason::NotProvisioned,
    Reason::Paused,
];

fn of_condition(
    type_: ConditionType,
    before: &TesseraNetworkStatus,
    after: &TesseraNetworkStatus,
) -> Option<Happening> {
    let now = find(&after.conditions, type_)?;
    let then = find(&before.conditions, type_);
    if then.is_some_and(|then| then.status == now.status && then.reason == now.reason) {
        return None;
    }
    if now.status == "Unknown" {
        return None;
    }
    if now.status == "True" {
        return Some(Happening::normal(type_.as_str(), now.message.clone()));
    }
    let reason = Reason::ALL.iter().find(|reason| reason.as_str() == now.reason)?;
    let told_elsewhere = type_ == ConditionType::Ready && TOLD_ELSEWHERE.contains(reason);
    (!told_elsewhere).then(|| Happening::warning(reason.as_str(), now.message.clone()))
}
