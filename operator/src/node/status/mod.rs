//! [pure] From what was seen to the status: conditions, keys, certificate, pods.

mod checklist;
mod images;
mod imports;
mod key_backup;
mod keys;
mod pods;
mod ready;
mod restores;

pub(super) use images::why_held as why_image_is_held;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use tessera_crds::api::node::{CertificateStatus, Endpoints, PayloadStoreStatus, PodStatus};
use tessera_crds::condition::{ConditionType, Reason};
use tessera_crds::{TesseraNode, TesseraNodeStatus, names};
use tessera_node_api::admin;

use super::apply::Applied;
use super::hold::Holds;
use super::observe::{Observed, ObservedPod, ObservedVolume};
use super::resolve::{Resolved, Unresolved, exposure};
use crate::checklist::summary;
use crate::kube::meta::{name_of, namespace_of};
use crate::kube::write_error::{WriteError, name_conflicts};
use crate::node::rollout::TEMPLATE_REVISION;
use crate::report::conditions::{ConditionStatus, ConditionValue, Conditions};

/// What the status is made of, once the node could be resolved.
pub struct Seen<'a> {
    /// What it should be, without what is held back.
    pub node: &'a Resolved,
    /// What is held back.
    pub holds: &'a Holds,
    /// What came of writing it.
    pub applied: &'a Applied,
    /// How it is.
    pub observed: &'a Observed,
    /// The time of all this.
    pub now: Timestamp,
    /// The condition `Ready` of before.
    pub before: Option<&'a Condition>,
}

/// The status of a node that could be resolved.
pub fn of_seen(object: &TesseraNode, seen: &Seen<'_>) -> TesseraNodeStatus {
    let mut status = carried_over(object);
    let (keys, keys_ready) = keys::keys(&status.keys, seen);
    status.endpoints = status.endpoints.map(|known| endpoints(known, seen));
    let workload = seen.observed.workload.clone().unwrap_or_default();
    status.replicas = Some(workload.replicas);
    status.ready_replicas = Some(workload.ready_replicas);
    status.template_revision = template_revision(seen.applied).or(status.template_revision);
    status.default_key = keys::default_key(&keys);
    let known = std::mem::replace(&mut status.keys, keys);
    key_backup::set(&mut status, &known, seen);
    status.certificate = certificate(seen).or(status.certificate);
    status.payload_store = report(seen.observed)
        .and_then(|report| report.payload_store.as_ref())
        .map(payload_store)
        .or(status.payload_store);
    status.volumes.clone_from(&seen.observed.volumes);
    status.pods = seen.observed.pods.iter().map(pod).collect();
    status.held = seen.holds.status(&status.held, seen.now);
    status.images = images::images(object, seen).or(status.images);
    let previous = std::mem::take(&mut status.conditions);
    let mut conditions = Conditions::new(&previous, object.metadata.generation, seen.now);
    let ready = ready::judge(seen, &keys_ready);
    // A change that is held is not being worked at.
    let is_operational = ready.0 == ConditionStatus::True || ready.1 == Reason::ChecklistHeld;
    let reconciling = reconciling(seen, is_operational);
    add(&mut conditions, ConditionType::Ready, ready);
    let not_exposed = || Some((Reason::InvalidConfiguration, seen.node.not_exposed.clone()?));
    let stalled = stalled(seen.applied).or_else(|| images::stalled(seen.node)).or_else(not_exposed);
    // What only a person can get going is not being worked at.
    conditions.set_while(ConditionType::Reconciling, reconciling.filter(|_| stalled.is_none()));
    conditions.set_while(ConditionType::Stalled, stalled);
    add(&mut conditions, ConditionType::KeysReady, keys_ready);
    add(
        &mut conditions,
        ConditionType::CertificatesServed,
        certificates_served(seen, status.certificate.as_ref()),
    );
    add(&mut conditions, ConditionType::DataProtected, data_protected(seen.observed));
    if let Some(current) = key_backup::current(&status, seen) {
        add(&mut conditions, ConditionType::BackupCurrent, current);
    }
    let checklist = checklist::judge(seen, status.checklist.as_ref());
    add(&mut conditions, ConditionType::ChecklistSatisfied, summary::condition(&checklist.lines));
    status.checklist = Some(checklist);
    status.conditions = conditions.into_list();
    status
}

/// The status of a node of which nothing can be made now. What exists goes on, but nobody looks at it.
pub fn of_unresolved(object: &TesseraNode, why: &Unresolved, now: Timestamp) -> TesseraNodeStatus {
    let mut status = carried_over(object);
    let previous = std::mem::take(&mut status.conditions);
    let mut conditions = Conditions::new(&previous, object.metadata.generation, now);
    let message = crate::report::error::chain(why);
    let (reason, stalled) = match why {
        Unresolved::NetworkNotFound(_) => (Reason::NetworkNotFound, false),
        Unresolved::NetworkNotReady(_) | Unresolved::NetworkUnreadable { .. } => {
            (Reason::NetworkNotReady, false)
        }
        Unresolved::InvalidConfiguration(_) => (Reason::InvalidConfiguration, true),
        Unresolved::Leaf(_) => (Reason::CertificateInvalid, false),
        Unresolved::Unreadable(unreadable) => (unreadable.reason, false),
    };
    conditions.set(ConditionType::Ready, ConditionStatus::False, reason, message.clone());
    conditions.set_while(ConditionType::Stalled, stalled.then_some((reason, message)));
    for type_ in [ConditionType::KeysReady, ConditionType::CertificatesServed, ConditionType::DataProtected] {
        conditions.set_unknown(type_);
    }
    if status.key_backup.is_some() {
        conditions.set_unknown(ConditionType::BackupCurrent);
    }
    status.conditions = conditions.into_list();
    status
}

fn add(conditions: &mut Conditions<'_>, type_: ConditionType, (truth, reason, message): ConditionValue) {
    conditions.set(type_, truth, reason, message);
}

/// What does not depend on what is seen now, on top of what was there.
fn carried_over(object: &TesseraNode) -> TesseraNodeStatus {
    let (name, namespace) = (name_of(object), namespace_of(object));
    let known = object.status.as_ref().and_then(|status| status.endpoints.as_ref());
    TesseraNodeStatus {
        observed_generation: object.metadata.generation,
        selector: Some(format!("{}={name}", names::label::NODE)),
        endpoints: Some(Endpoints {
            q2t: names::node::q2t_url(name, namespace),
            p2p: exposure::announced(object).unwrap_or_else(|| names::node::p2p_url(name, namespace)),
            load_balancer: known.map(|known| known.load_balancer.clone()).unwrap_or_default(),
        }),
        ..object.status.clone().unwrap_or_default()
    }
}

/// A node announces a new address once a pod runs with it. One without pods announces none, and gives up the address before.
fn endpoints(known: Endpoints, seen: &Seen<'_>) -> Endpoints {
    let is_applied = !seen.node.paused && seen.applied.waiting.is_none() && seen.applied.failures.is_empty();
    let is_stopped = seen.node.replicas == 0 && seen.observed.pods.is_empty();
    let is_announced = is_applied && (is_stopped || seen.observed.serves_newest());
    let p2p = if is_announced { seen.node.p2p_url() } else { known.p2p };
    let addresses = seen.observed.load_balancer.as_ref().map(|live| live.addresses.clone());
    Endpoints { p2p, load_balancer: addresses.unwrap_or_default(), ..known }
}

/// The pod that speaks for the node: the first that answers. Only for what all pods say alike, or nothing.
pub(super) fn report(observed: &Observed) -> Option<&admin::Status> {
    pods::reports(observed).next()
}

fn payload_store(store: &admin::PayloadStoreStatus) -> PayloadStoreStatus {
    PayloadStoreStatus { id: store.id.clone(), lost: store.lost.clone(), format: store.format.map(i64::from) }
}

/// Of the workload as it is: while a change waits, what runs is the template before it.
fn template_revision(applied: &Applied) -> Option<String> {
    let annotations = applied.stateful_set.as_ref()?.metadata.annotations.as_ref()?;
    annotations.get(TEMPLATE_REVISION).cloned()
}

/// The certificate that lies in the Secret. One that was issued and could not be stored is gone: said here, each attempt
/// would change the status, and each change of the status is another attempt.
fn certificate(seen: &Seen<'_>) -> Option<CertificateStatus> {
    let leaf = &seen.node.tls;
    let stored = leaf.reissued.is_none() || seen.applied.wrote(&leaf.secret);
    stored.then(|| CertificateStatus {
        serial: leaf.certificate.serial().to_owned(),
        not_after: leaf.certificate.not_after().to_string().into(),
        issued_fingerprint: leaf.certificate.fingerprint().to_owned(),
    })
}

fn pod(pod: &ObservedPod) -> PodStatus {
    let report = pod.status.as_ref().ok();
    PodStatus {
        name: pod.name.clone(),
        image_id: pod.image_id.clone(),
        node_version: report.map(|report| report.node_version.clone()),
        served_fingerprint: report
            .and_then(|report| report.certificate.as_ref())
            .map(|certificate| certificate.fingerprint.clone()),
        trust_fingerprints: report.map(|report| report.trust_fingerprints.clone()).unwrap_or_default(),
        egress_closed_since: report.and_then(|report| report.egress_closed_since.as_deref()).map(Into::into),
    }
}

/// What is served against what was issued.
fn certificates_served(seen: &Seen<'_>, issued: Option<&CertificateStatus>) -> ConditionValue {
    pods::worst(seen.observed, |report| certificate_served(report, issued, seen.now)).unwrap_or_else(|| {
        (ConditionStatus::Unknown, Reason::Waiting, "no pod of the node answers".to_owned())
    })
}

fn certificate_served(
    report: &admin::Status,
    issued: Option<&CertificateStatus>,
    now: Timestamp,
) -> ConditionValue {
    let Some(served) = &report.certificate else {
        return (ConditionStatus::False, Reason::Waiting, "the node serves no certificate yet".to_owned());
    };
    if served.not_after.parse::<Timestamp>().is_ok_and(|end| end <= now) {
        let message = format!("the node serves a certificate that expired at {}", served.not_after);
        return (ConditionStatus::False, Reason::Expired, message);
    }
    if issued.is_some_and(|issued| served.fingerprint == issued.issued_fingerprint) {
        return (
            ConditionStatus::True,
            Reason::Served,
            "the node serves the certificate that was issued".to_owned(),
        );
    }
    if report.reload_errors.is_empty() {
        let message =
            "the node serves another certificate until the kubelet has brought the new one".to_owned();
        return (ConditionStatus::False, Reason::IssuedNotServed, message);
    }
    let message = format!("the node keeps its certificate: {}", report.reload_errors.join("; "));
    (ConditionStatus::False, Reason::Garbage, message)
}

fn data_protected(observed: &Observed) -> ConditionValue {
    match &observed.volume {
        ObservedVolume::Bound { reclaim_policy } if reclaim_policy == "Retain" => {
            (ConditionStatus::True, Reason::Protected, "the volume stays when its claim goes".to_owned())
        }
        ObservedVolume::Bound { reclaim_policy } => {
            let message = format!("the volume's reclaim policy is {reclaim_policy}: it goes with its claim");
            (ConditionStatus::False, Reason::ReclaimPolicyDelete, message)
        }
        ObservedVolume::Lost(message) => (ConditionStatus::False, Reason::VolumeLost, message.clone()),
        ObservedVolume::InDatabase => {
            let message = "payloads are in the database, which its owner protects and backs up".to_owned();
            (ConditionStatus::Unknown, Reason::InDatabase, message)
        }
        ObservedVolume::Unknown(message) => (ConditionStatus::Unknown, Reason::Waiting, message.clone()),
        ObservedVolume::Pending => {
            (ConditionStatus::Unknown, Reason::Waiting, "the volume is not bound yet".to_owned())
        }
    }
}

fn reconciling(seen: &Seen<'_>, ready: bool) -> Option<(Reason, String)> {
    if seen.node.paused || seen.holds.is_whole() {
        return None;
    }
    if let Some(why) = &seen.applied.waiting {
        return Some((Reason::RolloutWaiting, format!("a change of the pod waits: {why}")));
    }
    if let Some(why) = images::why_held(&seen.node.upgrade) {
        return Some((Reason::RolloutWaiting, why));
    }
    if let Some(failure) = seen.applied.failures.iter().find(|failure| !is_stall(failure)) {
        return Some((Reason::Progressing, crate::report::error::chain(failure)));
    }
    if let Some(awaited) = seen.holds.awaited() {
        return Some((Reason::Progressing, awaited));
    }
    if let Some(short) = pods::short(seen).filter(|_| ready) {
        return Some((Reason::Progressing, short));
    }
    let up_to_date = seen.observed.workload.as_ref().is_some_and(|workload| workload.up_to_date);
    if !ready || !up_to_date {
        return Some((Reason::Progressing, "the node is being brought up".to_owned()));
    }
    let has_address = seen.observed.load_balancer.as_ref().is_some_and(|live| !live.addresses.is_empty());
    let awaits = seen.node.exposure.is_some() && !has_address;
    awaits.then(|| {
        let service = names::node::exposed_service(&seen.node.name);
        let why = format!(
            "the cluster has given Service {service} no address yet, so partners cannot reach the node: kubectl describe service {service}"
        );
        (Reason::AwaitingLoadBalancer, why)
    })
}

/// Failures that no retry heals.
fn is_stall(failure: &WriteError) -> bool {
    matches!(failure, WriteError::NameConflict { .. } | WriteError::Invalid { .. })
}

fn stalled(applied: &Applied) -> Option<(Reason, String)> {
    if let Some(message) = name_conflicts(&applied.failures) {
        return Some((Reason::NameConflict, message));
    }
    let mut failures = applied.failures.iter().chain(&applied.cannot_grow);
    failures.find(|failure| is_stall(failure)).map(|failure| (failure.reason(), failure.to_string()))
}

#[cfg(test)]
mod tests;
